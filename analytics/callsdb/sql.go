package callsdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// What SQLite may use for one statement, and how long one of its texts may be.
const (
	queryHeap = 256 << 20
	queryText = 4 << 20
)

// Query runs one SELECT over the [analytics.Views] and calls row for each row of its
// result: first with the columns' names and no values. Values are nil, int64,
// float64, string or []byte. It can change nothing, and read nothing else. A
// wrong statement, and one that exceeds a limit, is a [analytics.QueryError].
//
// Query returns soon after ctx ends. SQLite cannot be interrupted within a single
// function call of a statement; what is still under way then ends in the
// background, and row is not called any more.
func (s *Store) Query(ctx context.Context, sql string, limits analytics.QueryLimits, row func(columns []string, values []any) error) error {
	limit := cmp.Or(limits.Time, analytics.DefaultQueryTime)
	tooLong := &analytics.QueryError{Err: fmt.Errorf("it took longer than the limit of %s; narrow it, for example with WHERE time > ... or LIMIT", limit)}
	work, stop := context.WithTimeoutCause(ctx, limit, tooLong)
	defer stop()
	rows := make(chan []any, 64)
	done := make(chan error, 1)
	go func() { // ends with the statement, which work interrupts
		defer close(rows)
		done <- s.statement(work, sql, limits, func(values []any) error {
			select {
			case rows <- values:
				return nil
			case <-work.Done():
				return context.Cause(work)
			}
		})
	}()
	var columns []string
	for {
		select {
		case <-work.Done():
			return context.Cause(work)
		case values, more := <-rows:
			if !more {
				return <-done
			}
			var err error
			if columns == nil {
				columns = make([]string, len(values))
				for i, name := range values {
					columns[i], _ = name.(string)
				}
				err = row(columns, nil)
			} else {
				err = row(columns, values)
			}
			if err != nil {
				return err
			}
		}
	}
}

// statement runs one SELECT on a connection of its own. It calls row with the
// columns' names, then with each row.
func (s *Store) statement(ctx context.Context, sql string, limits analytics.QueryLimits, row func(values []any) error) (err error) {
	defer func() {
		// The binding panics where SQLite has no memory left, with an error that is not
		// sqlite3.NOMEM and has its text.
		if r := recover(); r != nil {
			failure, ok := r.(error)
			if !ok || failure.Error() != sqlite3.NOMEM.Error() {
				panic(r)
			}
			err = &analytics.QueryError{Err: errTooMuchMemory}
		}
	}()
	conn, err := sqlitefile.Open(s.path, sqlitefile.Options{})
	if err != nil {
		return fmt.Errorf("opening history %s: %w", s.path, explain(s.path, err))
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := confine(conn); err != nil {
		return fmt.Errorf("opening history %s: %w", s.path, explain(s.path, err))
	}
	conn.Limit(sqlite3.LIMIT_LENGTH, queryText)
	conn.HardHeapLimit(queryHeap)
	defer conn.SetInterrupt(conn.SetInterrupt(ctx))
	statement, rest, err := conn.Prepare(sql)
	switch {
	case errors.Is(err, sqlite3.AUTH):
		return &analytics.QueryError{Err: fmt.Errorf("%w; a query may only read the views %s", err, strings.Join(analytics.Views[:], ", "))}
	case err != nil:
		return queryError(ctx, err)
	case statement == nil:
		return &analytics.QueryError{Err: errors.New("the query is empty")}
	}
	defer statement.Close()
	if strings.Trim(rest, " \t\r\n;") != "" {
		return &analytics.QueryError{Err: fmt.Errorf("give one statement; there is more after it: %.40q", rest)}
	}
	columns := make([]any, statement.ColumnCount())
	for i := range columns {
		columns[i] = statement.ColumnName(i)
	}
	if err := row(columns); err != nil {
		return err
	}
	left := cmp.Or(limits.Result, analytics.DefaultQueryResult)
	for statement.Step() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = value(statement, i)
			left -= callsql.ValueSize(values[i])
		}
		if left < 0 {
			return &analytics.QueryError{Err: fmt.Errorf("its result is larger than the limit of %d MB; narrow it, for example with LIMIT", cmp.Or(limits.Result, analytics.DefaultQueryResult)>>20)}
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return queryError(ctx, statement.Err())
}

var errTooMuchMemory = fmt.Errorf("it needs more memory than the limit of %d MB; narrow it, for example with WHERE or LIMIT", queryHeap>>20)

// queryError returns the error of a statement in words for its author.
func queryError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, sqlite3.TOOBIG):
		return &analytics.QueryError{Err: fmt.Errorf("%w: a value may have up to %d MB", err, queryText>>20)}
	}
	return &analytics.QueryError{Err: err}
}

func value(row *stmt, i int) any {
	switch row.ColumnType(i) {
	case sqlite3.INTEGER:
		return row.ColumnInt64(i)
	case sqlite3.FLOAT:
		return row.ColumnFloat(i)
	case sqlite3.TEXT:
		return row.ColumnText(i)
	case sqlite3.BLOB:
		return row.ColumnBlob(i, nil)
	}
	return nil
}

// confine lets a connection read our views, and nothing else of the file: other
// tables in it hold what was asked and answered.
func confine(conn *sqlitefile.Conn) error {
	hidden := map[string]bool{"dbstat": true}
	err := conn.Query(`SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')`, func(row *stmt) error {
		name := strings.ToLower(row.ColumnText(0))
		hidden[name] = !slices.Contains(analytics.Views[:], name)
		return nil
	})
	if err != nil {
		return err
	}
	if err := conn.Exec(`PRAGMA query_only = ON; PRAGMA trusted_schema = OFF`); err != nil {
		return err
	}
	return conn.SetAuthorizer(func(action sqlite3.AuthorizerActionCode, third, fourth, _, view string) sqlite3.AuthorizerReturnCode {
		third = strings.ToLower(third)
		switch action {
		case sqlite3.AUTH_SELECT, sqlite3.AUTH_RECURSIVE:
			return sqlite3.AUTH_OK
		case sqlite3.AUTH_FUNCTION:
			if !strings.EqualFold(fourth, "load_extension") {
				return sqlite3.AUTH_OK
			}
		case sqlite3.AUTH_READ:
			// Our own reading of what is behind a view; without a column, rows
			// are counted, and the view may not be named any more.
			if slices.Contains(analytics.Views[:], view) || fourth == "" && strings.HasPrefix(third, "call_") {
				return sqlite3.AUTH_OK
			}
			if !hidden[third] && !strings.HasPrefix(third, "sqlite_") && !strings.HasPrefix(third, "pragma_") {
				return sqlite3.AUTH_OK
			}
		}
		return sqlite3.AUTH_DENY
	})
}
