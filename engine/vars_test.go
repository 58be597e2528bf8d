package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

const withVars = `
params: {n: 3, list: {default: [b, a]}}
vars:
  next: "${{ params.n + 1 }}"
  half: "${{ params.n / 2 }}"
  who: {names: "${{ sort(params.list) }}", n: "${{ vars.next }}"}
steps:
  - {id: a, agent: x, task: "${{ vars.next }} ${{ vars.half }} ${{ vars.who }}"}
  - {id: b, foreach: "${{ vars.who.names }}", when: vars.next > 3, value: "${{ item }}${{ vars.who.n }}"}
  - {id: c, agent: x, task: plain}
  - {id: sub, workflow: sub.yaml, with: {text: "${{ steps.a.output }}"}}
output: "${{ vars.half }} ${{ steps.b.json }} ${{ steps.sub.output }}"
`

var subWithVars = map[string]string{"sub.yaml": "params: {text: {default: t}}\nvars: {own: 'of ${{ params.text }}'}\nsteps:\n- {id: s, agent: x, task: 'do ${{ vars.own }}'}\noutput: '${{ upper(vars.own) }}'\n"}

func TestVars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parseFiles(t, withVars, subWithVars)
		whole := compute(t, wf, nil)
		if got := whole.world.prompt("a"); got != `4 1.5 {"names":["a","b"],"n":4}` {
			t.Errorf("a was asked %q", got)
		}
		if want := `1.5 ["a4","b4"] OF RESULT OF A`; whole.res.Output != want {
			t.Errorf("the run amounts to %q, not %q", whole.res.Output, want)
		}
		// A var made of a step's result is data, as that is.
		if got := whole.world.calls[len(whole.world.calls)-1].prompt; whole.world.prompt("sub/s") != "do of result of a" || strings.Contains(got, "<step") {
			t.Errorf("a short text is shown as it is, not as %q", got)
		}
		for n := 1; n < len(whole.events); n++ {
			again := compute(t, wf, whole.events[:n])
			if diff := cmp.Diff(whole.outcomes(), again.outcomes()); diff != "" {
				t.Errorf("after %d events: %s", n, diff)
			}
		}
		// Another expression with the same value wakes no step; another value does.
		same := parseFiles(t, strings.Replace(withVars, "params.n + 1", "params.n * 2 - 2", 1), subWithVars)
		changed := func(o *engine.Options) { o.Changed = true }
		if units := compute(t, same, whole.events, changed).world.units(); len(units) != 0 {
			t.Errorf("%q ran again", units)
		}
		other := parseFiles(t, strings.Replace(withVars, "params.n / 2", "params.n / 4", 1), subWithVars)
		if units := compute(t, other, whole.events, changed).world.units(); len(units) != 1 || units[0] != "a" {
			t.Errorf("%q ran again, not a alone", units)
		}
		if _, ok := whole.res.Steps["a"].Inputs["var who"]; !ok {
			t.Errorf("inputs %v", whole.res.Steps["a"].Inputs)
		}
	})
}

// TestVarsOfResultsAreFenced reads a long result of a step through a parameter and a var.
func TestVarsOfResultsAreFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parseFiles(t, "steps:\n- {id: a, agent: x, task: t}\n- {id: sub, workflow: sub.yaml, with: {text: '${{ steps.a.output }}'}}\n", subWithVars)
		l := compute(t, wf, nil, func(o *engine.Options) {
			w := &world{answer: func(engine.Attempt) (string, error) { return "one\ntwo", nil }}
			o.Execute = w.execute
			t.Cleanup(func() {
				if got := w.calls[len(w.calls)-1].prompt; !strings.Contains(got, "<step id=\"a\">\nof one\ntwo\n</step>") {
					t.Errorf("not fenced: %q", got)
				}
			})
		})
		if l.res.Status != engine.StatusCompleted {
			t.Error(l.res.Status)
		}
	})
}

// TestVarsFail has a var that cannot be computed: nothing starts, and the journal keeps
// what it has.
func TestVarsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, "params: {n: 0}\nvars:\n  part: '${{ [1, 2][params.n] }}'\nsteps:\n- {id: a, agent: x, task: '${{ vars.part }}'}\n- {id: b, agent: x, task: t}\n")
		whole := compute(t, wf, nil)
		for _, events := range [][]journal.Event{nil, whole.events} {
			l := compute(t, wf, events, func(o *engine.Options) { o.Params = map[string]any{"n": 5} })
			if l.res.Status != engine.StatusFailed || l.res.Error == nil || !strings.HasPrefix(*l.res.Error, "test.yaml:3:9: computing vars.part: evaluating ${{ [1, 2][params.n] }}: ") {
				t.Errorf("%s: %v", l.res.Status, l.res.Error)
			}
			if units := l.world.units(); len(units) != 0 {
				t.Errorf("%q ran", units)
			}
		}
		inner := parseFiles(t, "steps:\n- {id: s, workflow: sub.yaml, on_failure: continue}\n- {id: t, agent: x, task: t}\n",
			map[string]string{"sub.yaml": "params: {n: 9}\nvars: {x: '${{ [1][params.n] }}'}\nsteps:\n- {id: i, agent: x, task: t}\n"})
		l := compute(t, inner, nil)
		if got := l.res.Steps["s"]; got.Status != engine.StatusFailed || !strings.Contains(*got.Error, "sub.yaml:2:11: computing vars.x") || l.res.Status != engine.StatusCompleted {
			t.Errorf("%s: %v", got.Status, *got.Error)
		}
	})
}
