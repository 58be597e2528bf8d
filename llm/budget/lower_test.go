package budget_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
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
)

// meteredService answers with lengths it is given, cut at max_tokens, and adds up
// what it bills.
type meteredService struct {
	prompt  int
	lengths []int // of the answers in turn

	mu     sync.Mutex // guards the fields below
	calls  int
	billed llm.Money
	cut    int
}

func (s *meteredService) Stream(_ context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		s.mu.Lock()
		want := s.lengths[s.calls%len(s.lengths)]
		s.calls++
		n := min(want, req.MaxTokens)
		resp := llmtest.Response("answer")
		resp.Model = req.Model
		resp.Usage = llm.Usage{InputTokens: s.prompt, OutputTokens: n}
		if n < want {
			resp.StopReason = llm.StopMaxTokens
			s.cut++
		}
		cost, _ := llm.Prices().CostOf(req.Model, resp.Usage, llm.RateOf(req))
		s.billed += cost
		s.mu.Unlock()
		time.Sleep(time.Second) // in the bubble
		yield(llm.Event{Type: llm.EventDone, Response: resp}, nil)
	}
}

// TestBudgetsAreUsable runs more calls than a budget has room for, with the usual
// max_tokens: at least nine tenths of the budget are used, and never more than all.
func TestBudgetsAreUsable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		model := rapid.SampledFrom([]string{"haiku", "sonnet", "opus"}).Draw(rt, "model")
		id, _ := llm.Prices().Resolve(model)
		typical := rapid.IntRange(100, 900).Draw(rt, "typical length")
		service := &meteredService{prompt: rapid.IntRange(20, 3000).Draw(rt, "prompt")}
		for range 50 {
			service.lengths = append(service.lengths, rapid.IntRange(typical*3/4, typical*5/4).Draw(rt, "length"))
		}
		call, _ := llm.Prices().CostOf(id, llm.Usage{InputTokens: service.prompt, OutputTokens: typical}, llm.Rate{})
		room := rapid.IntRange(25, 100).Draw(rt, "calls that the budget has room for")
		limit := call * llm.Money(room)
		jobs := rapid.SampledFrom([]int{1, 4, 10}).Draw(rt, "jobs")
		added := rapid.IntRange(0, 40).Draw(rt, "bytes that a layer below adds")
		tool := llm.Tool{Name: "read", Description: "Reads.\n\"All\" of it.", InputSchema: json.RawMessage(`{"type":"object"}`)}
		var spent budget.Balance
		synctest.Test(t, func(t *testing.T) {
			count := func(context.Context, *llm.Request) (int, error) { return service.prompt, nil }
			b := budget.New(&budget.Memory{}, budget.Options{Count: count})
			scope := run(budget.Limits{Money: limit})
			m := scoped(b, scope, admission.New(marked(b.Attempts(service), added), admission.NewGate(jobs)))
			var calls sync.WaitGroup
			for range 2 * room {
				calls.Go(func() {
					req := llmtest.Request("?")
					req.Model, req.MaxTokens, req.Agent = id, 16384, "a"
					req.Messages = []llm.Message{llm.UserText(string(make([]byte, service.prompt*3)))}
					req.Tools = []llm.Tool{tool}
					_, _ = llm.Collect(m.Stream(t.Context(), req)) // many find no room
				})
			}
			calls.Wait()
			spent, _ = b.Balance(scope)
		})
		if spent.Spent.Money > limit || service.billed > limit {
			rt.Fatalf("%v of %v are spent, %v billed", spent.Spent.Money, limit, service.billed)
		}
		if used := float64(service.billed) / float64(limit); used < 0.9 {
			rt.Fatalf("%.0f %% of %v are used, %d calls of %d", 100*used, limit, service.calls, room)
		}
	})
}

// marked returns next behind a layer that changes what is sent, as the one of prompt
// caching does: the last tool is JSON with a breakpoint. The system prompt gets some
// bytes more.
func marked(next llm.Model, added int) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		out := *req
		out.Tools = slices.Clone(req.Tools)
		last := &out.Tools[len(out.Tools)-1]
		raw, _ := json.Marshal(*last)
		last.Raw = append(bytes.TrimSuffix(raw, []byte("}")), `,"cache_control":{"type":"ephemeral","ttl":"1h"}}`...)
		if added > 0 {
			out.System = append(slices.Clip(req.System), llm.TextBlock(strings.Repeat("x", added)))
		}
		return next.Stream(ctx, &out)
	})
}

