// Package audit compares what the stores say about money: the attempts, calls and
// sums of analytics, the journals of runs, and the ledger of budgets. Each is
// written at another moment by another part of the program, so that they agree
// shows that none of them lost or invented anything.
package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/dustin/go-humanize/english"
)

// Problem is a pair of figures that must be equal and are not, or a figure that is
// above another that bounds it.
type Problem struct {
	What  string  `json:"what"` // what both are of
	First float64 `json:"first_usd"`
	Other float64 `json:"other_usd"`
}

// Check is one comparison over everything it applies to.
type Check struct {
	Name     string    `json:"name"`
	Compared int       `json:"compared"`
	Problems []Problem `json:"problems"`
	Pending  []Problem `json:"pending,omitempty"` // figures that differ until what is named is resumed
	Note     string    `json:"note,omitempty"`    // what explains other figures that may differ, with how many do
}

// Report is what [Verify] found.
type Report struct {
	Calls    int     `json:"calls"`    // compared with their attempts
	Attempts int     `json:"attempts"` // requests that were sent
	CostUSD  float64 `json:"cost_usd"` // of all calls that are kept
	Checks   []Check `json:"checks"`
}

// OK reports whether everything agrees.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return len(c.Problems) > 0 })
}

// Stores are what is compared. Runs and Ledger may be nil.
type Stores struct {
	Calls *callsdb.Store
	Runs  journal.Store
	// Ledger returns the balances of the budgets whose keys start with prefix.
	Ledger func(prefix string) (map[string]budget.Balance, error)
}

// Verify compares the stores. Runs that a process is working on are left out, since
// they change meanwhile.
func Verify(ctx context.Context, s Stores) (*Report, error) {
	v, err := s.Calls.Verify(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{Calls: v.Calls, Attempts: v.Attempts, CostUSD: v.Cost.USD(), Checks: []Check{
		{Name: "each call costs what its attempts cost", Compared: v.Calls, Problems: problems(v.CallsDiffer)},
		{Name: "the sum of each day is that of its calls", Compared: v.Days, Problems: problems(v.DaysDiffer)},
		{Name: "the sum of each run is that of its calls", Compared: v.Runs, Problems: problems(v.RunsDiffer)},
	}}
	working := map[string]bool{}
	if s.Runs != nil {
		check, err := runs(ctx, s.Runs, v.RunCosts, working)
		if err != nil {
			return nil, err
		}
		r.Checks = append(r.Checks, check)
	}
	if s.Ledger != nil {
		check, err := ledger(s.Ledger, v.RunCosts, working)
		if err != nil {
			return nil, err
		}
		r.Checks = append(r.Checks, check)
	}
	return r, nil
}

// runs compares the journals of runs with their calls. A process that is killed
// between the end of a call and its event in the journal leaves a call that the
// journal lacks until the run is resumed, which counts it. A run that has ended by
// itself counts all.
func runs(ctx context.Context, store journal.Store, costs map[string]llm.Money, working map[string]bool) (Check, error) {
	c := Check{Name: "the journal of each run names what its calls cost", Problems: []Problem{}}
	older, extra := 0, llm.Money(0)
	for run, err := range store.Runs(ctx, journal.Filter{}) {
		if err != nil {
			return c, fmt.Errorf("reading runs: %w", err)
		}
		if !run.Status.Ended() && run.Owner != nil && run.Owner.Alive {
			working[run.ID] = true
			continue
		}
		paid, recorded := costs[run.ID]
		if !recorded {
			continue // simulated, replayed, or older than what is kept
		}
		c.Compared++
		switch journaled := llm.Dollars(run.CostUSD); {
		case journaled > paid:
			c.Problems = append(c.Problems, Problem{"run " + run.ID, run.CostUSD, paid.USD()})
		case journaled < paid:
			differ := Problem{"run " + run.ID, run.CostUSD, paid.USD()}
			ended, counts, err := endOf(ctx, store, run.ID)
			switch {
			case err != nil:
				return c, err
			case !ended && run.Status != journal.StatusCancelled:
				c.Pending = append(c.Pending, differ)
			case ended && counts:
				c.Problems = append(c.Problems, differ)
			default:
				older++
				extra += paid - journaled
			}
		}
	}
	if older > 0 {
		c.Note = fmt.Sprintf("%d runs have calls for %v more than their journals: they were cancelled after their process was killed, or ended with an older version", older, extra)
	}
	return c, nil
}

// endOf reports whether the last process that owned a run wrote its end, and
// whether that counts all that the run cost.
func endOf(ctx context.Context, store journal.Store, id string) (ended, counts bool, err error) {
	for ev, err := range store.Events(ctx, id, 0) {
		if err != nil {
			return false, false, fmt.Errorf("reading run %s: %w", id, err)
		}
		switch ev.Type {
		case journal.RunFinished:
			var end journal.RunEnd
			if err := ev.Decode(&end); err != nil {
				return false, false, err
			}
			ended, counts = true, end.UncountedUSD != nil
		case journal.RunStarted, journal.RunResumed, journal.StepStarted, journal.StepAttempt, journal.TurnAnswered:
			ended = false
		}
	}
	return ended, counts, nil
}

// ledger compares the budgets of runs with their calls. A budget that was set when
// a run was resumed has not seen the calls before.
func ledger(balances func(string) (map[string]budget.Balance, error), costs map[string]llm.Money, working map[string]bool) (Check, error) {
	c := Check{Name: "the budget of each run was charged what its calls cost", Problems: []Problem{}}
	prefix := string(budget.Run) + "/"
	found, err := balances(prefix)
	if err != nil {
		return c, fmt.Errorf("reading budgets: %w", err)
	}
	less, uncertain := 0, llm.Money(0)
	for key, b := range found {
		id := strings.TrimPrefix(key, prefix)
		paid, recorded := costs[id]
		if !recorded || working[id] {
			continue
		}
		c.Compared++
		uncertain += b.Uncertain.Money
		switch charged := b.Spent.Money - b.Uncertain.Money; {
		case charged > paid:
			c.Problems = append(c.Problems, Problem{"run " + id, charged.USD(), paid.USD()})
		case charged < paid:
			less++
		}
	}
	var notes []string
	if less > 0 {
		notes = append(notes, fmt.Sprintf("not charged in full, since they were set after some of the calls or their process was killed before it could settle: %s", english.Plural(less, "budget", "")))
	}
	if uncertain > 0 {
		notes = append(notes, fmt.Sprintf("%v are charged for attempts that broke off and may not have been billed", uncertain))
	}
	c.Note = strings.Join(notes, "; ")
	return c, nil
}

func problems(list []callsdb.Difference) []Problem {
	out := make([]Problem, 0, len(list))
	for _, d := range list {
		out = append(out, Problem{d.What, d.A.USD(), d.B.USD()})
	}
	return out
}
