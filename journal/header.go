package journal

import (
	"errors"
	"slices"
)

// Count takes an event into what the run's header says: its status, its end, and
// the sums over its steps. Implementations of [Store] call it for each event
// they append.
func (r *Run) Count(ev *Event) error {
	switch ev.Type {
	case RunFinished:
		var e Ended
		if err := ev.Decode(&e); err != nil {
			return err
		}
		r.Status = e.Status
		if e.Status.Ended() {
			r.FinishedAt = ev.Time
		}
	case StepFinished:
		var f Finished
		if err := ev.Decode(&f); err != nil {
			return err
		}
		r.Steps++
		r.pay(f.CostUSD, f.Usage.TotalTokens())
	case StepFailed:
		var f Failed
		if err := ev.Decode(&f); err != nil {
			return err
		}
		r.pay(f.CostUSD, f.Usage.TotalTokens())
	}
	return nil
}

func (r *Run) pay(usd *float64, tokens int) {
	r.Tokens += tokens
	if usd != nil {
		r.CostUSD += *usd
	}
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
