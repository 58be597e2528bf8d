package engine_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

// TestExit ends runs by a step: what each step is then, what the run is, and that a run
// that dies after any event and is resumed ends the same.
func TestExit(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		takes  map[string]time.Duration // 1 s if it is not there
		ends   map[string]string
		exited journal.Exited
	}{
		"first of those that are ready": {
			source: `
steps:
  - {id: a, agent: x, task: t}
  - {id: b, agent: x, task: "${{ steps.a.output }}"}
  - {id: stop, exit: "a said ${{ steps.a.output }}", when: steps.a.output != ""}
  - {id: v, value: "${{ steps.a.output }}"}`,
			ends:   map[string]string{"a": "completed", "b": "skipped: the run exited at stop", "v": "skipped: the run exited at stop", "stop": "completed"},
			exited: journal.Exited{Step: "stop", Exit: journal.Exit{Status: journal.StatusCompleted, Message: "a said result of a"}},
		},
		"under way": {
			source: `
steps:
  - {id: before, agent: x, task: t}
  - {id: a, agent: x, task: t}
  - {id: slow, agent: x, task: t}
  - {id: each, agent: x, task: "${{ item }}", foreach: [1, 2, 3], max_parallel: 2}
  - {id: stop, exit: {status: failed, message: no, code: 7}, dependencies: [a]}
  - {id: spare, agent: x, task: t}
  - {id: risky, agent: x, task: t, on_failure: {fallback: spare}}`,
			takes:  map[string]time.Duration{"a": 2 * time.Second, "slow": time.Minute, "each": time.Minute, "risky": time.Minute},
			ends:   map[string]string{"before": "completed", "a": "completed", "slow": "skipped: the run exited at stop", "each": "skipped: the run exited at stop", "stop": "completed", "risky": "skipped: the run exited at stop", "spare": "skipped: the step it stands in for did not fail"},
			exited: journal.Exited{Step: "stop", Exit: journal.Exit{Status: journal.StatusFailed, Message: "no", Code: 7}},
		},
		"not taken": {
			source: `
steps:
  - {id: a, agent: x, task: t}
  - {id: stop, exit: no, when: steps.a.output == ""}`,
			ends: map[string]string{"a": "completed", "stop": "skipped: its condition is false"},
		},
		"within": {
			source: `
steps:
  - id: each
    foreach: {item: n, in: [1, 2, 3]}
    max_parallel: 1
    steps:
      - {id: look, agent: x, task: "${{ n }}"}
      - {id: stop, exit: "at ${{ n }}", when: n == 2, dependencies: [look]}
      - {id: then, agent: x, task: t, dependencies: [look]}
  - {id: after, agent: x, task: "${{ steps.each.output }}"}`,
			ends:   map[string]string{"each": "skipped: the run exited at each/stop", "after": "skipped: the run exited at each/stop"},
			exited: journal.Exited{Step: "each/stop", Exit: journal.Exit{Status: journal.StatusCompleted, Message: "at 2"}},
		},
		"loop": {
			source: `
steps:
  - id: refine
    loop: {max: 5}
    steps:
      - {id: try, agent: x, task: "${{ loop.index }}"}
      - {id: stop, exit: "enough after ${{ loop.index }}", when: loop.index == 2, dependencies: [try]}
  - {id: after, agent: x, task: "${{ steps.refine.output }}"}`,
			ends:   map[string]string{"refine": "skipped: the run exited at refine@2/stop", "after": "skipped: the run exited at refine@2/stop"},
			exited: journal.Exited{Step: "refine@2/stop", Exit: journal.Exit{Status: journal.StatusCompleted, Message: "enough after 2"}},
		},
		"instead of a failure": {
			source: `
steps:
  - {id: a, value: "${{ [1][params.n] }}", on_failure: {fallback: stop}}
  - {id: stop, exit: {status: failed, message: "a: ${{ steps.a.status }}"}}
  - {id: b, agent: x, task: "${{ steps.a.output }}"}
params: {n: 5}`,
			ends:   map[string]string{"b": "skipped: the run exited at stop", "stop": "completed"},
			exited: journal.Exited{Step: "stop", Exit: journal.Exit{Status: journal.StatusFailed, Message: "a: failed", Code: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wf := parse(t, c.source)
				live := func(events []journal.Event, set ...func(*engine.Options)) *lived {
					return compute(t, wf, events, append(set, func(o *engine.Options) {
						w := &world{takes: func(a engine.Attempt) time.Duration {
							if d, ok := c.takes[a.Path]; ok {
								return d
							}
							return time.Second
						}}
						o.Execute = w.execute
					})...)
				}
				whole := live(nil)
				check := func(when string, l *lived) {
					t.Helper()
					got := map[string]string{}
					for id := range c.ends {
						res := l.res.Steps[id]
						got[id] = string(res.Status)
						if res.Error != nil {
							got[id] += ": " + *res.Error
						}
					}
					if diff := cmp.Diff(c.ends, got); diff != "" {
						t.Errorf("%s: %s", when, diff)
					}
					want := &c.exited
					if c.exited.Step == "" {
						want = nil
					}
					if l.res.Exited != nil && l.res.Exited.Item != "" { // the key of an item
						l.res.Exited.Item = ""
					}
					if diff := cmp.Diff(want, l.res.Exited); diff != "" {
						t.Errorf("%s: %s", when, diff)
					}
					if want != nil && (l.res.Output != want.Message || l.res.Status != engine.Status(want.Status) || (l.res.Error != nil) != (want.Status == journal.StatusFailed)) {
						t.Errorf("%s: the run is %s: %q", when, l.res.Status, l.res.Output)
					}
				}
				check("whole", whole)
				for n := 1; n < len(whole.events); n++ {
					again := live(whole.events[:n])
					check("resumed", again)
					if diff := cmp.Diff(whole.outcomes(), again.outcomes()); diff != "" && c.takes == nil {
						t.Errorf("after %d events: %s", n, diff)
					}
				}
				check("rebuilt", live(whole.events, func(o *engine.Options) { o.Rebuild, o.Log = true, nil }))
			})
		})
	}
}

