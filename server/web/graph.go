package web

import (
	"fmt"
	"html/template"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// maxBoxes is how many steps are drawn without being asked for.
const maxBoxes = 300

// graph draws the steps of a run with their states. A foreach is one box.
func graph(d *runs.Detail) template.HTML {
	drawing := d.Workflow.Drawing(func(s *workflow.Step) workflow.Mark {
		res := d.Result.Steps[s.ID]
		if res == nil {
			return workflow.Mark{}
		}
		status := res.Status
		if d.State.Unit(s.ID, "").Retries() {
			status = engine.StatusWaiting
		}
		mark := workflow.Mark{Class: "g-" + states[string(status)].icon, Note: string(status), Address: stepAddress(d.Run.ID, journal.Unit{Step: s.ID})}
		if n := len(res.Items); n > 0 {
			done := 0
			for _, item := range res.Items {
				if item.Status == engine.StatusCompleted {
					done++
				}
			}
			mark.Note += fmt.Sprintf(" %s/%s", amount.Thousands(done), amount.Thousands(n))
			mark.Done = float64(done) / float64(n)
		} else if res.CostUSD != nil && *res.CostUSD > 0 {
			mark.Note += " · " + dollars(res.CostUSD)
		}
		return mark
	})
	return template.HTML(drawing) //nolint:gosec // of escaped texts
}
