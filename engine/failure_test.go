package engine_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// failing returns a world where the steps named fail for good.
func failing(ids ...string) *world {
	return &world{answer: func(a engine.Attempt) (string, error) {
		if slices.Contains(ids, a.Step.ID) {
			return "", errBad
		}
		return "result of " + a.Path, nil
	}}
}

func TestFailures(t *testing.T) {
	tests := map[string]struct {
		source string
		fails  []string
		run    engine.Status
		want   map[string]string
		order  []string
	}{
		"continue": {
			`[{id: a, agent: x, task: t, on_failure: continue}, {id: b, agent: x, task: t, dependencies: [a]}]`,
			[]string{"a"}, engine.StatusCompleted, map[string]string{"a": "failed", "b": "completed"}, []string{"a", "b"},
		},
		"skip_dependents": {
			`[{id: a, agent: x, task: t, on_failure: skip_dependents}, {id: b, agent: x, task: t, dependencies: [a]}, {id: c, agent: x, task: t, dependencies: [b]}]`,
			[]string{"a"}, engine.StatusCompleted, map[string]string{"a": "failed", "b": "skipped", "c": "skipped"}, []string{"a"},
		},
		"fallback": {
			`[{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: f, agent: x, task: t}, {id: b, agent: x, task: t, dependencies: [a]}]`,
			[]string{"a"}, engine.StatusCompleted, map[string]string{"a": "failed", "f": "completed", "b": "completed"}, []string{"a", "f", "b"},
		},
		"fallback not needed": {
			`[{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: f, agent: x, task: t}, {id: b, agent: x, task: t, dependencies: [a]}]`,
			nil, engine.StatusCompleted, map[string]string{"a": "completed", "f": "skipped", "b": "completed"}, []string{"a", "b"},
		},
		"fallback fails": {
			`[{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: f, agent: x, task: t}, {id: b, agent: x, task: t, dependencies: [a]}, {id: c, agent: x, task: t}]`,
			[]string{"a", "f"}, engine.StatusFailed, map[string]string{"a": "failed", "f": "failed", "b": "skipped", "c": "completed"}, []string{"a", "c", "f"},
		},
		"two with one fallback": {
			`[{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: a2, agent: x, task: t, on_failure: {fallback: f}, dependencies: [a]},
			  {id: f, agent: x, task: t}, {id: b, agent: x, task: t, dependencies: [a, a2]}]`,
			[]string{"a", "a2"}, engine.StatusCompleted, map[string]string{"a": "failed", "a2": "failed", "f": "completed", "b": "completed"}, []string{"a", "f", "a2", "b"},
		},
		"fallback of a fallback": {
			`[{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: f, agent: x, task: t, on_failure: {fallback: g}},
			  {id: g, agent: x, task: t}, {id: a2, agent: x, task: t, on_failure: {fallback: f}, dependencies: [a]}, {id: b, agent: x, task: t, dependencies: [a, a2]}]`,
			[]string{"a", "f", "a2"}, engine.StatusCompleted,
			map[string]string{"a": "failed", "f": "failed", "g": "completed", "a2": "failed", "b": "completed"}, []string{"a", "f", "g", "a2", "b"},
		},
		"fallback that waits": {
			`[{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: c, agent: x, task: t}, {id: d, agent: x, task: t, dependencies: [c]},
			  {id: f, agent: x, task: t, dependencies: [d]}]`,
			[]string{"a"}, engine.StatusCompleted, map[string]string{"a": "failed", "c": "completed", "d": "completed", "f": "completed"}, []string{"c", "a", "d", "f"},
		},
		"fallback that cannot run": {
			`[{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: c, agent: x, task: t, on_failure: skip_dependents}, {id: f, agent: x, task: t, dependencies: [c]}]`,
			[]string{"a", "c"}, engine.StatusFailed, map[string]string{"a": "failed", "c": "failed", "f": "skipped"}, []string{"a", "c"},
		},
		"join any": {
			`[{id: a, agent: x, task: t}, {id: b, agent: x, task: t, on_failure: skip_dependents}, {id: j, agent: x, task: t, dependencies: [a, b], join: any}]`,
			[]string{"b"}, engine.StatusCompleted, map[string]string{"a": "completed", "b": "failed", "j": "completed"}, []string{"a", "b", "j"},
		},
		"join of all that fail": {
			`[{id: a, agent: x, task: t, on_failure: skip_dependents}, {id: b, agent: x, task: t, on_failure: skip_dependents}, {id: j, agent: x, task: t, dependencies: [a, b], join: any}]`,
			[]string{"a", "b"}, engine.StatusCompleted, map[string]string{"a": "failed", "b": "failed", "j": "skipped"}, []string{"a", "b"},
		},
		"when": {
			`[{id: a, agent: x, task: t}, {id: no, agent: x, task: t, when: "${{ steps.a.output == 'x' }}"}, {id: yes, agent: x, task: t, when: "${{ steps.a.output != 'x' }}"},
			  {id: after, agent: x, task: t, dependencies: ["no"]}, {id: mind, agent: x, task: t, when: "${{ steps.a.json }}"}]`,
			nil, engine.StatusFailed, map[string]string{"a": "completed", "no": "skipped", "yes": "completed", "after": "skipped", "mind": "failed"}, []string{"a", "yes"},
		},
		"group": {
			`[{id: g, steps: [{id: a, agent: x, task: t}, {id: b, agent: x, task: t}, {id: c, agent: x, task: t, dependencies: [a]}]}, {id: d, agent: x, task: t, dependencies: [g]}]`,
			[]string{"a"}, engine.StatusFailed, map[string]string{"g": "failed", "g/a": "failed", "g/b": "completed", "g/c": "skipped", "d": "skipped"}, []string{"g"},
		},
		"group whose fallback is not needed": {
			`[{id: g, steps: [{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: f, agent: x, task: t}]}, {id: d, agent: x, task: t, dependencies: [g]}]`,
			nil, engine.StatusCompleted, map[string]string{"g": "completed", "g/a": "completed", "g/f": "skipped", "d": "completed"}, []string{"g", "d"},
		},
		"group that does nothing": {
			`[{id: g, steps: [{id: a, agent: x, task: t, when: false}]}, {id: d, agent: x, task: t, dependencies: [g]}]`,
			nil, engine.StatusCompleted, map[string]string{"g": "completed", "g/a": "skipped", "d": "completed"}, []string{"g", "d"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := failing(tt.fails...)
				res := run(t.Context(), parse(t, "steps: "+tt.source+"\n"), engine.Options{Execute: w.execute})
				if res.Status != tt.run {
					t.Errorf("the run is %s; want %s", res.Status, tt.run)
				}
				if diff := cmp.Diff(tt.want, statuses(res)); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(tt.order, res.ExecutionOrder); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestJoinStartsEarly(t *testing.T) {
	for join, want := range map[string]time.Duration{"any": 1, "2": 2, "3": 3, "all": 3} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{takes: func(a engine.Attempt) time.Duration {
				return map[string]time.Duration{"a": 3, "b": 1, "c": 2, "j": 1}[a.Step.ID] * time.Second
			}}
			run(t.Context(), parse(t, `
steps:
- {id: a, agent: x, task: t}
- {id: b, agent: x, task: t}
- {id: c, agent: x, task: t}
- {id: j, agent: x, task: 'a is ${{ steps.a.status }}: ${{ steps.a.output }}', dependencies: [a, b, c], join: `+join+`}
`), engine.Options{Execute: w.execute})
			if got := w.calls[3].from.Sub(w.calls[0].from); got != want*time.Second {
				t.Errorf("join %s began after %v; want %v", join, got, want*time.Second)
			}
			asked, rest := "a is pending: ", []string{"b"}
			switch want {
			case 2:
				rest = []string{"b", "c"}
			case 3:
				asked, rest = "a is completed: result of a", []string{"b", "c"}
			}
			prompt := w.prompt("j")
			if !strings.HasSuffix(prompt, "\n\n"+asked) || strings.Count(prompt, "<step ") != len(rest) {
				t.Errorf("join %s: asked %q", join, prompt)
			}
		})
	}
}

func TestRetryPauses(t *testing.T) {
	tests := map[string]struct {
		retries  string
		ceilings []time.Duration // of each pause
	}{
		"own":          {"retries: 6", []time.Duration{2, 4, 8, 16, 32, 60}},
		"backoff":      {"retries: {max: 4, backoff: 20s}", []time.Duration{20, 40, 60, 60}},
		"bound":        {"retries: {max: 3, backoff: 20s, max_backoff: 30s}", []time.Duration{20, 30, 30}},
		"long backoff": {"retries: {max: 2, backoff: 90s}", []time.Duration{90, 90}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			low, high := false, false // somewhere in the lower and the upper half
			for range 20 {
				synctest.Test(t, func(t *testing.T) {
					w := &world{answer: func(engine.Attempt) (string, error) { return "", errBusy }}
					run(t.Context(), parse(t, "steps:\n- {id: a, agent: x, task: t, "+tt.retries+"}\n"), engine.Options{Execute: w.execute})
					if len(w.calls) != len(tt.ceilings)+1 {
						t.Fatalf("%d attempts; want %d", len(w.calls), len(tt.ceilings)+1)
					}
					for i, ceiling := range tt.ceilings {
						ceiling *= time.Second
						pause := w.calls[i+1].from.Sub(w.calls[i].to)
						if pause < ceiling/2 || pause > ceiling {
							t.Errorf("pause %d took %v; want %v to %v", i+1, pause, ceiling/2, ceiling)
						}
						low, high = low || pause < ceiling*3/4, high || pause > ceiling*3/4
					}
				})
			}
			if !low || !high {
				t.Errorf("no spread: lower half %v, upper half %v", low, high)
			}
		})
	}
}

