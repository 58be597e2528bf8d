package runs_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// TestTimeline draws steps of which it is known when they waited, or nothing.
func TestTimeline(t *testing.T) {
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	step := func(after, took float64, inFlight ...llm.Span) *engine.StepResult {
		at := begin.Add(time.Duration(after * float64(time.Second)))
		res := &engine.StepResult{Status: engine.StatusCompleted, StartedAt: &at, DurationSeconds: took}
		res.InFlight = inFlight
		return res
	}
	within := step(4, 6)
	within.Items = []*engine.ItemResult{
		{Item: "one", StepResult: step(4, 3, llm.Span{AtSeconds: 1, Seconds: 2})},
		{Item: "two", StepResult: step(7, 3, llm.Span{AtSeconds: 2.75, Seconds: 0.25})},
	}
	asks := step(8, 2)
	asks.Status = engine.StatusWaiting
	d := &runs.Detail{
		Workflow: &workflow.Workflow{Steps: []*workflow.Step{{ID: "first"}, {ID: "each"}, {ID: "short"}, {ID: "asks"}, {ID: "never"}}},
		Result: &engine.Result{Steps: map[string]*engine.StepResult{
			"first": step(0, 4, llm.Span{AtSeconds: 2, Seconds: 2}),
			"each":  within,
			"short": step(10, 0),
			"asks":  asks,
			"never": {Status: engine.StatusPending},
		}},
	}
	for _, test := range []struct {
		items bool
		want  []string
	}{
		{false, []string{"first --##", "each     -##---", "short          #", "asks         --", "never "}},
		{true, []string{"first --##", "each     -##---", "[one]     -##", "[two]        --#", "short          #", "asks         --", "never "}},
	} {
		timeline := d.Timeline(test.items)
		if timeline.Span() != 10*time.Second || !timeline.Begin.Equal(begin) {
			t.Errorf("it begins at %s and spans %s", timeline.Begin, timeline.Span())
		}
		var got []string
		for _, b := range timeline.Bars {
			from, strokes := timeline.Draw(&b, 10)
			line := b.Name + " " + strings.Repeat(" ", from)
			for _, s := range strokes {
				line += string("#-%"[s])
			}
			got = append(got, line)
		}
		if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("with items %t:\n%s\nwant\n%s", test.items, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

// TestTimelineOfWork draws what runs as working until now, what waits for a person as
// waiting, and finds and cuts out the time in which nothing worked.
func TestTimelineOfWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		step := func(ago, took time.Duration, status engine.Status, inFlight ...llm.Span) *engine.StepResult {
			at := now.Add(-ago)
			res := &engine.StepResult{Status: status, StartedAt: &at, DurationSeconds: took.Seconds()}
			res.InFlight = inFlight
			return res
		}
		each := step(10*time.Minute, 0, engine.StatusRunning)
		each.Items = []*engine.ItemResult{
			{Item: "ended", StepResult: step(10*time.Minute, time.Minute, engine.StatusCompleted, llm.Span{Seconds: 60})},
			{Item: "runs", StepResult: step(9*time.Minute, 0, engine.StatusRunning)},
		}
		d := &runs.Detail{
			Workflow: &workflow.Workflow{Steps: []*workflow.Step{{ID: "first"}, {ID: "ok", Approval: &workflow.Approval{}}, {ID: "each"}}},
			Result: &engine.Result{Steps: map[string]*engine.StepResult{
				"first": step(100*time.Minute, 20*time.Minute, engine.StatusCompleted),
				"ok":    step(80*time.Minute, 70*time.Minute, engine.StatusCompleted),
				"each":  each,
			}},
		}
		draw := func(timeline *runs.Timeline) (lines []string) {
			for _, b := range timeline.Bars {
				from, strokes := timeline.Draw(&b, 10)
				line := strings.Repeat(" ", from)
				for _, s := range strokes {
					line += string("#-%"[s])
				}
				lines = append(lines, line)
			}
			return lines
		}
		timeline := d.Timeline(false)
		if got, want := draw(timeline), []string{"##", "  -------", "         #"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		idle := timeline.Idle(time.Minute)
		if len(idle) != 1 || !idle[0][0].Equal(now.Add(-80*time.Minute)) || !idle[0][1].Equal(now.Add(-10*time.Minute)) {
			t.Errorf("idle: %v", idle)
		}
		if long := timeline.Idle(71 * time.Minute); len(long) != 0 {
			t.Errorf("idle for longer: %v", long)
		}
		if got, want := draw(timeline.Cut(idle[0][1], now)), []string{"", "", "##########"}; !slices.Equal(got, want) {
			t.Errorf("the last part: %q, want %q", got, want)
		}
		if got, want := draw(timeline.Cut(now.Add(-90*time.Minute), now.Add(-70*time.Minute))), []string{"#####", "     -----", ""}; !slices.Equal(got, want) {
			t.Errorf("a part: %q, want %q", got, want)
		}
	})
}
