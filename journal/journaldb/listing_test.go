package journaldb_test

import (
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
)

// TestListingReadsNoTable has SQLite explain how it lists runs that have not ended: it reads
// no others.
func TestListingReadsNoTable(t *testing.T) {
	t.Parallel()
	path := file(t)
	openStore(t, path, journaldb.Options{})
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	all := []journal.Status{journal.StatusRunning, journal.StatusWaiting, journal.StatusInterrupted}
	for _, f := range []journal.Filter{{Statuses: all}, {Statuses: all[:2]}, {Statuses: all[1:2], Limit: 1}, {Statuses: all[2:], Workflow: "w"}} {
		sql, _ := journaldb.Listing(f)
		stmt, _, err := conn.Prepare(`EXPLAIN QUERY PLAN ` + sql)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for stmt.Step() {
			plan = append(plan, stmt.ColumnText(3))
		}
		if err := stmt.Close(); err != nil {
			t.Fatal(err)
		}
		if len(plan) != 1 || !strings.Contains(plan[0], "runs_open") {
			t.Errorf("%v: %q", f.Statuses, plan)
		}
	}
	for _, f := range []journal.Filter{{}, {Statuses: []journal.Status{journal.StatusFailed, journal.StatusRunning}}} {
		if sql, _ := journaldb.Listing(f); strings.Contains(sql, "runs_open") {
			t.Errorf("%v: %s", f.Statuses, sql)
		}
	}
}
