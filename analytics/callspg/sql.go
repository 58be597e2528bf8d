package callspg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
)

// Query implements [analytics.Querier]. The statement is first made a temporary view, so
// that the server says which tables and functions it uses, and then run in a transaction
// that can only read.
func (s *Store) Query(ctx context.Context, sql string, limits analytics.QueryLimits, row func(columns []string, values []any) error) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	limit := cmp.Or(limits.Time, analytics.DefaultQueryTime)
	tooLong := &analytics.QueryError{Err: fmt.Errorf("it took longer than the limit of %s; narrow it, for example with WHERE time > ... or LIMIT", limit)}
	work, stop := context.WithTimeoutCause(ctx, limit, tooLong)
	defer stop()
	sql = strings.TrimRight(sql, "; \t\r\n")
	columns, err := s.check(work, sql)
	if err == nil {
		err = s.run(work, sql, columns, limit, cmp.Or(limits.Result, analytics.DefaultQueryResult), row)
	}
	if err == nil {
		return nil
	}
	if work.Err() != nil {
		return context.Cause(work)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "57014": // canceled, by statement_timeout
			return tooLong
		case "25006": // the server only reads, and makes no view to check the statement
			return s.explain(ctx, "reading", err)
		}
		return &analytics.QueryError{Err: errors.New(pg.Message)}
	}
	return err
}

// checkedView is the name of the view that a statement is checked as.
const checkedView = "claude_force_query"

// check returns the columns of a statement, if that is a SELECT of the views and of
// functions that read nothing else.
func (s *Store) check(ctx context.Context, sql string) (columns []string, err error) {
	if strings.TrimSpace(sql) == "" {
		return nil, &analytics.QueryError{Err: errors.New("the query is empty")}
	}
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // the view goes with it
	described, err := conn.Conn().PgConn().Prepare(ctx, "", sql, nil)
	if err != nil {
		return nil, err
	}
	if len(described.Fields) == 0 || len(described.ParamOIDs) > 0 {
		return nil, &analytics.QueryError{Err: errors.New("give one SELECT that has columns and no parameters")}
	}
	unique := make([]string, len(described.Fields))
	for i, f := range described.Fields {
		columns = append(columns, f.Name)
		unique[i] = fmt.Sprintf("c%d", i+1)
	}
	if _, err := tx.Exec(ctx, `CREATE TEMPORARY VIEW `+checkedView+` (`+strings.Join(unique, ", ")+") AS\n"+sql+"\n", pgx.QueryExecModeExec); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		WITH rule AS (SELECT ev_action::text AS tree FROM pg_rewrite WHERE ev_class = 'pg_temp.`+checkedView+`'::regclass),
			functions AS (
				SELECT m[1]::oid AS id FROM rule, regexp_matches(tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m
				UNION SELECT o.oprcode FROM rule, regexp_matches(tree, ':opno (\d+)', 'g') m JOIN pg_operator o ON o.oid = m[1]::oid)
		SELECT c.oid::regclass::text FROM rule, regexp_matches(tree, ':relid (\d+)', 'g') m JOIN pg_class c ON c.oid = m[1]::oid
			WHERE c.oid != 'pg_temp.`+checkedView+`'::regclass AND NOT (c.relname = ANY($1) AND c.relnamespace = current_schema()::regnamespace)
		UNION ALL
		SELECT p.proname || '()' FROM functions f JOIN pg_proc p ON p.oid = f.id
			WHERE p.pronamespace != 'pg_catalog'::regnamespace OR p.provolatile = 'v' OR p.proname LIKE '%to\_xml%' OR p.proname = 'current_setting'
				OR p.proname LIKE 'pg\_%' AND p.proname != 'pg_typeof'`, analytics.Views[:])
	if err != nil {
		return nil, err
	}
	denied, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(denied) > 0 {
		err = &analytics.QueryError{Err: fmt.Errorf("it may not use %s; a query may only read the views %s, with functions that read and change nothing else", denied[0], strings.Join(analytics.Views[:], ", "))}
	}
	return columns, err
}

// run runs a statement and calls row with the columns' names, then with each row.
func (s *Store) run(ctx context.Context, sql string, columns []string, limit time.Duration, left int64, row func([]string, []any) error) error {
	most := left
	work, stop := context.WithCancel(ctx)
	defer stop()
	return pgx.BeginTxFunc(work, s.db, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(work, fmt.Sprintf(`SET LOCAL statement_timeout = %d`, limit.Milliseconds()+1)); err != nil {
			return err
		}
		rows, err := tx.Query(work, sql, pgx.QueryExecModeExec)
		if err != nil {
			return err
		}
		defer rows.Close()
		if err := row(columns, nil); err != nil {
			stop() // what is left of the result is not read
			return err
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return err
			}
			for i := range values {
				values[i] = plain(values[i])
				left -= callsql.ValueSize(values[i])
			}
			if left < 0 {
				stop()
				return &analytics.QueryError{Err: fmt.Errorf("its result is larger than the limit of %d MB; narrow it, for example with LIMIT", most>>20)}
			}
			if err := row(columns, slices.Clip(values)); err != nil {
				stop()
				return err
			}
		}
		return rows.Err()
	})
}

// plain returns a value as one of those that a [analytics.Querier] gives.
func plain(v any) any {
	switch v := v.(type) {
	case nil, int64, float64, string, []byte:
		return v
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	case bool:
		return one(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case pgtype.Numeric:
		if n, err := v.Int64Value(); err == nil && n.Valid {
			return n.Int64
		}
		if f, err := v.Float64Value(); err == nil && f.Valid {
			return f.Float64
		}
		return math.NaN()
	}
	return fmt.Sprint(v)
}
