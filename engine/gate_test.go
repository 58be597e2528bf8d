package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

const valueGates = `
steps:
- {id: where, approval: {message: where, choices: [x, y]}}
- {id: form, approval: {message: "to ${{ steps.where.output }}", schema: {type: object, properties: {n: {type: integer}}}}}
- {id: go, agent: x, task: "${{ steps.where.output }} ${{ steps.form.json.n }}"}
- {id: no, approval: {message: no, schema: {type: string}}, on_failure: skip_dependents}
- {id: why, agent: x, task: "${{ steps.no.reason }}"}
`

// Steps see the same answer and the same reason after a resume from each event.
func TestAnswersOfGatesAreKept(t *testing.T) {
	want := map[string]string{"go": "y 7", "why": "too late"}
	decide := func(path, _ string) (time.Duration, journal.Decision, bool) {
		d := map[string]journal.Decision{
			"where": {Approved: true, Value: []byte(`"y"`)},
			"form":  {Approved: true, Value: []byte(`{"n":7}`)},
			"no":    {Comment: "too late"},
		}[path]
		return time.Second, d, true
	}
	var events []journal.Event
	check := func(from []journal.Event) {
		synctest.Test(t, func(t *testing.T) {
			w, b := &world{}, newBook(t, from...)
			p := newPerson(b, decide)
			opts := engine.Options{RunID: bookID, Execute: w.execute, Log: b.log, Control: p.control, Observe: p.observe}
			if from != nil {
				opts.Past = past(t, from)
			}
			res := run(t.Context(), parse(t, valueGates), opts)
			got := map[string]string{}
			for unit := range want {
				if got[unit] = want[unit]; w.times(unit) > 0 {
					got[unit] = w.prompt(unit)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" || res.Status != engine.StatusCompleted || res.Steps["no"].Reason != "too late" {
				t.Errorf("after %d events: %s, %q: %s", len(from), res.Status, res.Steps["no"].Reason, diff)
			}
			if from == nil {
				events = b.events(t)
			}
		})
	}
	check(nil)
	for n := 1; n < len(events); n++ {
		check(events[:n])
	}
}

// The reason of a no can be read whoever stands in for the gate.
func TestReasonIsKeptWithAFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		p := newPerson(nil, func(string, string) (time.Duration, journal.Decision, bool) {
			return time.Second, journal.Decision{Comment: "too late"}, true
		})
		run(t.Context(), parse(t, `
steps:
- {id: ask, approval: {message: may it?}, on_failure: {fallback: instead}}
- {id: instead, agent: x, task: t}
- {id: why, agent: x, task: "${{ steps.ask.output }}: ${{ steps.ask.reason }}"}
`), engine.Options{RunID: bookID, Execute: w.execute, Control: p.control, Observe: p.observe})
		if got := w.prompt("why"); got != "result of instead: too late" {
			t.Errorf("why was asked %q", got)
		}
	})
}
