package budget_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestDowngrade(t *testing.T) {
	t.Parallel()
	b := budget.New(&budget.Memory{}, budget.Options{Downgrade: func(_ context.Context, req *llm.Request, fits func(string) bool) string {
		for _, model := range []string{"claude-sonnet-5-5", "claude-next", llmtest.Model} {
			if model != req.Model && fits(model) {
				return model
			}
		}
		return ""
	}})
	s := run(budget.Limits{Money: worst(t).Money})
	s.OnBreach = budget.ActionDowngrade
	m := model(b, s, llmtest.Echo{})
	req := llmtest.Request("?")
	req.Model = "claude-opus-5-5"
	resp, err := llm.Collect(m.Stream(t.Context(), req))
	if err != nil || resp.Model != llmtest.Model || !resp.Altered || req.Model != "claude-opus-5-5" {
		t.Fatalf("answer %+v (%v), want a marked one of %s", resp, err, llmtest.Model)
	}
	_, err = llm.Collect(m.Stream(t.Context(), req))
	if e, ok := errors.AsType[*budget.ExceededError](err); !ok || e.Action != budget.ActionDowngrade {
		t.Errorf("error %v, want that nothing fits anymore", err)
	}
}

func TestPartialShortensAnswers(t *testing.T) {
	t.Parallel()
	b := budget.New(&budget.Memory{}, budget.Options{})
	cut := llmtest.Response("cut off")
	cut.StopReason = llm.StopMaxTokens
	next := llmtest.NewScript([]llmtest.Step{llmtest.Done(cut)})
	most := worst(t)
	s := run(budget.Limits{Tokens: most.Tokens - 100})
	s.OnBreach = budget.ActionPartial
	m := model(b, s, next)
	resp, err := collect(t.Context(), m)
	if err != nil || !resp.Altered || next.Requests()[0].MaxTokens != 156 {
		t.Fatalf("max_tokens %d, answer %+v, error %v; want 156 of 256, marked", next.Requests()[0].MaxTokens, resp, err)
	}
	// A quarter does not fit anymore.
	_, err = collect(t.Context(), m)
	if e, ok := errors.AsType[*budget.ExceededError](err); !ok || e.Action != budget.ActionPartial {
		t.Errorf("error %v, want one for who keeps what there is", err)
	}
	// Nor is the part for thinking given away.
	req := llmtest.Request("?")
	req.Thinking = json.RawMessage(`{"type":"enabled","budget_tokens":250}`)
	fresh := model(budget.New(&budget.Memory{}, budget.Options{}), s, llmtest.Echo{})
	if _, err := llm.Collect(fresh.Stream(t.Context(), req)); llm.CodeOf(err) != llm.CodeSpendLimit {
		t.Errorf("error %v, want no room", err)
	}
}

// TestAsk lets many calls meet the ceiling at once: one question is asked.
func TestAsk(t *testing.T) {
	for _, agreed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			questions, asking := 0, false
			most := worst(t)
			b := budget.New(&budget.Memory{}, budget.Options{Ask: func(_ context.Context, e *budget.ExceededError) (budget.Limits, bool) {
				if asking {
					t.Error("two questions at once")
				}
				asking = true
				time.Sleep(time.Minute) // lets the bubble's time pass, as a person does
				asking = false
				questions++
				return budget.Limits{Money: e.Scope.Limits.Money + 100*most.Money}, agreed
			}})
			s := run(budget.Limits{Money: most.Money - 1})
			s.OnBreach = budget.ActionAsk
			m := model(b, s, llmtest.Echo{})
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if _, err := collect(t.Context(), m); (err == nil) != agreed {
						t.Errorf("agreed: %v, error %v", agreed, err)
					}
				})
			}
			wg.Wait()
			if questions != 1 {
				t.Errorf("agreed: %v; %d questions, want 1", agreed, questions)
			}
		})
	}
}

func TestCountIsAskedWhenTheBoundDoesNotFit(t *testing.T) {
	t.Parallel()
	counted := 0
	b := budget.New(&budget.Memory{}, budget.Options{Count: func(context.Context, *llm.Request) (int, error) {
		counted++
		return 1000, nil
	}})
	m := model(b, run(budget.Limits{Tokens: 20_000}), llmtest.NewScript(llmtest.Answer("yes")))
	for _, text := range []string{"?", strings.Repeat("word ", 10_000)} {
		if _, err := llm.Collect(m.Stream(t.Context(), llmtest.Request(text))); err != nil {
			t.Errorf("a prompt of %d bytes: %v", len(text), err)
		}
	}
	if counted != 1 {
		t.Errorf("counted %d times, want once", counted)
	}
}

// TestAnotherModelBelow has a layer below send the call to a dearer model.
func TestAnotherModelBelow(t *testing.T) {
	t.Parallel()
	var reserved llm.Money
	b := budget.New(&budget.Memory{}, budget.Options{OnSettle: func(s budget.Settlement) { reserved = s.Reserved.Money }})
	attempts := b.Attempts(llmtest.Echo{})
	calls := b.Calls(llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		dearer := *req
		dearer.Model = "claude-opus-5-5"
		return attempts.Stream(ctx, &dearer)
	}))
	if _, err := collect(budget.With(t.Context(), run(budget.Limits{Money: llm.Dollar})), calls); err != nil {
		t.Fatal(err)
	}
	if small := worst(t).Money; reserved < 10*small {
		t.Errorf("%v were reserved, and the first model's worst case is %v", reserved, small)
	}
	_, err := collect(budget.With(t.Context(), run(budget.Limits{Money: 2 * worst(t).Money})), calls)
	if _, ok := errors.AsType[*budget.ExceededError](err); !ok {
		t.Errorf("error %v, want no room for the dearer model", err)
	}
}

// TestAttemptsAtOnce has a layer below send a call twice at once: both may be
// billed, so both are reserved.
func TestAttemptsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		answer := append([]llmtest.Step{llmtest.Wait(time.Minute)}, llmtest.Answer("yes")...)
		attempts := b.Attempts(llmtest.NewScript(answer))
		twice := llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
			return func(yield func(llm.Event, error) bool) {
				var other sync.WaitGroup
				other.Go(func() { _, _ = llm.Collect(attempts.Stream(ctx, req)) })
				attempts.Stream(ctx, req)(yield)
				other.Wait()
			}
		})
		m := scoped(b, run(budget.Limits{Money: llm.Dollar}), twice)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = collect(t.Context(), m) })
		synctest.Wait()
		most := worst(t)
		wantBalance(t, b, budget.Balance{Reserved: budget.Amount{Money: 2 * most.Money, Tokens: 2 * most.Tokens, Calls: 1}})
		wg.Wait()
		one := cost(t, "yes")
		wantBalance(t, b, budget.Balance{Spent: budget.Amount{Money: 2 * one.Money, Tokens: 2 * one.Tokens, Calls: 1}})
	})
}
