package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Query runs a query. Texts among the arguments are given as [Text] has them: what a user
// asks for may be a name that was recorded so, and is no error of the statement.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return db.Pool.Query(ctx, sql, Arguments(args)...)
}

// QueryRow runs a query for one row, as [DB.Query] does.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return db.Pool.QueryRow(ctx, sql, Arguments(args)...)
}

// Exec runs a statement, with arguments as [DB.Query] has them.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return db.Pool.Exec(ctx, sql, Arguments(args)...)
}

// Arguments returns the arguments of a statement with their texts as [Text] has them.
func Arguments(args []any) []any {
	var changed []any // what the caller has is left alone
	for i, arg := range args {
		text, ok := arg.(string)
		if !ok || Storable(text) {
			continue
		}
		if changed == nil {
			changed = append(changed, args...)
		}
		changed[i] = Text(text)
	}
	if changed == nil {
		return args
	}
	return changed
}
