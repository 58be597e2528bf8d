package callsdb

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

var midnight = time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)

// filled returns a store with so many calls of each kind there is in each of 240
// hours: whatever the number, there are as many sums.
func filled(t *testing.T, each int) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var calls []analytics.Call
	var tools []analytics.ToolCall
	var tasks []analytics.ToolTask
	for h := range 240 {
		for k := range 2 * each {
			at := midnight.Add(time.Duration(h)*time.Hour + time.Duration(k)*time.Second)
			tools = append(tools, analytics.ToolCall{Time: at, Project: fmt.Sprint(k % 2), Agent: "a", Tool: "Read", Outcome: analytics.ToolOutcome(k % 4)})
			tasks = append(tasks, analytics.ToolTask{Time: at, Project: fmt.Sprint(k % 2), Agent: "a", Model: "m", Turns: 3})
		}
		for k := range 12 * each {
			calls = append(calls, analytics.Call{
				Time: midnight.Add(time.Duration(h)*time.Hour + time.Duration(k)*time.Second), Project: fmt.Sprint(k % 2),
				Agent: fmt.Sprint(k % 3), Model: fmt.Sprint(k % 2), Workflow: "w", Run: fmt.Sprintf("%d-%d", h, k%2),
				Source: [...]llm.Source{llm.SourceLive, llm.SourceCache}[k%4/2], Duration: time.Second, Cost: 1000,
			})
		}
	}
	if err := errors.Join(s.Add(t.Context(), calls...), s.AddTools(t.Context(), tools...), s.AddTasks(t.Context(), tasks...)); err != nil {
		t.Fatal(err)
	}
	return s
}

// steps returns what SQLite did for a question, in instructions of its machine.
func (s *Store) steps(t *testing.T, ask func(*Store) error) (n int) {
	t.Helper()
	for stmt := range s.read.Stmts() {
		stmt.Status(sqlite3.STMTSTATUS_VM_STEP, true)
	}
	if err := ask(s); err != nil {
		t.Fatal(err)
	}
	for stmt := range s.read.Stmts() {
		n += stmt.Status(sqlite3.STMTSTATUS_VM_STEP, true)
	}
	return n
}

// TestStepsDoNotGrowWithCalls asks the same of a store and of one with ten times
// as many calls. What is answered from the sums takes SQLite exactly as many
// steps; the slowest calls, which only rows can tell, show that it would be seen.
func TestStepsDoNotGrowWithCalls(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("28,800 calls: not with -short")
	}
	few, many := filled(t, 1), filled(t, 10)
	week := analytics.Filter{Since: midnight.Add(3*24*time.Hour + 7*time.Hour)}
	one := analytics.Filter{Since: week.Since, Until: midnight.Add(9*24*time.Hour + 5*time.Hour), Project: "1"}
	for _, f := range []analytics.Filter{{}, week, one} {
		check := func(name string, ask func(*Store) error) {
			t.Helper()
			a, b := few.steps(t, ask), many.steps(t, ask)
			if a == 0 || a != b {
				t.Errorf("%s of %+v takes %d steps, and %d with ten times as many calls", name, f, a, b)
			}
		}
		check("a summary", func(s *Store) error { _, err := s.Summary(t.Context(), f); return err })
		for _, by := range []analytics.Dimension{
			analytics.ByAgent, analytics.ByModel, analytics.ByWorkflow, analytics.BySource, analytics.ByProject, analytics.ByKey, analytics.ByTeam, analytics.ByDay, analytics.ByHour,
		} {
			check("groups by "+string(by), func(s *Store) error { _, err := s.Groups(t.Context(), f, by); return err })
			check("costs by "+string(by), func(s *Store) error { _, err := s.Costs(t.Context(), f, by); return err })
		}
	}
	slowest := func(s *Store) error { _, err := s.Slowest(t.Context(), week, 10); return err }
	if a, b := few.steps(t, slowest), many.steps(t, slowest); b < 5*a {
		t.Errorf("the slowest calls take %d steps, and %d of ten times as many", a, b)
	}
}
