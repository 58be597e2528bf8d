package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// apart runs a workflow by Advance and AttemptUnit, each in a process of its own: nothing
// is known but the journal.
type apart struct {
	t     *testing.T
	wf    *workflow.Workflow
	store *memory.Store
	set   func(*engine.Options)
}

func newApart(t *testing.T, wf *workflow.Workflow, set func(*engine.Options)) *apart {
	t.Helper()
	store := memory.New()
	log, err := store.Create(t.Context(), journal.Run{ID: bookID, Engine: relayEngine})
	if err == nil {
		err = log.Release()
	}
	if err != nil {
		t.Fatal(err)
	}
	return &apart{t, wf, store, set}
}

func (p *apart) options(part journal.Unit) engine.Options {
	p.t.Helper()
	log, _, err := p.store.Join(p.t.Context(), bookID, relayEngine, part)
	if err != nil {
		p.t.Fatal(err)
	}
	opts := engine.Options{RunID: bookID, Params: bound(p.t, p.wf), Log: log, Past: past(p.t, p.events())}
	p.set(&opts)
	return opts
}

func (p *apart) events() []journal.Event { return (&book{store: p.store}).events(p.t) }

func (p *apart) advance(under ...engine.Under) *engine.Frontier {
	p.t.Helper()
	opts := p.options(journal.Unit{})
	f, err := engine.Advance(p.t.Context(), p.wf, opts, under)
	if err := errors.Join(err, opts.Log.Release()); err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (p *apart) attempt(ctx context.Context, unit journal.Unit) engine.Status {
	p.t.Helper()
	opts := p.options(unit)
	status, err := engine.AttemptUnit(ctx, p.wf, opts, unit)
	if err := errors.Join(err, opts.Log.Release()); err != nil {
		p.t.Fatal(err)
	}
	return status
}

// run runs to the end, the least urgent of what is ready first.
func (p *apart) run() *engine.Result {
	p.t.Helper()
	for {
		f := p.advance()
		if f.Result != nil {
			return f.Result
		}
		if len(f.Ready) == 0 {
			p.t.Fatalf("nothing is ready: %+v", f)
		}
		for _, ready := range slices.Backward(f.Ready) {
			p.attempt(p.t.Context(), ready.Unit)
		}
	}
}

func (p *apart) cost() float64 {
	p.t.Helper()
	run, err := p.store.Find(p.t.Context(), bookID)
	if err != nil {
		p.t.Fatal(err)
	}
	return run.CostUSD
}

// TestAttemptsApartAreAskedTheSame runs workflows in parts and in one process: what each
// attempt is given is the same, and so is the result.
func TestAttemptsApartAreAskedTheSame(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"samples of iterations": `
steps:
- {id: a, agent: x, task: again, loop: {max: 3}}
- {id: b, agent: x, task: "of ${{ item }}", foreach: [1, 2, 2]}
- {id: c, loop: {max: 2}, steps: [{id: d, agent: x, task: same}, {id: e, agent: x, task: "same ${{ steps.d.output }}", dependencies: [d]}]}
- {id: f, agent: x, task: votes, samples: 3}
`,
		"conversations": conversations,
		"what fails": `
steps:
- {id: a, agent: x, task: busy, retries: {max: 2}, on_failure: continue}
- {id: b, agent: x, task: fail, on_failure: {fallback: c}}
- {id: c, agent: x, task: "instead of ${{ steps.b.error }}"}
- {id: d, agent: x, task: "${{ steps.b.output }}", dependencies: [b]}
- {id: e, agent: x, task: "after ${{ steps.a?.error ?? 'none' }}", join: settled, dependencies: [a]}
`,
		"changed files": `
steps:
- {id: a, agent: x, task: "first ${{ changed_files('main') }}"}
- {id: b, agent: x, task: "then ${{ changed_files('main') }}"}
- {id: c, agent: x, task: "${{ item }}", foreach: "${{ changed_files('other') }}", dependencies: [a]}
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				wf := parse(t, source)
				in := func(do func(set func(*engine.Options)) *engine.Result) (map[string]string, any) {
					w, asked, lists := &talk{}, map[string]string{}, 0
					return asked, bareResult(do(func(o *engine.Options) {
						w.options(o)
						execute := o.Execute
						o.Execute = func(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
							w.mu.Lock()
							said, err := json.Marshal(a.Continues)
							if err != nil {
								t.Error(err)
							}
							asked[fmt.Sprint(unitName(a.Path, a.Item), " ", a.Number)] = fmt.Sprintf("%q %d %s %v", a.Prompt(), a.Sample, said, a.Siblings)
							w.mu.Unlock()
							if a.Task == "busy" && a.Number < 3 {
								return llm.Outcome{CostUSD: new(0.5)}, errBusy
							}
							return execute(ctx, a)
						}
						o.ChangedFiles = func(context.Context, string, bool) ([]string, error) {
							lists++
							return []string{fmt.Sprint("f", min(lists, 2)), "g"}, nil
						}
					}))
				}
				want, whole := in(func(set func(*engine.Options)) *engine.Result {
					opts := engine.Options{RunID: bookID, Params: bound(t, wf), Log: newBook(t).log}
					set(&opts)
					return run(t.Context(), wf, opts)
				})
				got, res := in(func(set func(*engine.Options)) *engine.Result { return newApart(t, wf, set).run() })
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("what was asked differs: %s", diff)
				}
				if diff := cmp.Diff(whole, res); diff != "" {
					t.Errorf("the result differs: %s", diff)
				}
				if len(want) < 4 {
					t.Errorf("only %v were asked", slices.Collect(maps.Keys(want)))
				}
			})
		})
	}
}

// TestTheLongestPathIsReadyFirst has an Advance choose among more than there is room for.
func TestTheLongestPathIsReadyFirst(t *testing.T) {
	t.Parallel()
	slots := 0
	p := newApart(t, parse(t, `
steps:
- {id: short, agent: x, task: a}
- {id: middle, agent: x, task: a}
- {id: long, agent: x, task: a}
- {id: after_middle, agent: x, task: a, dependencies: [middle]}
- {id: then, agent: x, task: a, dependencies: [long]}
- {id: end, agent: x, task: a, dependencies: [then]}
`), func(o *engine.Options) { o.MaxParallel = slots })
	want := []string{"long", "middle", "short"}
	for slots = 1; slots <= 3; slots++ {
		var got []string
		for _, ready := range p.advance().Ready {
			got = append(got, ready.Unit.Step)
		}
		if !slices.Equal(got, want[:slots]) {
			t.Errorf("with %d slots ready are %v; want %v", slots, got, want[:slots])
		}
	}
}

// TestACallIsAskedAboutApart lets a step ask about a call: its attempt ends, others have
// its place, and it is ready again once there is an answer or no time is left for one.
func TestACallIsAskedAboutApart(t *testing.T) {
	t.Parallel()
	call := journal.AskedCall{Tool: "Write", Input: json.RawMessage(`{}`)}
	for name, timeout := range map[string]time.Duration{"approved": 0, "too late": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				p := newApart(t, parse(t, twoThatAsk), func(o *engine.Options) {
					o.AskCalls, o.AskTimeout = true, timeout
					o.Execute = func(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
						out := llm.Outcome{Output: a.Task, CostUSD: new(0.5)}
						if a.Task != "act" {
							return out, nil
						}
						attempts++
						switch d := a.Ask("3fa9", call); {
						case d == nil:
							<-ctx.Done()
							return llm.Outcome{CostUSD: new(0.25)}, context.Cause(ctx)
						case d.Approved:
							out.Output = "approved"
						default:
							out.Output = "denied"
						}
						return out, nil
					}
				})
				act, other := journal.Unit{Step: "act"}, journal.Unit{Step: "other"}
				ready := func(f *engine.Frontier, want ...journal.Unit) {
					t.Helper()
					var got []journal.Unit
					for _, r := range f.Ready {
						got = append(got, r.Unit)
					}
					if !slices.Equal(got, want) {
						t.Fatalf("ready are %v; want %v", got, want)
					}
				}
				ready(p.advance(), act)
				if status := p.attempt(t.Context(), act); status != engine.StatusWaiting {
					t.Fatalf("an attempt that asks: %s", status)
				}
				f := p.advance()
				if ready(f, other); !f.Asking || f.Wake.IsZero() != (timeout == 0) {
					t.Errorf("with a question: %+v", f)
				}
				ready(p.advance(engine.Under{Unit: other}))
				question := act.Call("3fa9")
				if timeout == 0 {
					given := journal.Event{Run: bookID, Type: journal.ApprovalGiven, Step: question.Step, Detail: journal.Detail(journal.Decision{Approved: true})}
					if err := p.store.Signal(t.Context(), given); err != nil {
						t.Fatal(err)
					}
				} else {
					time.Sleep(time.Until(f.Wake))
				}
				ready(p.advance(engine.Under{Unit: other})) // there is one slot
				if status := p.attempt(t.Context(), other); status != engine.StatusCompleted {
					t.Errorf("other: %s", status)
				}
				ready(p.advance(), act)
				if status := p.attempt(t.Context(), act); status != engine.StatusCompleted {
					t.Errorf("act: %s", status)
				}
				res := p.run()
				want := map[string]string{"approved": "approved", "too late": "denied"}[name]
				if got := res.Steps["act"]; res.Status != engine.StatusCompleted || got.Output != want {
					t.Errorf("the run is %s, act %+v", res.Status, got)
				}
				paid := 0.25*float64(attempts-1) + 0.5 + 0.5 + 0.5
				if cost := p.cost(); math.Abs(cost-paid) > 1e-9 {
					t.Errorf("the journal counts %v of %v", cost, paid)
				}
			})
		})
	}
}

// TestAttemptsAreStoppedApart cancels a run while an attempt is under way: what it cost is
// counted once, and the run ends as cancelled once nothing is under way.
func TestAttemptsAreStoppedApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newApart(t, parse(t, `steps: [{id: a, agent: x, task: a}, {id: b, agent: x, task: b, dependencies: [a]}]`), func(o *engine.Options) {
			o.Execute = func(ctx context.Context, _ engine.Attempt) (llm.Outcome, error) {
				<-ctx.Done()
				return llm.Outcome{CostUSD: new(0.25)}, llm.ContextError(ctx)
			}
		})
		a := journal.Unit{Step: "a"}
		p.advance()
		for range 2 { // a worker that is drained gives it to another
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if status := p.attempt(ctx, a); status != engine.StatusInterrupted {
				t.Errorf("an attempt that was stopped: %s", status)
			}
			cancel()
		}
		if cost := p.cost(); math.Abs(cost-0.5) > 1e-9 {
			t.Errorf("the journal counts %v", cost)
		}
		if f := p.advance(); len(f.Ready) != 1 || f.Ready[0].Unit != a {
			t.Errorf("what was stopped: %+v", f)
		}
		if err := p.store.Signal(t.Context(), journal.Event{Run: bookID, Type: journal.CancelAsked}); err != nil {
			t.Fatal(err)
		}
		if status := p.attempt(t.Context(), a); status != engine.StatusInterrupted {
			t.Errorf("an attempt in a run that was cancelled: %s", status)
		}
		if f := p.advance(engine.Under{Unit: a}); !f.Stop || f.Result != nil || len(f.Ready) > 0 {
			t.Errorf("a run that was cancelled: %+v", f)
		}
		f := p.advance()
		if f.Result == nil || f.Result.Status != engine.StatusCancelled || f.Result.Steps["a"].Status != engine.StatusInterrupted {
			t.Fatalf("a run that was cancelled: %+v", f)
		}
		before := len(p.events())
		f, err := engine.Advance(t.Context(), p.wf, engine.Options{RunID: bookID, Past: past(t, p.events()), Execute: func(context.Context, engine.Attempt) (llm.Outcome, error) { panic("an attempt") }}, nil)
		if err != nil || f.Result == nil || len(p.events()) != before {
			t.Errorf("a run that has ended: %+v, %v", f, err)
		}
	})
}

// TestWhatAStepSawStands starts steps before all they depend on has ended. What is within
// them sees what they saw, whatever ends meanwhile.
func TestWhatAStepSawStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		prompts := map[string]string{}
		p := newApart(t, parse(t, `
steps:
- {id: a, agent: x, task: a}
- {id: b, agent: x, task: b}
- {id: c, agent: x, task: c}
- {id: group, join: 1, dependencies: [a, b], when: "${{ steps.b.output == '' }}", steps: [{id: in, agent: x, task: "a ${{ steps.a.output }} b ${{ steps.b.output }}"}]}
- {id: each, join: 1, dependencies: [a, c], foreach: "${{ steps.c.output == '' ? ['1', '2'] : ['3'] }}", agent: x, task: "${{ item }}"}
`), func(o *engine.Options) {
			o.Execute = func(_ context.Context, a engine.Attempt) (llm.Outcome, error) {
				_, task, _ := cutLast(bare(a.Prompt()), "\n\n") // without the result of a
				prompts[a.Path] += task + ";"
				return llm.Outcome{Output: "did " + a.Task, CostUSD: new(0.0)}, nil
			}
		})
		p.advance()
		p.attempt(t.Context(), journal.Unit{Step: "a"})
		p.advance(engine.Under{Unit: journal.Unit{Step: "b"}}, engine.Under{Unit: journal.Unit{Step: "c"}})
		p.attempt(t.Context(), journal.Unit{Step: "b"})
		p.attempt(t.Context(), journal.Unit{Step: "c"})
		if res := p.run(); res.Status != engine.StatusCompleted || len(res.Steps["each"].Items) != 2 {
			t.Errorf("the run is %s, with %+v", res.Status, res.Steps["each"])
		}
		want := map[string]string{"a": "a;", "b": "b;", "c": "c;", "group/in": "a did a b ;", "each": "2;1;"}
		if diff := cmp.Diff(want, prompts); diff != "" {
			t.Error(diff)
		}
	})
}
