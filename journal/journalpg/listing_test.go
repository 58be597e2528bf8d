package journalpg_test

import (
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/journal"
)

// TestListingReadsNoTable lists the few runs that have not ended, and those of a day, among
// many others: how many rows are read does not grow with these.
func TestListingReadsNoTable(t *testing.T) {
	t.Parallel()
	const others, open, lists = 3000, 3, 100
	url := postgrestest.URL(t)
	s := openStore(t, url)
	create := func(id string, events ...journal.Event) {
		t.Helper()
		log, err := s.Create(t.Context(), journal.Run{ID: id})
		if err == nil && len(events) > 0 {
			err = log.Append(events...)()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	create("failed", journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusFailed})})
	db := postgrestest.Open(t, url)
	if _, err := db.Exec(t.Context(), `INSERT INTO journal_runs (id, workflow, file, status, started, finished, steps, usd, tokens, seq, since, engine)
		SELECT id || i, workflow, file, status, started - 86400000000000, finished, steps, usd, tokens, seq, since, engine FROM journal_runs, generate_series(1, $1) i`, others); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c"} {
		create(id)
	}
	statuses := []journal.Status{journal.StatusRunning, journal.StatusWaiting, journal.StatusInterrupted}
	for range lists {
		for _, f := range []journal.Filter{
			{Statuses: statuses}, {Statuses: statuses[:2]}, {Statuses: statuses[:1]},
			{Statuses: []journal.Status{journal.StatusFailed, journal.StatusRunning}, After: time.Now().Add(-time.Hour)},
		} {
			n := 0
			for run, err := range s.Runs(t.Context(), f) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; run.Status != journal.StatusRunning && run.ID != "failed" {
					t.Errorf("run %s is %s", run.ID, run.Status)
				}
			}
			want := open
			if !f.After.IsZero() {
				want++
			}
			if n != want {
				t.Errorf("%d runs; want %d", n, want)
			}
		}
	}
	if err := s.Close(); err != nil { // the counts are complete once connections have ended
		t.Fatal(err)
	}
	if read := rowsRead(t, db, "journal_runs", 4*lists); read > others+4*lists*2*(open+1) {
		t.Errorf("%d rows were read for %d lists", read, 4*lists)
	}
}

// rowsRead returns how many rows of a table the database has read, once it has counted so many
// scans.
func rowsRead(t *testing.T, db *postgres.DB, table string, scans int64) int64 {
	t.Helper()
	return postgrestest.Counted(t, db, table, func(c postgrestest.Counts) bool { return c.Scans >= scans }).Read
}
