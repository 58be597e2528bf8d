package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CopySource returns the name of the store that is being copied to this one, as
// [DB.SetCopySource] noted it; empty if none is.
func (db *DB) CopySource(ctx context.Context) (source string, err error) {
	err = db.QueryRow(ctx, `SELECT source FROM store_copy`).Scan(&source)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("reading the store at %s: %w", db, Explain(err))
	}
	return source, nil
}

// SetCopySource notes that a store is being copied to this one; empty that none is any
// more.
func (db *DB) SetCopySource(ctx context.Context, source string) error {
	sql, args := `DELETE FROM store_copy`, []any(nil)
	if source != "" {
		sql, args = `INSERT INTO store_copy (source) VALUES ($1) ON CONFLICT (id) DO UPDATE SET source = excluded.source`, []any{source}
	}
	if _, err := db.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("writing to the store at %s: %w", db, Explain(err))
	}
	return nil
}

// Place returns host, port, database and schema, which tell it from other stores.
func (db *DB) Place() string {
	c := db.Config().ConnConfig
	return fmt.Sprintf("%s:%d/%s (schema %s)", c.Host, c.Port, c.Database, db.schema)
}