func TestRetryPauseOfMonths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(engine.Attempt) (string, error) { return "", errBusy }}
		run(t.Context(), parse(t, "steps:\n- {id: a, agent: x, task: t, retries: {max: 12, backoff: 3000h, max_backoff: 5000h}}\n"), engine.Options{Execute: w.execute})
		if len(w.calls) != 13 {
			t.Errorf("%d attempts", len(w.calls))
		}
	})
}

func TestEffectsOnceAreNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(engine.Attempt) (string, error) { return "", errBusy }}
		res := run(t.Context(), parse(t, "defaults: {retries: 3}\nsteps:\n- {id: pay, agent: x, task: t, effects: once}\n"), engine.Options{Execute: w.execute})
		if len(w.calls) != 1 || res.Steps["pay"].Status != engine.StatusFailed {
			t.Errorf("%d attempts, %s", len(w.calls), res.Steps["pay"].Status)
		}
	})
}

const payment = "steps:\n- {id: check, agent: x, task: check}\n- {id: pay, agent: x, task: 'pay ${{ steps.check.output }}', effects: once}\n- {id: tell, agent: x, task: t, dependencies: [pay]}\n"

func TestEffectsOnceAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf, b := parse(t, payment), newBook(t)
		run(t.Context(), wf, engine.Options{Execute: (&world{}).execute, Log: b.log})
		all := b.events(t)
		crash := func(events []journal.Event, opts engine.Options) (*engine.Result, *world) {
			w := &world{}
			opts.Execute, opts.Log, opts.Past = w.execute, newBook(t, events...).log, past(t, events)
			return run(t.Context(), wf, opts), w
		}
		begun := until(t, all, journal.StepStarted, "pay")
		res, w := crash(begun, engine.Options{})
		if pay := res.Steps["pay"]; pay.Status != engine.StatusFailed || !strings.Contains(*pay.Error, "allow it to run again") || len(w.calls) != 0 {
			t.Errorf("pay is %s, calls %v", pay.Status, w.units())
		}
		if res, w := crash(begun, engine.Options{Again: map[string]bool{"pay": true}}); res.Status != engine.StatusCompleted || w.times("pay") != 1 {
			t.Errorf("with again: %s, calls %v", res.Status, w.units())
		}
		before := until(t, all, journal.StepFinished, "check")
		if res, w := crash(before, engine.Options{}); res.Status != engine.StatusCompleted || w.times("pay") != 1 {
			t.Errorf("not begun: %s, calls %v", res.Status, w.units())
		}
		done := until(t, all, journal.StepFinished, "pay")
		if res, w := crash(done, engine.Options{Again: map[string]bool{"pay": true}}); res.Status != engine.StatusCompleted || w.times("pay") != 0 {
			t.Errorf("done: %s, calls %v", res.Status, w.units())
		}
	})
}