// TestCutByTheBudget has an answer that is longer than the budget has room for.
func TestCutByTheBudget(t *testing.T) {
	t.Parallel()
	for _, action := range []budget.Action{budget.ActionStop, budget.ActionPartial} {
		service := &meteredService{prompt: 10, lengths: []int{9000}}
		b := budget.New(&budget.Memory{}, budget.Options{})
		req := llmtest.Request("?")
		req.MaxTokens = 16384
		limit, _ := llm.Prices().WorstCase(req.Model, 97, 5000, llm.Rate{})
		scope := run(budget.Limits{Money: limit})
		scope.OnBreach = action
		resp, err := llm.Collect(scoped(b, scope, b.Attempts(service)).Stream(t.Context(), req))
		e, exceeded := errors.AsType[*budget.ExceededError](err)
		switch {
		case service.calls != 1 || service.cut != 1:
			t.Errorf("%s: %d calls, %d cut", action, service.calls, service.cut)
		case action == budget.ActionStop && (!exceeded || e.Kind != budget.Answer || llm.CodeOf(err) != llm.CodeSpendLimit):
			t.Errorf("stop: %v", err)
		case action == budget.ActionPartial && (err != nil || !resp.Altered):
			t.Errorf("partial: %v, %+v", err, resp)
		}
		if got, _ := b.Balance(scope); got.Spent.Money != service.billed || got.Spent.Money > limit {
			t.Errorf("%s: %v are spent, %v billed, of %v", action, got.Spent.Money, service.billed, limit)
		}
	}
}

// dearService bills ten times what it was asked for.
type dearService struct {
	mu    sync.Mutex // guards the field below
	calls int
}

func (s *dearService) Stream(_ context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		s.mu.Lock()
		s.calls++
		s.mu.Unlock()
		time.Sleep(time.Second) // in the bubble
		resp := llmtest.Response("answer")
		resp.Model = req.Model
		resp.Usage = llm.Usage{OutputTokens: 10 * req.MaxTokens}
		yield(llm.Event{Type: llm.EventDone, Response: resp}, nil)
	}
}

// TestBilledAboveTheReservation reserves a hundred calls, of which two are sent at
// once: the others are checked again, by what the first cost.
func TestBilledAboveTheReservation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := &dearService{}
		b := budget.New(&budget.Memory{}, budget.Options{})
		m := scoped(b, run(budget.Limits{Money: 100 * worst(t).Money}), admission.New(b.Attempts(service), admission.NewGate(2)))
		var mu sync.Mutex
		refused := 0
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				_, err := collect(t.Context(), m)
				mu.Lock()
				defer mu.Unlock()
				if _, ok := errors.AsType[*budget.ExceededError](err); ok {
					refused++
				}
			})
		}
		calls.Wait()
		end, _ := b.Balance(run(budget.Limits{}))
		if end.Spent.Money > 100*worst(t).Money || service.calls+refused != 100 || refused < 85 {
			t.Errorf("%d calls were sent, %d refused, and %v of %v spent", service.calls, refused, end.Spent.Money, 100*worst(t).Money)
		}
	})
}

// TestLengthsOfEarlierProcesses has a budget with room for a call whose answer is as
// long as those before, and for none of the assumed length.
func TestLengthsOfEarlierProcesses(t *testing.T) {
	t.Parallel()
	for longest, want := range map[int]bool{0: false, 200: true} {
		asked := 0
		b := budget.New(&budget.Memory{}, budget.Options{Longest: func(agent, model string) int {
			asked++
			if agent != "a" || model != llmtest.Model {
				t.Errorf("asked for %s of %s", model, agent)
			}
			return longest
		}})
		req := llmtest.Request("?")
		req.MaxTokens, req.Agent = 16384, "a"
		limit, _ := llm.Prices().WorstCase(req.Model, 97, 300, llm.Rate{})
		_, err := llm.Collect(scoped(b, run(budget.Limits{Money: limit}), b.Attempts(llmtest.Echo{})).Stream(t.Context(), req))
		if (err == nil) != want || asked != 1 {
			t.Errorf("longest %d: %v, asked %d times", longest, err, asked)
		}
	}
}
