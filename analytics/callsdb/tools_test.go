package callsdb_test

import (
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
)

func drawn[T any](t *rapid.T, name string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, name)
}

func drawTime(t *rapid.T) time.Time {
	return epoch.Add(time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "time")))
}

func drawTool(t *rapid.T) analytics.ToolCall {
	return analytics.ToolCall{
		Time: drawTime(t), Project: drawn(t, "project", "/p", "/q"), Workflow: drawn(t, "workflow", "", "w"), Run: drawn(t, "run", "", "r"), Step: "s", Item: "i",
		Agent: drawn(t, "agent", "a", "b"), Tool: drawn(t, "tool", "Read", "Bash", "mcp__x__y"),
		Outcome: analytics.ToolOutcome(rapid.IntRange(0, 3).Draw(t, "outcome")), Duration: time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "took")),
	}
}

func drawTask(t *rapid.T) analytics.ToolTask {
	return analytics.ToolTask{
		Time: drawTime(t), Project: drawn(t, "project", "/p", "/q"), Workflow: drawn(t, "workflow", "", "w"), Run: drawn(t, "run", "", "r"), Step: "s", Item: "i",
		Agent: drawn(t, "agent", "a", "b", "c"), Model: "m", Turns: rapid.IntRange(1, 30).Draw(t, "turns"), ToolCalls: rapid.IntRange(0, 30).Draw(t, "calls"),
		Failed: rapid.Bool().Draw(t, "failed"), Duration: time.Second,
	}
}

// TestToolsAreCounted records calls of tools and tasks in one of the ways that there
// are, and compares the figures of any period with those of the calls one by one.
func TestToolsAreCounted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	rounds := 0
	rapid.Check(t, func(t *rapid.T) {
		rounds++
		path := filepath.Join(folder, time.Duration(rounds).String()+".db")
		calls := rapid.SliceOfN(rapid.Custom(drawTool), 0, 100).Draw(t, "calls")
		tasks := rapid.SliceOfN(rapid.Custom(drawTask), 0, 40).Draw(t, "tasks")
		if rapid.Bool().Draw(t, "recorded") {
			r := callsdb.NewRecorder(path, analytics.Retention{}, nil)
			for _, c := range calls {
				r.RecordTool(c)
			}
			for _, c := range tasks {
				r.RecordTask(c)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		s, err := callsdb.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		if used, err := s.Tools(t.Context(), analytics.Filter{}, ""); err != nil {
			t.Fatal(err)
		} else if used.Calls == 0 && used.Tasks == 0 { // there was nothing, or no recorder
			if err := s.AddTools(t.Context(), calls...); err != nil {
				t.Fatal(err)
			}
			if err := s.AddTasks(t.Context(), tasks...); err != nil {
				t.Fatal(err)
			}
		}
		f := analytics.Filter{Since: drawTime(t), Project: drawn(t, "only", "", "/p")}
		workflow := drawn(t, "of", "", "w")
		use, err := s.Tools(t.Context(), f, workflow)
		if err != nil {
			t.Fatal(err)
		}
		var want, got struct {
			calls, failed, denied, unknown int64
			took                           time.Duration
			tasks, failedTasks             int64
			turns                          []int
		}
		meant := func(at time.Time, project, of string) bool {
			return !at.Before(f.Since) && (f.Project == "" || f.Project == project) && (workflow == "" || workflow == of)
		}
		for _, c := range calls {
			if !meant(c.Time, c.Project, c.Workflow) {
				continue
			}
			want.calls++
			switch c.Outcome {
			case analytics.ToolDenied:
				want.denied++
			case analytics.ToolUnknown:
				want.unknown++
			case analytics.ToolFailed:
				want.failed++
				want.took += c.Duration
			default:
				want.took += c.Duration
			}
		}
		sum := 0
		for _, c := range tasks {
			if meant(c.Time, c.Project, c.Workflow) {
				want.tasks++
				want.turns = append(want.turns, c.Turns)
				sum += c.Turns
				if c.Failed {
					want.failedTasks++
				}
			}
		}
		for _, pair := range use.Pairs() {
			got.calls, got.failed, got.denied, got.unknown = got.calls+pair.Calls, got.failed+pair.Failed, got.denied+pair.Denied, got.unknown+pair.Unknown
			got.took += time.Duration(math.Round(pair.Total * 1e9))
		}
		for _, a := range use.Agents {
			got.tasks, got.failedTasks = got.tasks+a.Tasks, got.failedTasks+a.FailedTasks
		}
		if got.calls != want.calls || got.failed != want.failed || got.denied != want.denied || got.unknown != want.unknown || got.tasks != want.tasks || got.failedTasks != want.failedTasks {
			t.Fatalf("by agent and tool: %+v; want %+v", got, want)
		}
		if use.Calls != want.calls || use.Tasks != want.tasks || int(use.Turns) != sum {
			t.Fatalf("in all: %d calls, %d tasks, %d turns; want %d, %d, %d", use.Calls, use.Tasks, use.Turns, want.calls, want.tasks, sum)
		}
		if diff := (got.took - want.took).Abs(); diff > time.Microsecond {
			t.Fatalf("took %v; want %v", got.took, want.took)
		}
		slices.Sort(want.turns)
		if n := len(want.turns); n > 0 {
			if p90 := want.turns[int(math.Ceil(0.9*float64(n)))-1]; use.TurnsP90 != float64(p90) {
				t.Fatalf("90th percentile of turns %v; want %v", use.TurnsP90, p90)
			}
		}
		var kept []analytics.ToolCall
		for c, err := range s.ToolCalls(t.Context(), analytics.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			c.Time = c.Time.Local()
			kept = append(kept, c)
		}
		byTime := func(a, b analytics.ToolCall) int { return a.Time.Compare(b.Time) }
		for i := range calls {
			calls[i].Time = calls[i].Time.Local()
		}
		slices.SortStableFunc(calls, byTime)
		if diff := cmp.Diff(calls, kept); diff != "" && len(calls)+len(kept) > 0 {
			t.Fatal(diff)
		}
	})
}
