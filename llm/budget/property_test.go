package budget_test

import (
	"context"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/retry"
)

// till is a service that bills what it was drawn to, also for answers that
// break off, and adds up. As the real one does, it reports the prompt before it
// writes, and bills no more of an answer than it has sent.
type till struct {
	mu     sync.Mutex // guards the fields below
	billed llm.Money
	tokens int64
	plans  []plan
}

// plan is what happens to one attempt.
type plan struct {
	wait   time.Duration
	code   llm.Code // 0 for an answer
	status int
	billed bool // whether a failed attempt is
	output int
}

func (s *till) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		s.mu.Lock()
		p := s.plans[0]
		s.plans = append(s.plans[1:], p)
		s.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(p.wait):
		}
		prompt := llm.Usage{CacheWrite5m: 20}
		resp := llmtest.Response("yes")
		resp.Usage = prompt.Add(llm.Usage{OutputTokens: min(p.output, req.MaxTokens)})
		switch {
		case ctx.Err() != nil:
			s.bill(req, prompt)
			yield(llm.Event{}, llm.ContextError(ctx))
		case p.code == 0:
			s.bill(req, resp.Usage)
			yield(llm.Event{Type: llm.EventDone, Response: resp}, nil)
		case !p.billed:
			yield(llm.Event{}, &llm.Error{Code: p.code, Status: p.status, RetryAfter: -1})
		case p.status != 0:
			s.bill(req, prompt)
			yield(llm.Event{}, &llm.Error{Code: p.code, Status: p.status, RetryAfter: -1})
		default: // it breaks off within the answer
			s.bill(req, resp.Usage)
			if !yield(llm.Event{Type: llm.EventStart, Usage: &prompt}, nil) {
				return
			}
			if text := strings.Repeat("a", resp.Usage.OutputTokens); text != "" && !yield(llm.Event{Type: llm.EventText, Text: text}, nil) {
				return
			}
			yield(llm.Event{}, &llm.Error{Code: p.code, RetryAfter: -1})
		}
	}
}

// bill adds what usage costs.
func (s *till) bill(req *llm.Request, u llm.Usage) {
	cost, _ := llm.Prices().CostOf(req.Model, u, llm.Rate{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.billed += cost
	s.tokens += int64(u.TotalTokens())
}

// TestNoInterleavingExceeds lets calls of two processes' worth of budgets run
// at once on one ledger, with all ways to fail.
func TestNoInterleavingExceeds(t *testing.T) {
	outcomes := []plan{
		{}, {}, {code: llm.CodeRateLimit, status: 429}, {code: llm.CodeOverloaded, status: 529},
		{code: llm.CodeConnection, billed: true}, {code: llm.CodeConnection}, {code: llm.CodeServer, status: 504, billed: true},
	}
	rapid.Check(t, func(rt *rapid.T) {
		limits := budget.Limits{
			Money:  llm.Money(rapid.Int64Range(0, 3e6).Draw(rt, "money")),
			Tokens: rapid.Int64Range(0, 5000).Draw(rt, "tokens"),
			Calls:  rapid.Int64Range(0, 30).Draw(rt, "calls"),
		}
		s := run(limits)
		s.OnBreach = rapid.SampledFrom([]budget.Action{budget.ActionStop, budget.ActionPartial}).Draw(rt, "action")
		service := &till{plans: rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) plan {
			p := rapid.SampledFrom(outcomes).Draw(rt, "outcome")
			p.wait = time.Duration(rapid.IntRange(0, 5000).Draw(rt, "wait")) * time.Millisecond
			p.output = rapid.SampledFrom([]int{0, 40, 200, 256}).Draw(rt, "output")
			return p
		}), 4, 12).Draw(rt, "plans")}
		timeouts := rapid.SliceOfN(rapid.IntRange(1, 30), 10, 40).Draw(rt, "timeouts")
		var end budget.Balance
		synctest.Test(t, func(t *testing.T) {
			ledger := &budget.Memory{}
			gate := admission.NewGate(5)
			var models [2]llm.Model
			for i := range models {
				b := budget.New(ledger, budget.Options{})
				models[i] = scoped(b, s, retry.New(admission.New(b.Attempts(service), gate), retry.Options{}))
			}
			var wg sync.WaitGroup
			for i, seconds := range timeouts {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second)
					defer cancel()
					_, _ = collect(ctx, models[i%2]) // some fail
				})
			}
			wg.Wait()
			end, _ = ledger.Balance("run/r")
		})
		if end.Reserved != (budget.Amount{}) {
			rt.Fatalf("%+v is reserved by nobody", end.Reserved)
		}
		if limits.Money > 0 && (service.billed > end.Spent.Money || end.Spent.Money > limits.Money) {
			rt.Fatalf("billed %v, noted %v, of %v", service.billed, end.Spent.Money, limits.Money)
		}
		if limits.Tokens > 0 && (service.tokens > end.Spent.Tokens || end.Spent.Tokens > limits.Tokens) {
			rt.Fatalf("billed %d tokens, noted %d, of %d", service.tokens, end.Spent.Tokens, limits.Tokens)
		}
		if limits.Calls > 0 && end.Spent.Calls > limits.Calls {
			rt.Fatalf("%d calls of %d", end.Spent.Calls, limits.Calls)
		}
	})
}

// scoped returns a pipeline below a budget with one scope.
func scoped(b *budget.Budget, s budget.Scope, next llm.Model) llm.Model {
	calls := b.Calls(next)
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return calls.Stream(budget.With(ctx, s), req)
	})
}
