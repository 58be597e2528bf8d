package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

func TestLoopUntil(t *testing.T) {
	tests := map[string]struct {
		max      int
		want     int
		degraded bool
	}{
		"comes true": {5, 3, false},
		"just":       {3, 3, false},
		"never":      {2, 2, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wf := parse(t, fmt.Sprintf(`
steps:
- {id: a, agent: x, task: 'try ${{ loop.index }} after "${{ loop.previous.a.output }}"', loop: {max: %d, until: "${{ steps.a.output == 'draft 3' }}"}}
- {id: b, agent: x, task: '${{ steps.a.output }}'}
`, tt.max))
				w := &world{answer: func(a engine.Attempt) (string, error) {
					return "draft " + strings.TrimPrefix(a.Path, "a@"), nil
				}}
				res := run(t.Context(), wf, engine.Options{Execute: w.execute})
				a := res.Steps["a"]
				if a.Status != engine.StatusCompleted || a.Iterations != tt.want || (a.Degraded != "") != tt.degraded {
					t.Errorf("%s after %d iterations, degraded %q", a.Status, a.Iterations, a.Degraded)
				}
				if got, want := w.prompt("a@2"), `try 2 after "draft 1"`; got != want {
					t.Errorf("the second was asked %q; want %q", got, want)
				}
				if w.prompt("a@1") != `try 1 after ""` || w.prompt("b") != fmt.Sprint("draft ", tt.want) {
					t.Errorf("asked %q and %q", w.prompt("a@1"), w.prompt("b"))
				}
				if res.TotalTimeSeconds != float64(tt.want+1) || a.Usage.InputTokens != 3*tt.want {
					t.Errorf("took %v s, used %+v", res.TotalTimeSeconds, a.Usage)
				}
			})
		})
	}
}

func TestLoopWithoutUntilIsNotDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		res := run(t.Context(), parse(t, "steps:\n- {id: a, agent: x, task: t, loop: {max: 3}}\n"), engine.Options{Execute: w.execute})
		if a := res.Steps["a"]; a.Degraded != "" || a.Iterations != 3 || a.Output != "result of a@3" {
			t.Errorf("%+v", a)
		}
	})
}

const refine = `
- {id: write, agent: x, task: 'write ${{ loop.index }}: ${{ loop.previous.judge.output }}'}
- {id: judge, agent: x, task: 'judge ${{ steps.write.output }}'}
`

func TestLoopOverSteps(t *testing.T) {
	body := strings.ReplaceAll(strings.TrimSpace(refine), "\n", "\n  ")
	for name, source := range map[string]string{ // the names of a file's steps mean nothing outside of it
		"group": "steps:\n- id: refine\n  loop: {max: 4, until: \"${{ steps.judge.output == 'good 2' }}\"}\n  steps:\n  " + body + "\n",
		"file": "steps:\n- {id: refine, workflow: refine.yaml, loop: {max: 4, until: \"${{ steps.refine.output == steps.write.output }}\"}, with: {last: '${{ loop.previous.refine.output }}', index: '${{ loop.index }}'}}\n" +
			"- {id: write, agent: x, task: t}\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wf := parseFiles(t, source, map[string]string{"refine.yaml": "params: {last: {type: string}, index: {type: integer}}\nsteps:" +
					strings.NewReplacer("loop.index", "params.index", "loop.previous.judge.output", "params.last").Replace(refine)})
				w := &world{answer: func(a engine.Attempt) (string, error) {
					if a.Path == "write" {
						return "good 2", nil
					}
					n, _, _ := strings.Cut(strings.TrimPrefix(a.Path, "refine@"), "/")
					if a.Step.ID == "judge" {
						return "good " + n, nil
					}
					return "text " + n, nil
				}}
				res := run(t.Context(), wf, engine.Options{Execute: w.execute})
				r := res.Steps["refine"]
				if r.Status != engine.StatusCompleted || r.Iterations != 2 || r.Degraded != "" || res.TotalTimeSeconds != map[string]float64{"group": 4, "file": 5}[name] {
					t.Fatalf("%s after %d iterations and %v s: %v", r.Status, r.Iterations, res.TotalTimeSeconds, r.Error)
				}
				got := map[string]string{}
				for _, unit := range []string{"refine@1/write", "refine@1/judge", "refine@2/write", "refine@2/judge"} {
					got[unit] = w.prompt(unit)
				}
				want := map[string]string{"refine@1/write": "write 1: ", "refine@1/judge": "judge text 1",
					"refine@2/write": "write 2: good 1", "refine@2/judge": "judge text 2"}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				if r.Output != "good 2" || r.Steps["write"].Output != "text 2" {
					t.Errorf("amounts to %q with %q", r.Output, r.Steps["write"].Output)
				}
			})
		})
	}
}

