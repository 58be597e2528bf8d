package analyticstest

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
)

func randomTool(rng *rand.Rand) analytics.ToolCall {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	return analytics.ToolCall{
		Time: Epoch.Add(time.Duration(rng.Int64N(int64(72 * time.Hour)))).UTC(), Project: pick("/p", "/q"), Workflow: pick("", "w"), Run: pick("", "r"), Step: "s", Item: "i",
		Agent: pick("a", "b"), Tool: pick("Read", "Bash", "mcp__x__y"), Outcome: analytics.ToolOutcome(rng.IntN(4)), Duration: time.Duration(1 + rng.Int64N(int64(time.Minute))),
	}
}

func randomTask(rng *rand.Rand) analytics.ToolTask {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	return analytics.ToolTask{
		Time: Epoch.Add(time.Duration(rng.Int64N(int64(72 * time.Hour)))).UTC(), Project: pick("/p", "/q"), Workflow: pick("", "w"), Run: pick("", "r"), Step: "s", Item: "i",
		Agent: pick("a", "b", "c"), Model: "m", Turns: 1 + rng.IntN(30), ToolCalls: rng.IntN(30), Failed: rng.IntN(2) == 0, Duration: time.Second,
	}
}

// RandomTools returns calls of tools and tasks within three days of Epoch.
func RandomTools() ([]analytics.ToolCall, []analytics.ToolTask) {
	rng := rand.New(rand.NewPCG(8, 9))
	calls, tasks := make([]analytics.ToolCall, 1500), make([]analytics.ToolTask, 400)
	for i := range calls {
		calls[i] = randomTool(rng)
	}
	for i := range tasks {
		tasks[i] = randomTask(rng)
	}
	return calls, tasks
}

// addTools adds calls of tools and tasks for the projects of [RandomCall], n of each.
func addTools(t *testing.T, s analytics.Store, rng *rand.Rand, n int) {
	t.Helper()
	calls, tasks := make([]analytics.ToolCall, n), make([]analytics.ToolTask, n)
	for i := range n {
		calls[i], tasks[i] = randomTool(rng), randomTask(rng)
		calls[i].Project, tasks[i].Project = RandomCall(rng).Project, RandomCall(rng).Project
	}
	if err := errors.Join(s.AddTools(t.Context(), calls...), s.AddTasks(t.Context(), tasks...)); err != nil {
		t.Errorf("adding what agents did with tools: %v", err)
	}
}

// toolsByHand returns what the rows of a period say of tools, without any sums.
func toolsByHand(t *testing.T, s analytics.Store, f analytics.Filter) (sum analytics.ToolTotals) {
	t.Helper()
	fits := func(at time.Time, project string) bool {
		return (f.Since.IsZero() || !at.Before(f.Since)) && (f.Until.IsZero() || at.Before(f.Until)) && (f.Project == "" || f.Project == project)
	}
	for c, err := range s.ToolCalls(t.Context(), analytics.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if !fits(c.Time, c.Project) {
			continue
		}
		sum.ToolCalls++
		switch c.Outcome {
		case analytics.ToolFailed:
			sum.Failed++
		case analytics.ToolDenied:
			sum.Denied++
		case analytics.ToolUnknown:
			sum.Unknown++
		}
	}
	for c, err := range s.ToolTasks(t.Context(), analytics.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if fits(c.Time, c.Project) {
			sum.Tasks++
			sum.Turns += int64(c.Turns)
		}
	}
	return sum
}

