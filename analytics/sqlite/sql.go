package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// Views are what [Store.Query] may read. What is in them is documented in
// docs/analytics.md and stays.
var Views = [...]string{"calls", "attempts", "hourly", "daily", "workflow_runs"}

// QueryError is a statement that cannot be run.
type QueryError struct{ Err error }

func (e *QueryError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *QueryError) Unwrap() error { return e.Err }

// Query runs one SELECT over the [Views] and calls row for each row of its
// result: first with the columns' names and no values. Values are nil, int64,
// float64, string or []byte. It can change nothing, and read nothing else; a
// wrong statement is a [QueryError].
func (s *Store) Query(ctx context.Context, sql string, row func(columns []string, values []any) error) (err error) {
	conn, err := sqlitefile.Open(s.path, sqlitefile.Options{})
	if err != nil {
		return fmt.Errorf("opening history %s: %w", s.path, explain(err))
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := confine(conn); err != nil {
		return fmt.Errorf("opening history %s: %w", s.path, explain(err))
	}
	defer conn.SetInterrupt(conn.SetInterrupt(ctx))
	statement, rest, err := conn.Prepare(sql)
	switch {
	case errors.Is(err, sqlite3.AUTH):
		return &QueryError{fmt.Errorf("%w; a query may only read the views %s", err, strings.Join(Views[:], ", "))}
	case err != nil:
		return &QueryError{err}
	case statement == nil:
		return &QueryError{errors.New("the query is empty")}
	}
	defer statement.Close()
	if strings.Trim(rest, " \t\r\n;") != "" {
		return &QueryError{fmt.Errorf("give one statement; there is more after it: %.40q", rest)}
	}
	columns := make([]string, statement.ColumnCount())
	for i := range columns {
		columns[i] = statement.ColumnName(i)
	}
	if err := row(columns, nil); err != nil {
		return err
	}
	for statement.Step() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = value(statement, i)
		}
		if err := row(columns, values); err != nil {
			return err
		}
	}
	if err := statement.Err(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &QueryError{err}
	}
	return nil
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
		hidden[name] = !slices.Contains(Views[:], name)
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
			if slices.Contains(Views[:], view) || fourth == "" && strings.HasPrefix(third, "call_") {
				return sqlite3.AUTH_OK
			}
			if !hidden[third] && !strings.HasPrefix(third, "sqlite_") && !strings.HasPrefix(third, "pragma_") {
				return sqlite3.AUTH_OK
			}
		}
		return sqlite3.AUTH_DENY
	})
}
