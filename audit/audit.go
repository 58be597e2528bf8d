// Package audit compares what the stores say about money: the attempts, calls and
// sums of analytics, the journals of runs, and the ledger of budgets. Each is
// written at another moment by another part of the program, so that they agree
// shows that none of them lost or invented anything.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/analytics"
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

	Detail string `json:"detail,omitempty"` // the figures, where they are no money
}

// runPrefix is what the keys of the budgets of runs start with.
const runPrefix = string(budget.Run) + "/"

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
	// UncertainUSD is what may have been billed beyond CostUSD, by attempts that broke
	// off or whose process was killed.
	UncertainUSD float64 `json:"uncertain_usd"`
	Checks       []Check `json:"checks"`
}

// OK reports whether everything agrees.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return len(c.Problems) > 0 })
}

// Stores are what is compared. Runs and Ledger may be nil.
type Stores struct {
	// Calls opens the store of calls, with all that processes which have ended by now
	// have recorded.
	Calls func(context.Context) (analytics.Store, error)
	Runs  journal.Store
	// Ledger returns the balances of the budgets whose keys start with prefix.
	Ledger func(prefix string) (map[string]budget.Balance, error)
}

// Verify compares the stores. Runs that a process is working on are left out, since
// they change meanwhile. So the journals are read first, and the calls last: what was
// written when a run was looked at is in what is read later.
func Verify(ctx context.Context, s Stores) (*Report, error) {
	var ended []journal.Run
	working := map[string]bool{}
	if s.Runs != nil {
		for run, err := range s.Runs.Runs(ctx, journal.Filter{}) {
			switch {
			case err != nil:
				return nil, fmt.Errorf("reading runs: %w", err)
			case !run.Status.Ended() && run.Owned():
				working[run.ID] = true
			default:
				ended = append(ended, run)
			}
		}
	}
	var budgets map[string]budget.Balance
	if s.Ledger != nil {
		var err error
		if budgets, err = s.Ledger(runPrefix); err != nil {
			return nil, fmt.Errorf("reading budgets: %w", err)
		}
	}
	v, err := verifyCalls(ctx, s.Calls)
	if err != nil {
		return nil, err
	}
	r := &Report{Calls: v.Calls, Attempts: v.Attempts, CostUSD: v.Cost.USD(), UncertainUSD: v.Uncertain.USD(), Checks: []Check{
		{Name: "each call costs what its attempts cost", Compared: v.Calls, Problems: problems(v.CallsDiffer)},
		{Name: "the sum of each day is that of its calls", Compared: v.Days, Problems: problems(v.DaysDiffer)},
		{Name: "the sum of each run is that of its calls", Compared: v.Runs, Problems: problems(v.RunsDiffer)},
		{Name: "the sum of the tools of each hour is that of its rows", Compared: v.Tools, Problems: toolProblems(v.ToolsDiffer)},
	}}
	if s.Runs != nil {
		check, err := journals(ctx, s.Runs, ended, v.RunCosts)
		if err != nil {
			return nil, err
		}
		r.Checks = append(r.Checks, check)
	}
	if s.Ledger != nil {
		r.Checks = append(r.Checks, ledger(budgets, &v, working)...)
	}
	return r, nil
}

func verifyCalls(ctx context.Context, open func(context.Context) (analytics.Store, error)) (v analytics.Verified, err error) {
	store, err := open(ctx)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Verify(ctx)
}

// journals compares the journals of runs with their calls. A process that is killed
// between the end of a call and its event in the journal leaves a call that the
// journal lacks until the run is resumed, which counts it. A run that has ended by
// itself counts all.
func journals(ctx context.Context, store journal.Store, runs []journal.Run, costs map[string]llm.Money) (Check, error) {
	c := Check{Name: "the journal of each run names what its calls cost", Problems: []Problem{}}
	older, extra := 0, llm.Money(0)
	for _, run := range runs {
		paid, recorded := costs[run.ID]
		if !recorded {
			continue // simulated, replayed, or older than what is kept
		}
		c.Compared++
		switch journaled := llm.Dollars(run.CostUSD); {
		case journaled > paid:
			c.Problems = append(c.Problems, Problem{What: "run " + run.ID, First: run.CostUSD, Other: paid.USD()})
		case journaled < paid:
			differ := Problem{What: "run " + run.ID, First: run.CostUSD, Other: paid.USD()}
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

// ledger compares the budgets of runs with their calls: what was charged for certain,
// and what may not have been billed. A budget that was set when a run was resumed has
// not seen the calls before, and one of an earlier version not those that were cut off.
func ledger(found map[string]budget.Balance, v *analytics.Verified, working map[string]bool) []Check {
	certain := Check{Name: "the budget of each run was charged what its calls cost", Problems: []Problem{}}
	doubted := Check{Name: "the budget of each run doubts what its attempts do", Problems: []Problem{}}
	less := 0
	for key, b := range found {
		id := strings.TrimPrefix(key, runPrefix)
		paid, recorded := v.RunCosts[id]
		if !recorded || working[id] {
			continue
		}
		lower := certain.compare(id, b.Spent.Money-b.Uncertain.Money, paid)
		if doubted.compare(id, b.Uncertain.Money, v.RunUncertain[id]) || lower {
			less++
		}
	}
	if less > 0 {
		certain.Note = "not charged in full, since they were set after some of the calls or are of an earlier version: " + english.Plural(less, "budget", "")
	}
	return []Check{certain, doubted}
}

// compare notes a problem if the budget of a run says more than its calls. It reports
// whether it says less.
func (c *Check) compare(run string, charged, recorded llm.Money) (less bool) {
	c.Compared++
	if charged > recorded {
		c.Problems = append(c.Problems, Problem{What: "run " + run, First: charged.USD(), Other: recorded.USD()})
	}
	return charged < recorded
}

func problems(list []analytics.Difference) []Problem {
	out := make([]Problem, 0, len(list))
	for _, d := range list {
		out = append(out, Problem{What: d.What, First: d.A.USD(), Other: d.B.USD()})
	}
	return out
}

// toolProblems returns the differing sums of tools in the order of their hours.
func toolProblems(list []analytics.ToolDifference) []Problem {
	slices.SortFunc(list, func(a, b analytics.ToolDifference) int {
		return cmp.Or(a.Hour.Compare(b.Hour), strings.Compare(a.Project, b.Project))
	})
	out := make([]Problem, 0, len(list))
	for _, d := range list {
		out = append(out, Problem{
			What:   fmt.Sprintf("tools of %s in the hour of %s", d.Project, d.Hour.Format(time.RFC3339)),
			Detail: "summed as " + toolFigures(d.Sum) + ", and the rows are " + toolFigures(d.Rows),
		})
	}
	return out
}

func toolFigures(t analytics.ToolTotals) string {
	return fmt.Sprintf("%s (%d failed, %d denied, %d unknown) of %s with %s", english.Plural(int(t.ToolCalls), "call", ""), t.Failed, t.Denied, t.Unknown,
		english.Plural(int(t.Tasks), "task", ""), english.Plural(int(t.Turns), "turn", ""))
}
