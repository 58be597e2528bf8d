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
	drawn := drawTimeline(d)
	if len(drawn.Rows) != timelineRows || drawn.More != 7 {
		t.Errorf("%d steps are drawn, %d are not", len(drawn.Rows), drawn.More)
	}
	for _, row := range drawn.Rows {
		if p := row.Pieces; len(p) != 1 || p[0].X < 0 || p[0].X+p[0].Width > 100.001 || p[0].Class != "t-completed" {
			t.Errorf("%s is drawn as %v", row.Name, p)
		}
	}
}
