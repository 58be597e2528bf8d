package callsdb

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/sqlitefile"
	"github.com/claude-force/claude-force/llm"
)

// TestSumsByKeyOfAnEarlierVersion: a store without keys has, once it is opened, the sums
// by key and by team of all its calls, also of those whose rows were dropped; and the same
// caller with a key is another one.
func TestSumsByKeyOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	whole, err := Open(filepath.Join(dir, "whole.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	start := time.Date(2026, 11, 3, 22, 41, 7, 0, time.UTC)
	call := analytics.Call{Time: start, Project: "/app", Agent: "a", Asked: "m", Model: "m", Source: llm.SourceLive, Cost: 7, Duration: time.Second, Service: time.Second, Attempts: 1}
	for i := range 60 {
		c := call
		c.Time, c.Duration = start.Add(time.Duration(i)*time.Hour), time.Duration(i+1)*time.Second
		if i%3 == 0 {
			c.Source, c.Service, c.Cost, c.Saved.Cache = llm.SourceCache, 0, 0, 7
		}
		if err := whole.Add(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := whole.Prune(ctx, analytics.Retention{Rows: 24 * time.Hour}, start.Add(72*time.Hour)); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(dir, "history.db")
	conn, err := sqlitefile.Open(path, sqlitefile.Options{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Migrate(&sqlitefile.Schema{Component: "calls", Version: 7, Migrations: migrations}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Run(`ATTACH ? AS whole`, whole.path); err != nil {
		t.Fatal(err)
	}
	copyOf := func(table string) string {
		var names []string
		err := conn.Query(`SELECT name FROM pragma_table_info(?)`, func(row *sqlite3.Stmt) error {
			names = append(names, row.ColumnText(0))
			return nil
		}, table)
		if err != nil {
			t.Fatal(err)
		}
		columns := strings.Join(names, ", ")
		return `INSERT INTO ` + table + ` (` + columns + `) SELECT ` + columns + ` FROM whole.` + table
	}
	if err := conn.Exec(copyOf("call_rollups") + ` WHERE kind NOT IN ('key', 'team');
		` + copyOf("call_rows") + `;
		INSERT INTO call_names SELECT id, project, workflow, agent, asked, model, source FROM whole.call_names;
		UPDATE call_state SET rows_since = (SELECT rows_since FROM whole.call_state)`); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	old, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	sketches := gocmp.Comparer(func(a, b analytics.Sketch) bool { return analytics.LatencyOf(&a) == analytics.LatencyOf(&b) })
	for _, by := range [][]analytics.Dimension{{analytics.ByKey}, {analytics.ByTeam}, {analytics.ByDay, analytics.ByKey}, {analytics.BySource, analytics.ByTeam}} {
		for _, f := range []analytics.Filter{{}, {Since: start.Add(5 * time.Hour), Until: start.Add(50*time.Hour + time.Minute)}} {
			want, err := whole.Groups(ctx, f, by...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := old.Groups(ctx, f, by...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got, sketches); diff != "" || len(got) == 0 {
				t.Errorf("%d groups by %v of %+v differ (-as recorded +as filled in):\n%s", len(got), by, f, diff)
			}
		}
	}

	call.Time, call.Key, call.Team = start.Add(70*time.Hour), "ci", "web"
	if err := old.Add(ctx, call); err != nil {
		t.Fatal(err)
	}
	groups, err := old.Groups(ctx, analytics.Filter{}, analytics.ByKey)
	if err != nil {
		t.Fatal(err)
	}
	figures := map[string][2]int64{}
	for _, g := range groups {
		figures[g.Name] = [2]int64{g.Calls, int64(g.Cost)}
	}
	if diff := gocmp.Diff(map[string][2]int64{"": {60, 280}, "ci": {1, 7}}, figures); diff != "" {
		t.Errorf("calls and costs by key: %s", diff)
	}
	rows := 0
	err = old.Query(ctx, `SELECT key, team FROM calls WHERE key != '' OR team != ''`, analytics.QueryLimits{}, func(_ []string, values []any) error {
		if values != nil {
			rows++
			if values[0] != "ci" || values[1] != "web" {
				t.Errorf("the view has %v", values)
			}
		}
		return nil
	})
	if err != nil || rows != 1 {
		t.Errorf("the view has %d calls with a key, %v; want 1", rows, err)
	}
	if v, err := old.Verify(ctx); err != nil || len(v.DaysDiffer) != 0 {
		t.Errorf("verify finds %+v, %v", v.DaysDiffer, err)
	}
}
