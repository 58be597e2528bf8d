package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
)

const twoThatAsk = `
max_parallel: 1
steps:
- {id: act, agent: x, task: act}
- {id: other, agent: x, task: other}
- {id: after, agent: x, task: after, dependencies: [act]}
`

// TestAStepThatWaitsForACallHoldsNoSlot lets a step wait for approval of a call in a
// run of one slot: the other step runs meanwhile, the wait does not count for the
// number of attempts, and the answer is for the call that was asked about.
func TestAStepThatWaitsForACallHoldsNoSlot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer  journal.Decision
		delay   time.Duration // of the answer
		timeout time.Duration
		never   bool
		want    string
		waits   bool
	}{
		"approved":   {answer: journal.Decision{Approved: true}, delay: time.Hour, want: "approved", waits: true},
		"denied":     {answer: journal.Decision{By: "kim"}, delay: time.Hour, want: "denied", waits: true},
		"too late":   {answer: journal.Decision{Approved: true}, delay: time.Hour, timeout: time.Minute, want: "denied", waits: true},
		"never asks": {answer: journal.Decision{Approved: true}, never: true, want: "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				log, err := store.Create(t.Context(), journal.Run{ID: "r", Workflow: "w"})
				if err != nil {
					t.Fatal(err)
				}
				control := make(chan journal.Event, 8)
				var mu sync.Mutex
				var order []string
				asked := 0
				res := run(t.Context(), parse(t, twoThatAsk), engine.Options{
					Log: log, Control: control, AskCalls: !tt.never, AskTimeout: tt.timeout,
					Execute: func(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
						out := llm.Outcome{Output: a.Task, CostUSD: new(0.0)}
						if a.Task == "act" {
							switch d := a.Ask("3fa9", journal.AskedCall{Tool: "Write", Input: json.RawMessage(`{}`)}); {
							case d == nil:
								<-ctx.Done()
								return llm.Outcome{CostUSD: new(0.0)}, context.Cause(ctx)
							case d.Approved:
								out.Output = "approved"
							default:
								out.Output = "denied"
							}
						}
						mu.Lock()
						defer mu.Unlock()
						order = append(order, a.Task)
						return out, nil
					},
					Decided: func(context.Context, journal.Unit) (*journal.Decision, error) { return nil, nil },
					Observe: func(_ context.Context, ev engine.Event) {
						if ev.Asked == nil {
							return
						}
						asked++
						if want := (journal.Unit{Step: "act"}).Call("3fa9"); ev.Question != want {
							t.Errorf("the question goes to %v; want %v", ev.Question, want)
						}
						go func() {
							time.Sleep(tt.delay)
							control <- journal.Event{Type: journal.ApprovalGiven, Step: ev.Question.Step, Detail: journal.Detail(tt.answer)}
						}()
					},
				})
				act := res.Steps["act"]
				if res.Status != engine.StatusCompleted || act.Output != tt.want || act.Attempts != 1 {
					t.Errorf("the run is %s, act %+v", res.Status, act.Outcome)
				}
				want, questions := []string{"act", "other", "after"}, 0
				if tt.waits {
					want, questions = []string{"other", "act", "after"}, 1
				}
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(order, want) || asked != questions {
					t.Errorf("the steps ended as %v with %d questions; want %v with %d", order, asked, want, questions)
				}
				time.Sleep(2 * time.Hour) // the answer that came too late
				if err := errors.Join(log.Release(), store.Close()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
