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
		var e RunEnd
		if err := ev.Decode(&e); err != nil {
			return err
		}
		r.Status, r.Exit = e.Status, nil
		if e.Exited != nil {
			r.Exit = &e.Exited.Exit
		}
		if e.Status.Ended() {
			r.FinishedAt = ev.Time
		}
		if e.UncountedUSD != nil {
			r.CostUSD += *e.UncountedUSD
		}
	case RunResumed, StepStopped:
		var e Stopped // what counts of Resumed
		if err := ev.Decode(&e); err != nil {
			return err
		}
		r.CostUSD += e.UncountedUSD
	case TurnAnswered:
		var paid Paid
		if err := ev.Decode(&paid); err != nil {
			return err
		}
		r.pay(&paid, 1)
	case StepFinished, StepFailed:
		var paid struct { // what counts of Finished and Failed
			Paid
			PaidInTurns *Paid `json:"paid_in_turns"`
		}
		if err := ev.Decode(&paid); err != nil {
			return err
		}
		r.pay(&paid.Paid, 1)
		if paid.PaidInTurns != nil { // that was counted with the turns
			r.pay(paid.PaidInTurns, -1)
		}
		if ev.Type == StepFinished {
			r.Steps++
		}
	}
	return nil
}

// pay adds what was paid to the sums of the run, or takes it from them if sign is -1.
func (r *Run) pay(p *Paid, sign int) {
	r.Tokens += sign * p.Usage.TotalTokens()
	if p.CostUSD != nil {
		r.CostUSD += float64(sign) * *p.CostUSD
	}
}

// Fits reports whether a run is one of those the filter means, whatever its
// limit.
func (f *Filter) Fits(r *Run) bool {
	if f.Workflow != "" && f.Workflow != r.Workflow || f.File != "" && f.File != r.File || f.StartedBy != "" && f.StartedBy != r.StartedBy {
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
