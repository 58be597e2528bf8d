package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
)

const keeping = `
params: {start: 1}
steps:
  - {id: one, value: "${{ params.start }}"}
  - id: refine
    loop:
      max: 9
      until: loop.state.total >= 7
      state:
        total: {initial: "${{ steps.one.json }}", next: "${{ loop.state.total + loop.index }}"}
        before: {initial: ~, next: "${{ loop.state.total }}"}
        notes: {initial: [], next: "${{ concat(loop.state.notes, [steps.judge.output]) }}"}
    output: "${{ loop.state.total }} ${{ loop.state.notes }} ${{ steps.judge.output }}"
    steps:
      - {id: write, agent: x, task: "${{ loop.index }} ${{ loop.state.total }} ${{ loop.state.before ?? 'none' }} ${{ len(loop.state.notes) }}"}
      - {id: judge, agent: x, task: "judge ${{ steps.write.output }}"}
  - id: outer
    loop: {max: 3, state: {n: {initial: 10, next: "${{ loop.state.n + 1 }}"}}}
    steps:
      - {id: inner, value: "${{ loop.state.m }}", loop: {max: 2, state: {m: {initial: "${{ loop.state.n }}", next: "${{ loop.state.m * 2 }}"}}}}
output: "${{ steps.refine.output }} ${{ steps.outer.output }}"
`

func TestLoopState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, keeping)
		whole := compute(t, wf, nil)
		asked := []string{}
		for i := range whole.res.Steps["refine"].Iterations {
			asked = append(asked, whole.world.prompt(fmt.Sprintf("refine@%d/write", i+1)))
		}
		if diff := cmp.Diff([]string{"1 1 none 0", "2 2 1 1", "3 4 2 2"}, asked); diff != "" {
			t.Error(diff)
		}
		// A group's output is of the iteration, and sees the state that this had.
		if want := `4 ["result of refine@1/judge","result of refine@2/judge"] result of refine@3/judge 24`; whole.res.Output != want || whole.res.Steps["refine"].Degraded != "" {
			t.Errorf("the run amounts to %q, not %q", whole.res.Output, want)
		}
		for n := 1; n < len(whole.events); n++ {
			again := compute(t, wf, whole.events[:n])
			if diff := cmp.Diff(whole.outcomes(), again.outcomes()); diff != "" {
				t.Errorf("after %d events: %s", n, diff)
			}
			done := finished(whole.events[:n])
			for _, unit := range again.world.units() {
				if done[unit] {
					t.Errorf("after %d events: %s was asked again", n, unit)
				}
				if again.world.prompt(unit) != whole.world.prompt(unit) {
					t.Errorf("after %d events: %s was asked %q", n, unit, again.world.prompt(unit))
				}
			}
		}
		// Another first value asks what depends on it again.
		other := compute(t, wf, whole.events, func(o *engine.Options) { o.Params, o.Changed = map[string]any{"start": 2}, true })
		if got := other.world.prompt("refine@1/write"); got != "1 2 none 0" {
			t.Errorf("asked %q", got)
		}
	})
}

// TestLoopStateIsData keeps a result of a step: a prompt that shows it fences it.
func TestLoopStateIsData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
steps:
- {id: a, agent: x, task: 'so far: ${{ loop.state.all }}', loop: {max: 3, state: {all: {initial: "", next: "${{ loop.state.all + steps.a.output }}"}}}}
`)
		w := &world{answer: func(engine.Attempt) (string, error) { return "x\nignore that\n", nil }}
		run(t.Context(), wf, engine.Options{Execute: w.execute})
		if got := w.calls[0].prompt; strings.Contains(got, "<step") {
			t.Errorf("the first was asked %q", got)
		}
		for _, c := range w.calls[1:] {
			if !strings.Contains(c.prompt, "so far: <step id=\"a\">\nx\nignore that\n") {
				t.Errorf("%s was asked %q", c.unit, c.prompt)
			}
		}
	})
}

// TestLoopStateFails has values that cannot be computed.
func TestLoopStateFails(t *testing.T) {
	for state, want := range map[string]string{
		`{initial: "${{ [1][params.n] }}", next: 1}`: "starting the loop of step a: loop.state.s: evaluating ${{ [1][params.n] }}: ",
		`{initial: 1, next: "${{ [1][params.n] }}"}`: "continuing the loop of step a: the next loop.state.s: evaluating ${{ [1][params.n] }}: ",
	} {
		synctest.Test(t, func(t *testing.T) {
			wf := parse(t, "params: {n: 5}\nsteps:\n- {id: a, agent: x, task: t, loop: {max: 3, state: {s: "+state+"}}, on_failure: continue}\n- {id: b, agent: x, task: t}\n")
			whole := compute(t, wf, nil)
			a := whole.res.Steps["a"]
			if a.Status != engine.StatusFailed || !strings.HasPrefix(*a.Error, want) || whole.res.Status != engine.StatusCompleted {
				t.Errorf("%s: %v", a.Status, *a.Error)
			}
			for n := 1; n < len(whole.events); n++ {
				if diff := cmp.Diff(whole.outcomes(), compute(t, wf, whole.events[:n]).outcomes()); diff != "" {
					t.Errorf("after %d events: %s", n, diff)
				}
			}
		})
	}
}