// A step that was only skipped has had no effects.
func TestEffectsOnceAfterASkip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf, b := parse(t, payment), newBook(t)
		run(t.Context(), wf, engine.Options{Execute: failing("check").execute, Log: b.log})
		w := &world{}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute, Log: b.log, Past: past(t, b.events(t))})
		if res.Status != engine.StatusCompleted || w.times("pay") != 1 {
			t.Errorf("%s, calls %v", res.Status, w.units())
		}
	})
}

// What has had its effects does not have them again because its task changed.
func TestEffectsOnceAfterAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf, b := parse(t, payment), newBook(t)
		run(t.Context(), wf, engine.Options{Execute: failing("tell").execute, Log: b.log, Identify: identityOf(nil)})
		w := &world{answer: func(a engine.Attempt) (string, error) { return "another result", nil }}
		opts := engine.Options{Execute: w.execute, Log: b.log, Past: past(t, b.events(t)), Changed: true, Identify: identityOf(map[string]string{"check": "2"})}
		res := run(t.Context(), wf, opts)
		if pay := res.Steps["pay"]; pay.Status != engine.StatusFailed || w.times("pay") != 0 || w.times("check") != 1 || !strings.Contains(*pay.Error, "allow it to run again") {
			t.Errorf("pay is %s, calls %v", pay.Status, w.units())
		}
		opts.Again = map[string]bool{"pay": true}
		if res := run(t.Context(), wf, opts); res.Status != engine.StatusCompleted || w.times("pay") != 1 {
			t.Errorf("with again: %s, calls %v", res.Status, w.units())
		}
	})
}