func TestLoopFails(t *testing.T) {
	tests := map[string]struct {
		until, say string
		calls      int
	}{
		"iteration":     {"${{ false }}", "iteration 2: bad", 2},
		"not a boolean": {"${{ steps.a.json }}", "neither true nor false", 1},
		"no value":      {"${{ steps.a.json.done.so }}", "asking whether step a is done", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{answer: func(a engine.Attempt) (string, error) {
					if a.Path == "a@2" {
						return "", errBad
					}
					return "1", nil
				}}
				res := run(t.Context(), parse(t, "steps:\n- {id: a, agent: x, task: t, loop: {max: 3, until: '"+tt.until+"'}}\n"), engine.Options{Execute: w.execute})
				if a := res.Steps["a"]; a.Status != engine.StatusFailed || !strings.Contains(*a.Error, tt.say) || len(w.calls) != tt.calls {
					t.Errorf("%s after %d calls: %v", a.Status, len(w.calls), *a.Error)
				}
			})
		})
	}
}

// An iteration that asks the same as one before is distinguished from it, whether that ran in
// this process or an earlier one; nothing else is.
func TestIterationsThatAskTheSame(t *testing.T) {
	const source = `
steps:
- {id: same, agent: x, task: t, loop: {max: 3}}
- {id: cached, agent: x, task: t, loop: {max: 2, cache: true}}
- {id: other, agent: x, task: "${{ loop.index }}", loop: {max: 2}}
- id: outer
  loop: {max: 2}
  steps:
  - {id: each, agent: x, foreach: [a, b], task: "${{ item }}"}
  - {id: inner, agent: x, task: t, loop: {max: 2, cache: true}}
  - {id: turns, agent: x, task: "${{ loop.index % 2 }}", loop: {max: 3}}
`
	want := map[string]int{
		"same@1": 0, "same@2": 1, "same@3": 2, "cached@1": 0, "cached@2": 0, "other@1": 0, "other@2": 0,
		"outer@1/each a": 0, "outer@1/each b": 0, "outer@2/each a": 1, "outer@2/each b": 1,
		"outer@1/inner@1": 0, "outer@1/inner@2": 0, "outer@2/inner@1": 1, "outer@2/inner@2": 1,
		"outer@1/turns@1": 0, "outer@1/turns@2": 0, "outer@1/turns@3": 1,
		"outer@2/turns@1": 2, "outer@2/turns@2": 1, "outer@2/turns@3": 3,
	}
	var events []journal.Event
	check := func(from []journal.Event) {
		synctest.Test(t, func(t *testing.T) {
			got := map[string]int{}
			w := &world{meet: func(a engine.Attempt, _ []engine.Attempt) {
				name := a.Path
				if a.Item != "" {
					name += " " + a.Task
				}
				got[name] = a.Sample
			}}
			b := newBook(t, from...)
			opts := engine.Options{RunID: bookID, Execute: w.execute, Log: b.log, Identify: identityOf(nil)}
			if from != nil {
				opts.Past = past(t, from)
			}
			run(t.Context(), parse(t, source), opts)
			if from == nil {
				events = b.events(t)
				if len(got) != len(want) {
					t.Errorf("%d units, want %d", len(got), len(want))
				}
			}
			for name, sample := range got {
				if sample != want[name] {
					t.Errorf("after %d events: %s is number %d, want %d", len(from), name, sample, want[name])
				}
			}
		})
	}
	check(nil)
	for n := 1; n < len(events); n++ {
		check(events[:n])
	}
}
