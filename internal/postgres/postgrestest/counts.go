package postgrestest

import (
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
)

// Counts are what a server has counted of a table: a connection tells it at its end at the
// latest.
type Counts struct {
	Scans    int64 // of all of it, or of an index
	Whole    int64 // rows that scans of all of it have read
	Read     int64 // rows that scans have read
	Inserted int64 // rows
}

// Counted returns the counts of a table in the schema of db, once they are enough.
func Counted(tb testing.TB, db *postgres.DB, table string, enough func(Counts) bool) (c Counts) {
	tb.Helper()
	for tries := 0; ; tries++ {
		if err := db.QueryRow(tb.Context(), `SELECT seq_scan + idx_scan, seq_tup_read, seq_tup_read + idx_tup_fetch, n_tup_ins FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname = $1`, table).
			Scan(&c.Scans, &c.Whole, &c.Read, &c.Inserted); err != nil {
			tb.Fatal(err)
		}
		if enough(c) {
			return c
		}
		if tries == 600 {
			tb.Fatalf("the database has counted no more of %s than %+v", table, c)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-tb.Context().Done():
			tb.Fatal(tb.Context().Err())
		}
	}
}