// TestGateExits ends a run by a no.
func TestGateExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
steps:
  - {id: gate, approval: {message: Go?, on_no: exit}}
  - {id: go, agent: x, task: t, dependencies: [gate]}
`)
		b := newBook(t)
		p := newPerson(b, answers(time.Minute, journal.Decision{By: "kim", Comment: "not today"}))
		p.control = make(chan journal.Event, 1)
		res := run(t.Context(), wf, engine.Options{RunID: bookID, Execute: (&world{}).execute, Log: b.log, Control: p.control, Observe: p.observe})
		want := &journal.Exited{Step: "gate", Exit: journal.Exit{Status: journal.StatusCompleted, Message: "not approved by kim: not today"}}
		check := func(when string, res *engine.Result) {
			t.Helper()
			if diff := cmp.Diff(want, res.Exited); diff != "" || res.Status != engine.StatusCompleted || res.Steps["go"].Status != engine.StatusSkipped {
				t.Errorf("%s: the run is %s, go is %s: %s", when, res.Status, res.Steps["go"].Status, diff)
			}
		}
		check("whole", res)
		events := b.events(t)
		if gate := res.Steps["gate"].Output; !strings.Contains(gate, `"approved":false`) {
			t.Errorf("the gate gives %s", gate)
		}
		decided := false
		for n := 1; n < len(events); n++ {
			decided = decided || events[n-1].Type == journal.ApprovalGiven
			if decided {
				check("resumed", compute(t, wf, events[:n]).res)
			}
		}
		if !decided {
			t.Error("the journal has no decision")
		}
		// Another answer means that the question is asked again.
		fails := parse(t, "steps:\n- {id: gate, approval: Go?}\n- {id: go, agent: x, task: t, dependencies: [gate]}\n")
		again := compute(t, fails, events, func(o *engine.Options) {
			ended := make(chan struct{})
			o.Changed, o.Drain = true, ended
			o.Observe = func(_ context.Context, ev engine.Event) {
				if ev.Asked != nil {
					close(ended)
				}
			}
		})
		if again.res.Exited != nil || again.res.Status != engine.StatusInterrupted {
			t.Errorf("with another gate the run is %s", again.res.Status)
		}
	})
}

// TestExitSaves writes the files of steps that have finished when the run exits.
func TestExitSaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parse(t, `
steps:
  - {id: a, agent: x, task: t, save: a.md}
  - {id: b, value: b, save: b.md}
  - {id: stop, exit: done, dependencies: [b]}
save: run.md
`)
		save := func(events []journal.Event) []engine.SavedFile {
			return compute(t, wf, events, func(o *engine.Options) {
				o.Execute = (&world{takes: func(engine.Attempt) time.Duration { return time.Hour }}).execute
				o.Save = func(context.Context, engine.File) error { time.Sleep(time.Second); return nil }
			}).res.Files
		}
		if files := save(nil); len(files) != 1 || files[0].Path != "b.md" {
			t.Errorf("saved %v", files)
		}
	})
}
