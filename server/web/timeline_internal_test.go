package web

import (
	"fmt"
	"testing"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// TestLongTimeline draws no more steps than can be looked at, and says how many more
// there are.
func TestLongTimeline(t *testing.T) {
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	d := &runs.Detail{Workflow: &workflow.Workflow{}, Result: &engine.Result{Steps: map[string]*engine.StepResult{}}}
	for i := range timelineRows + 7 {
		id, at := fmt.Sprintf("step-%d", i), begin.Add(time.Duration(i)*time.Second)
		d.Workflow.Steps = append(d.Workflow.Steps, &workflow.Step{ID: id})
		d.Result.Steps[id] = &engine.StepResult{Status: engine.StatusCompleted, StartedAt: &at, DurationSeconds: 1}
	}
	drawn := drawTimeline(d, false)
	if len(drawn.Rows) != timelineRows || drawn.More != 7 {
		t.Errorf("%d steps are drawn, %d are not", len(drawn.Rows), drawn.More)
	}
	for _, row := range drawn.Rows {
		if p := row.Pieces; len(p) != 1 || p[0].X < 0 || p[0].X+p[0].Width > 100.001 || p[0].Class != "t-completed" {
			t.Errorf("%s is drawn as %v", row.Name, p)
		}
	}
}

// TestIdleTime collapses the time in which nothing worked: what was before and after it
// keeps its proportions, and the ticks say how late it was.
func TestIdleTime(t *testing.T) {
	begin := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	d := &runs.Detail{Workflow: &workflow.Workflow{}, Result: &engine.Result{Steps: map[string]*engine.StepResult{}}}
	add := func(id string, approval *workflow.Approval, from, to time.Duration) {
		at := begin.Add(from)
		d.Workflow.Steps = append(d.Workflow.Steps, &workflow.Step{ID: id, Approval: approval})
		d.Result.Steps[id] = &engine.StepResult{Status: engine.StatusCompleted, StartedAt: &at, DurationSeconds: (to - from).Seconds()}
	}
	add("draft", nil, 0, 3*time.Minute)
	add("ok", &workflow.Approval{}, 3*time.Minute, 10*time.Hour)
	add("publish", nil, 10*time.Hour, 10*time.Hour+time.Minute)
	for _, full := range []bool{false, true} {
		drawn := drawTimeline(d, full)
		if drawn.IdleTook != "9h57m0s" {
			t.Errorf("%s are idle", drawn.IdleTook)
		}
		var widths []float64
		for _, row := range drawn.Rows {
			width := 0.0
			for _, p := range row.Pieces {
				if want := map[bool]string{true: "t-waited", false: "t-completed"}[row.Name == "ok"]; p.Class != want {
					t.Errorf("%s is drawn as %s", row.Name, p.Class)
				}
				width += p.Width
			}
			widths = append(widths, width)
		}
		if full {
			if len(drawn.Idle) != 0 || widths[1] < 99 {
				t.Errorf("in full: %v, %v", drawn.Idle, widths)
			}
			continue
		}
		if len(drawn.Idle) != 1 || widths[0] < 2.8*widths[2] || widths[0] > 3.2*widths[2] || widths[1] != idleWidth {
			t.Errorf("collapsed: %v, %v", drawn.Idle, widths)
		}
		last := drawn.Ticks[len(drawn.Ticks)-1]
		if last.Text != "10h1m" && last.Text != "10h" {
			t.Errorf("the last tick is %+v", last)
		}
	}
}