func TestStoppedFailuresAreInterruptions(t *testing.T) {
	tests := map[string]struct {
		source string
		err    error
		want   map[string]string
	}{
		"fallback left":   {`[{id: a, agent: x, task: t, on_failure: {fallback: f}}, {id: f, agent: x, task: t}, {id: b, agent: x, task: t, dependencies: [a]}]`, errBad, map[string]string{"a": "failed", "f": "interrupted", "b": "interrupted"}},
		"retries left":    {`[{id: a, agent: x, task: t, retries: 1}, {id: b, agent: x, task: t, dependencies: [a]}]`, errBusy, map[string]string{"a": "interrupted", "b": "interrupted"}},
		"nothing is left": {`[{id: a, agent: x, task: t}, {id: b, agent: x, task: t, dependencies: [a]}]`, errBusy, map[string]string{"a": "failed", "b": "skipped"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{answer: func(engine.Attempt) (string, error) { return "", tt.err }}
				drain := make(chan struct{})
				time.AfterFunc(time.Second/2, func() { close(drain) })
				res := run(t.Context(), parse(t, "steps: "+tt.source+"\n"), engine.Options{Execute: w.execute, Drain: drain})
				if diff := cmp.Diff(tt.want, statuses(res)); diff != "" {
					t.Error(diff)
				}
				for s := range maps.Values(res.Steps) {
					if s.Status == engine.StatusInterrupted && res.Status != engine.StatusInterrupted {
						t.Errorf("the run is %s", res.Status)
					}
				}
				if cost := *res.CostUSD; cost != 0.125 {
					t.Errorf("cost %v", cost)
				}
			})
		})
	}
}

// A run whose own time is up was stopped: no step of it has failed.
func TestDeadlineOfTheRunInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		w := &world{}
		res := run(ctx, parse(t, "steps:\n- {id: a, agent: x, task: t, timeout: 1m, retries: 1}\n- {id: b, agent: x, task: t, dependencies: [a]}\n"), engine.Options{Execute: w.execute})
		if res.Status != engine.StatusInterrupted || res.Steps["a"].Status != engine.StatusInterrupted || res.TotalTimeSeconds != 0.5 {
			t.Errorf("%s after %v s, a is %s", res.Status, res.TotalTimeSeconds, res.Steps["a"].Status)
		}
	})
}

func TestCancelAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := make(chan journal.Event)
		time.AfterFunc(time.Second/2, func() { control <- journal.Event{Type: journal.CancelAsked} })
		w := &world{}
		res := run(t.Context(), parse(t, payment), engine.Options{Execute: w.execute, Control: control})
		if res.Status != engine.StatusCancelled || res.TotalTimeSeconds != 0.5 || len(w.running) != 0 {
			t.Errorf("%s after %v s", res.Status, res.TotalTimeSeconds)
		}
		// A channel that is closed brings nothing more.
		closed := make(chan journal.Event)
		close(closed)
		if res := run(t.Context(), parse(t, payment), engine.Options{Execute: w.execute, Control: closed}); res.Status != engine.StatusCompleted {
			t.Errorf("%s with a closed channel", res.Status)
		}
	})
}

func TestSubWorkflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parseFiles(t, `
params: {who: kim, n: 1}
steps:
- {id: list, agent: x, task: t}
- {id: sub, workflow: sub.yaml, with: {name: '${{ params.who }}', texts: '${{ steps.list.json }}', n: 3}, output: 'for ${{ params.name }}: ${{ steps.two.output }}'}
- {id: plain, workflow: sub.yaml, with: {name: x, texts: [a]}}
- {id: bad, workflow: sub.yaml, with: {name: x, texts: '${{ steps.list.json.no }}'}, on_failure: continue}
`, map[string]string{"sub.yaml": `
params: {name: {type: string}, texts: {type: array}, n: 7}
max_parallel: 1
output: 'in all ${{ params.n }}: ${{ steps.two.output }}'
steps:
- {id: one, agent: x, task: '${{ params.name }} ${{ item }} ${{ params.n }}', foreach: '${{ params.texts }}'}
- {id: two, agent: x, task: '${{ params.name }}', dependencies: [one]}
`})
		w := &world{answer: func(a engine.Attempt) (string, error) {
			if a.Step.ID == "list" {
				return `["p", "q"]`, nil
			}
			return "<" + a.Task + ">", nil
		}}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute, Params: bound(t, wf)})
		sub := res.Steps["sub"]
		if sub.Status != engine.StatusCompleted || res.TotalTimeSeconds != 4 { // its own cap: one after the other
			t.Fatalf("%s after %v s: %v", sub.Status, res.TotalTimeSeconds, sub.Error)
		}
		key := sub.Steps["one"].Items[1].Key
		if got := w.prompt("sub/one " + key); got != "kim q 3" {
			t.Errorf("asked %q", got)
		}
		if sub.Output != "for kim: <kim>" {
			t.Errorf("sub amounts to %q", sub.Output)
		}
		if got := res.Steps["plain"].Output; got != "in all 7: <x>" {
			t.Errorf("plain amounts to %q", got)
		}
		if bad := res.Steps["bad"]; bad.Status != engine.StatusFailed || len(bad.Steps) != 0 {
			t.Errorf("bad is %s", bad.Status)
		}
	})
}

func TestGroupSeesWhatIsAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
steps:
- {id: a, agent: x, task: t}
- {id: b, agent: x, task: t}
- id: g
  dependencies: [b]
  output: '${{ steps.in.output }} and ${{ steps.a.output }}'
  steps:
  - {id: in, agent: x, task: 'with ${{ steps.a.output }}'}
  - id: deep
    dependencies: [in]
    steps: [{id: deeper, agent: x, task: '${{ steps.a.output }} ${{ steps.in.output }}'}]
- {id: last, agent: x, task: '${{ steps.g.output }}'}
`)
		w := &world{}
		res := run(t.Context(), wf, engine.Options{Execute: w.execute})
		if res.Status != engine.StatusCompleted || res.TotalTimeSeconds != 4 {
			t.Fatalf("%s after %v s", res.Status, res.TotalTimeSeconds)
		}
		if got := w.prompt("g/in"); !strings.HasSuffix(got, "\n\nwith result of a") || !strings.Contains(got, `<step id="b">`) {
			t.Errorf("in was asked %q", got)
		}
		if got := w.prompt("g/deep/deeper"); got != "result of a result of g/in" {
			t.Errorf("deeper was asked %q", got)
		}
		if got := w.prompt("last"); got != "result of g/in and result of a" {
			t.Errorf("last was asked %q", got)
		}
	})
}

// A journal that cannot be written stops the run: its work would be lost.
func TestJournalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("disk full")
		w := &world{}
		res, err := engine.Run(t.Context(), parse(t, payment), engine.Options{Execute: w.execute, Log: brokenLog{broken}})
		if !errors.Is(err, broken) || res.Status != engine.StatusInterrupted || len(w.calls) != 1 {
			t.Errorf("%v, %s, calls %v", err, res.Status, w.units())
		}
	})
}

// brokenLog is a log that keeps nothing.
type brokenLog struct{ err error }

func (l brokenLog) Append(...journal.Event) func() error { return func() error { return l.err } }
func (l brokenLog) Release() error                       { return l.err }

// TestWhatOthersCanceledHasFailed lets an attempt be canceled by someone else than
// the run: that is a failure, which dependents and a resume can deal with.
func TestWhatOthersCanceledHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(a engine.Attempt) (string, error) {
			if a.Step.ID == "a" {
				return "", llm.NewError(llm.CodeCanceled, "someone canceled the batch", nil)
			}
			return "fine", nil
		}}
		res := run(t.Context(), parse(t, "steps: [{id: a, agent: x, task: t, on_failure: continue}, {id: b, agent: x, task: t, dependencies: [a]}]\n"), engine.Options{Execute: w.execute})
		if res.Status != engine.StatusCompleted || res.Steps["a"].Status != engine.StatusFailed || res.Steps["b"].Status != engine.StatusCompleted {
			t.Errorf("the run is %s, a is %s, b is %s", res.Status, res.Steps["a"].Status, res.Steps["b"].Status)
		}
	})
}
