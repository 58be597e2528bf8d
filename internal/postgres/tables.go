package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Table is what a table of a store takes.
type Table struct {
	Name  string `json:"name"`
	Rows  int64  `json:"rows"`
	Exact bool   `json:"exact"` // rows were counted, and not estimated
	Bytes int64  `json:"bytes"` // with indexes and large values
}

// countedRows is how many rows a table may have, about, to be counted: that reads all of
// it.
const countedRows = 1_000_000

// Tables returns the tables of the schema by name.
func (db *DB) Tables(ctx context.Context) ([]Table, error) {
	rows, err := db.Query(ctx, `SELECT c.relname, greatest(c.reltuples::bigint, s.n_live_tup, 0), pg_total_relation_size(c.oid)
		FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
		WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind = 'r' ORDER BY c.relname`, db.schema)
	var tables []Table
	if err == nil {
		tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Table, err error) {
			err = row.Scan(&t.Name, &t.Rows, &t.Bytes)
			return t, err
		})
	}
	for i := range tables {
		if t := &tables[i]; err == nil && t.Rows <= countedRows {
			t.Exact = true
			err = db.QueryRow(ctx, `SELECT count(*) FROM `+pgx.Identifier{db.schema, t.Name}.Sanitize()).Scan(&t.Rows)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the tables of the store at %s: %w", db, Explain(err))
	}
	return tables, nil
}
