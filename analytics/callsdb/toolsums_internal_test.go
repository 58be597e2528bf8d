package callsdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsql"
	"github.com/claude-force/claude-force/internal/sqlitefile"
)

// beforeToolSums is the version whose programs do not know the sums of calls of tools.
const beforeToolSums = 8

// openEarlier returns a store as a program of that version has it: its statements for calls of
// tools are those of this one.
func openEarlier(t *testing.T, path string) *Store {
	t.Helper()
	of := &sqlitefile.Schema{Component: "calls", Version: beforeToolSums, Migrations: migrations}
	s := &Store{path: path, spool: file(path), names: map[name]int64{}, toolNames: map[toolName]int64{}}
	s.Reader = callsql.NewReader(s, callsql.Dialect{Join: "CROSS JOIN", Attempts: "r.id = a.call"})
	var err error
	if s.read, err = sqlitefile.Open(path, sqlitefile.Options{Durable: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.read.Migrate(of); err != nil {
		t.Fatal(err)
	}
	if s.write, err = sqlitefile.Open(path, sqlitefile.Options{Durable: true}); err != nil {
		t.Fatal(err)
	}
	s.write.Expect(of)
	t.Cleanup(func() { s.Close() })
	return s
}

// hourOf is what sums are over.
type hourOf struct {
	start   int64
	project string
}

// checkToolSums compares the sums that are in the file with the rows, hour by hour.
func checkToolSums(ctx context.Context, t rapid.TB, s *Store) {
	t.Helper()
	rows := map[hourOf]analytics.ToolTotals{}
	add := func(at time.Time, project string, do func(*analytics.ToolTotals)) {
		h := hourOf{at.Truncate(time.Hour).Unix(), project}
		sum := rows[h]
		do(&sum)
		rows[h] = sum
	}
	for c, err := range s.ToolCalls(ctx, analytics.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		add(c.Time, c.Project, func(sum *analytics.ToolTotals) {
			sum.ToolCalls++
			switch c.Outcome {
			case analytics.ToolFailed:
				sum.Failed++
			case analytics.ToolDenied:
				sum.Denied++
			case analytics.ToolUnknown:
				sum.Unknown++
			}
		})
	}
	for c, err := range s.ToolTasks(ctx, analytics.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		add(c.Time, c.Project, func(sum *analytics.ToolTotals) {
			sum.Tasks++
			sum.Turns += int64(c.Turns)
		})
	}
	sums := map[hourOf]analytics.ToolTotals{}
	err := s.read.Query(`SELECT start, project, tool_calls, failed, denied, unknown, tasks, turns FROM call_tool_sums`, func(row *stmt) error {
		sums[hourOf{row.ColumnInt64(0), row.ColumnText(1)}] = analytics.ToolTotals{
			ToolCalls: row.ColumnInt64(2), Failed: row.ColumnInt64(3), Denied: row.ColumnInt64(4), Unknown: row.ColumnInt64(5), Tasks: row.ColumnInt64(6), Turns: row.ColumnInt64(7),
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(rows, sums) {
		t.Fatalf("sums of tools differ from the rows (-rows +sums):\n%s", gocmp.Diff(rows, sums, gocmp.AllowUnexported(hourOf{})))
	}
}

// drawTools returns n calls of tools and as many tasks, from four hours before 1970 on.
func drawTools(rng *rand.Rand, n int) (calls []analytics.ToolCall, tasks []analytics.ToolTask) {
	at := func() time.Time {
		at := time.Unix(0, rng.Int64N(int64(80*time.Hour))-int64(4*time.Hour))
		if rng.IntN(3) == 0 {
			at = at.Truncate(time.Hour)
		}
		return at
	}
	project := func() string { return fmt.Sprint("/p", rng.IntN(3)) }
	for range n {
		calls = append(calls, analytics.ToolCall{Time: at(), Project: project(), Agent: "a", Tool: fmt.Sprint(rng.IntN(3)), Outcome: analytics.ToolOutcome(rng.IntN(4))})
		tasks = append(tasks, analytics.ToolTask{Time: at(), Project: project(), Agent: "a", Model: "m", Turns: rng.IntN(5)})
	}
	return calls, tasks
}

func (s *Store) addDrawn(t *testing.T, rng *rand.Rand, n int) {
	t.Helper()
	calls, tasks := drawTools(rng, n)
	if err := errors.Join(s.AddTools(t.Context(), calls...), s.AddTasks(t.Context(), tasks...)); err != nil {
		t.Error(err)
	}
}

// TestToolSumsOfAnEarlierVersion: a file of the version before has the sums of its rows once it
// is opened, and keeps them while programs of that version, which have it open, add and drop rows
// beside those of this one.
func TestToolSumsOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.db")
	earlier := openEarlier(t, path)
	earlier.addDrawn(t, rand.New(rand.NewPCG(1, 1)), 300)
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	checkToolSums(t.Context(), t, s)
	late := openEarlier(t, path) // the file says that it may
	var all sync.WaitGroup
	for i, by := range []*Store{earlier, s, late, s} {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(i)))
			for n := range 6 {
				by.addDrawn(t, rng, 1+rng.IntN(40))
				if _, err := by.Prune(t.Context(), analytics.Retention{Rows: 24 * time.Hour}, time.Unix(0, 0).AddDate(0, 0, n/2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	checkToolSums(t.Context(), t, s)
	for name, by := range map[string]*Store{"this version": s, "the version before": earlier} {
		if _, err := by.Prune(t.Context(), analytics.Retention{Rows: time.Hour}, time.Unix(0, 0).AddDate(0, 0, 2)); err != nil {
			t.Fatal(err)
		}
		checkToolSums(t.Context(), t, s)
		by.addDrawn(t, rand.New(rand.NewPCG(3, 3)), 50)
		checkToolSums(t.Context(), t, s)
		if n, _, err := s.read.Sum(`SELECT 1 FROM call_tool_sums`); n == 0 || err != nil {
			t.Errorf("%s: %d sums, %v", name, n, err)
		}
	}
}

// TestToolSumsFollowRows changes rows in any way that a statement can, those of a copy
// included, and compares the sums after each.
func TestToolSumsFollowRows(t *testing.T) {
	t.Parallel()
	s, err := Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	outer := t
	s.addDrawn(outer, rand.New(rand.NewPCG(4, 4)), 3) // names of each kind
	rapid.Check(t, func(t *rapid.T) {
		table := rapid.SampledFrom([]string{"call_tools", "call_tool_tasks"}).Draw(t, "table")
		count := map[string]string{"call_tools": "outcome", "call_tool_tasks": "turns"}[table]
		id := rapid.Int64Range(1, 12).Draw(t, "id")
		at := rapid.Int64Range(-int64(2*time.Hour), int64(2*time.Hour)).Draw(t, "time")
		named := rapid.Int64Range(1, 4).Draw(t, "name")
		n := rapid.IntRange(0, 3).Draw(t, "count")
		var sql string
		args := []any{id}
		switch rapid.SampledFrom([]string{"put", "move", "count", "drop", "drop some"}).Draw(t, "what") {
		case "put": // as a copy does
			columns := map[string]string{"call_tools": "duration", "call_tool_tasks": "tool_calls, failed, duration"}[table]
			zeros := map[string]string{"call_tools": "0", "call_tool_tasks": "0, 0, 0"}[table]
			sql = `INSERT INTO ` + table + ` (id, time, name, run, step, item, ` + count + `, ` + columns + `) VALUES (?1, ?2, ?3, '', '', '', ?4, ` + zeros + `)
				ON CONFLICT (id) DO UPDATE SET time = excluded.time, name = excluded.name, ` + count + ` = excluded.` + count
			args = append(args, at, named, n)
		case "move":
			sql, args = `UPDATE `+table+` SET time = ?2, name = ?3 WHERE id = ?1`, append(args, at, named)
		case "count":
			sql, args = `UPDATE `+table+` SET `+count+` = ?2 WHERE id >= ?1`, append(args, n)
		case "drop":
			sql = `DELETE FROM ` + table + ` WHERE id = ?1`
		default:
			sql = `DELETE FROM ` + table + ` WHERE id < ?1`
		}
		s.mu.Lock()
		err := s.writing(func() error { return s.write.Run(sql, args...) })
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		checkToolSums(outer.Context(), t, s)
	})
}

// TestVerifyToolSums: a sum of tools that is wrong, missing, or of no rows is found.
func TestVerifyToolSums(t *testing.T) {
	t.Parallel()
	s, err := Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	s.addDrawn(t, rand.New(rand.NewPCG(7, 7)), 200)
	v, err := s.Verify(t.Context())
	if err != nil || v.Tools == 0 || len(v.ToolsDiffer) > 0 {
		t.Fatalf("%d sums, %+v differ, %v", v.Tools, v.ToolsDiffer, err)
	}
	for i, damage := range []string{
		`UPDATE call_tool_sums SET denied = denied + 1, turns = turns - 1 WHERE (start, project) = (SELECT start, project FROM call_tool_sums ORDER BY 1, 2 LIMIT 1)`,
		`DELETE FROM call_tool_sums WHERE (start, project) = (SELECT start, project FROM call_tool_sums ORDER BY 1 DESC, 2 DESC LIMIT 1)`,
		`INSERT INTO call_tool_sums (start, project, tool_calls, failed, denied, unknown, tasks, turns) VALUES (360000000, '/none', 1, 0, 0, 0, 0, 0)`,
	} {
		s.mu.Lock()
		err := s.writing(func() error { return s.write.Run(damage) })
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		after, err := s.Verify(t.Context())
		if err != nil || len(after.ToolsDiffer) != i+1 {
			t.Errorf("after %q %d sums differ, %v", damage, len(after.ToolsDiffer), err)
		}
	}
}
