package journal

import (
	"errors"
	"slices"

	"github.com/claude-force/claude-force/llm"
)

// Count takes an event into what the run's header says: its status, its end, and
// the sums over its steps. Implementations of [Store] call it for each event
// they append.
func (r *Run) Count(ev *Event) error {
	switch ev.Type {
	case RunFinished:
		var e RunEnd
		if err := ev.Decode(&e); err != nil {
			return err
		}
		r.Status = e.Status
		if e.Status.Ended() {
			r.FinishedAt = ev.Time
		}
	case StepFinished, StepFailed:
		var paid struct { // what counts of Finished and Failed
			Usage   llm.Usage `json:"usage"`
			CostUSD *float64  `json:"cost_usd"`
		}
		if err := ev.Decode(&paid); err != nil {
			return err
		}
		r.Tokens += paid.Usage.TotalTokens()
		if paid.CostUSD != nil {
			r.CostUSD += *paid.CostUSD
		}
		if ev.Type == StepFinished {
			r.Steps++
		}
	}
	return nil
}

// Fits reports whether a run is one of those the filter means, whatever its
// limit.
func (f *Filter) Fits(r *Run) bool {
	if f.Workflow != "" && f.Workflow != r.Workflow || f.File != "" && f.File != r.File {
		return false
	}
	if !f.Before.IsZero() && !r.StartedAt.Before(f.Before) || r.StartedAt.Before(f.After) {
		return false
	}
	return len(f.Statuses) == 0 || slices.Contains(f.Statuses, r.Status)
}

// CheckNew says what is wrong with a run that is to be created.
func (r *Run) CheckNew() error {
	switch r.ID {
	case "":
		return errors.New("a run must have an id")
	case Latest:
		return errors.New(`no run can have the id "latest": it means the one that was started last`)
	}
	return nil
}