// checkTools compares what the summary of a period says of tools with the rows.
func checkTools(t *testing.T, s analytics.Store, f analytics.Filter) {
	t.Helper()
	summary, err := s.Summary(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	var got analytics.ToolTotals
	if summary.Tools != nil {
		got = *summary.Tools
	}
	if want := toolsByHand(t, s, f); got != want {
		t.Fatalf("tools, %+v: sums are %+v; the rows %+v", f, got, want)
	}
}

func tools(t *testing.T, s analytics.Store) {
	calls, tasks := RandomTools()
	if err := s.AddTools(t.Context(), calls...); err != nil {
		t.Fatal(err)
	}
	if err := s.AddTasks(t.Context(), tasks...); err != nil {
		t.Fatal(err)
	}
	CheckTools(t, s, calls, tasks)
}

// CheckTools checks that a store has these calls and tasks and no others, and compares its
// figures of any period with theirs, one by one.
func CheckTools(t *testing.T, s analytics.Store, calls []analytics.ToolCall, tasks []analytics.ToolTask) {
	t.Helper()
	var kept []analytics.ToolCall
	for c, err := range s.ToolCalls(t.Context(), analytics.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	var keptTasks []analytics.ToolTask
	for c, err := range s.ToolTasks(t.Context(), analytics.Filter{Project: "/q", Since: Epoch.Add(time.Hour)}) {
		if err != nil {
			t.Fatal(err)
		}
		keptTasks = append(keptTasks, c)
	}
	slices.SortStableFunc(calls, func(a, b analytics.ToolCall) int { return a.Time.Compare(b.Time) })
	slices.SortStableFunc(tasks, func(a, b analytics.ToolTask) int { return a.Time.Compare(b.Time) })
	if diff := gocmp.Diff(calls, kept); diff != "" {
		t.Fatal(diff)
	}
	later := slices.DeleteFunc(slices.Clone(tasks), func(c analytics.ToolTask) bool { return c.Project != "/q" || c.Time.Before(Epoch.Add(time.Hour)) })
	if diff := gocmp.Diff(later, keptTasks, cmpopts.EquateEmpty()); diff != "" {
		t.Fatal(diff)
	}
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		f := analytics.Filter{Project: rapid.SampledFrom([]string{"", "/p"}).Draw(t, "project")}
		f.Since = Epoch.Add(time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "since")))
		if rapid.Bool().Draw(t, "until") {
			f.Until = f.Since.Add(20 * time.Hour)
		}
		workflow := rapid.SampledFrom([]string{"", "w"}).Draw(t, "workflow")
		meant := func(at time.Time, project, of string) bool {
			return !at.Before(f.Since) && (f.Until.IsZero() || at.Before(f.Until)) && (f.Project == "" || f.Project == project) && (workflow == "" || workflow == of)
		}
		var want struct {
			analytics.ToolTotals
			failedTasks int64
			took        time.Duration
			turns       []int
		}
		for _, c := range calls {
			if !meant(c.Time, c.Project, c.Workflow) {
				continue
			}
			want.ToolCalls++
			switch c.Outcome {
			case analytics.ToolDenied:
				want.Denied++
			case analytics.ToolUnknown:
				want.Unknown++
			case analytics.ToolFailed:
				want.Failed++
				want.took += c.Duration
			default:
				want.took += c.Duration
			}
		}
		for _, c := range tasks {
			if meant(c.Time, c.Project, c.Workflow) {
				want.Tasks++
				want.Turns += int64(c.Turns)
				want.turns = append(want.turns, c.Turns)
				if c.Failed {
					want.failedTasks++
				}
			}
		}
		use, err := s.Tools(outer.Context(), f, workflow)
		if err != nil {
			t.Fatal(err)
		}
		got := analytics.ToolTotals{Tasks: use.Tasks, Turns: use.Turns, ToolCalls: use.Calls, Failed: use.Failed, Denied: use.Denied, Unknown: use.Unknown}
		if got != want.ToolTotals || use.FailedTasks != want.failedTasks || math.Abs(use.Total-want.took.Seconds()) > 1e-6 {
			t.Fatalf("%+v, %d failed tasks, %v s; want %+v", got, use.FailedTasks, use.Total, want)
		}
		slices.Sort(want.turns)
		if n := len(want.turns); n > 0 && use.TurnsP90 != float64(want.turns[int(math.Ceil(0.9*float64(n)))-1]) {
			t.Fatalf("90th percentile of turns %v of %v", use.TurnsP90, want.turns)
		}
		if workflow != "" {
			return
		}
		sum, err := s.Summary(outer.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if total := sum.Tools; total == nil && got != (analytics.ToolTotals{}) || total != nil && *total != got {
			t.Fatalf("the summary says %+v; want %+v", total, got)
		}
	})
}

func taskTurns(t *testing.T, s analytics.Store) {
	var tasks []analytics.ToolTask
	for i, turns := range []int{1, 2, 3, 4} {
		tasks = append(tasks, analytics.ToolTask{Time: Epoch.Add(time.Duration(i) * time.Second), Project: "/app", Agent: "a", Model: "m", Turns: turns, Failed: turns == 3})
	}
	tasks = append(tasks, analytics.ToolTask{Time: Epoch, Project: "/other", Agent: "a", Model: "m", Turns: 9}, analytics.ToolTask{Time: Epoch, Project: "/app", Agent: "a", Model: "n", Turns: 9})
	if err := s.AddTasks(t.Context(), tasks...); err != nil {
		t.Fatal(err)
	}
	got, err := s.TaskTurns(t.Context(), "/app", "a", "m", 2)
	if err != nil || !slices.Equal(got, []int{4, 2}) {
		t.Errorf("got %v, %v; want the latest two that did not fail, 4 and 2", got, err)
	}
}

// pruneDropsTools: they go with the rows of calls, as do their sums.
func pruneDropsTools(t *testing.T, s analytics.Store) {
	for day := range 4 {
		at := Epoch.AddDate(0, 0, day)
		if err := s.AddTools(t.Context(), analytics.ToolCall{Time: at, Agent: "a", Tool: "Read"}); err != nil {
			t.Fatal(err)
		}
		if err := s.AddTasks(t.Context(), analytics.ToolTask{Time: at, Agent: "a", Turns: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Prune(t.Context(), analytics.Retention{Rows: 24 * time.Hour}, Epoch.AddDate(0, 0, 3)); err != nil {
		t.Fatal(err)
	}
	use, err := s.Tools(t.Context(), analytics.Filter{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if use.Calls != 2 || use.Tasks != 2 || use.Turns != 4 {
		t.Errorf("%d calls, %d tasks, %d turns; want 2, 2, 4", use.Calls, use.Tasks, use.Turns)
	}
	checkTools(t, s, analytics.Filter{})

	// The rows of any days, some of which others of the same hours follow.
	rng := rand.New(rand.NewPCG(12, 13))
	addTools(t, s, rng, 700)
	for keep := 72 * time.Hour; keep > 0; keep -= 24 * time.Hour {
		if _, err := s.Prune(t.Context(), analytics.Retention{Rows: keep}, Epoch.AddDate(0, 0, 4)); err != nil {
			t.Fatal(err)
		}
		checkTools(t, s, analytics.Filter{})
		addTools(t, s, rng, 50)
		checkTools(t, s, analytics.Filter{})
		checkTools(t, s, analytics.Filter{Project: "one", Since: Epoch.Add(30 * time.Hour)})
	}
}
