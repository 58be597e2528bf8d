package budget_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/retry"
)

func TestLayer(t *testing.T) {
	t.Parallel()
	rich := budget.Options{Scopes: func(_ context.Context, req *llm.Request) []budget.Scope {
		return []budget.Scope{
			run(budget.Limits{Money: 1000 * llm.Dollar, Tokens: 1e9, Calls: 1e6}),
			{Level: budget.Agent, Name: req.Agent}, {Level: budget.Call, Limits: budget.Limits{Money: 10 * llm.Dollar, Time: time.Hour}},
		}
	}}
	for name, opts := range map[string]budget.Options{"no scope": {}, "scopes": rich} {
		t.Run(name, func(t *testing.T) {
			llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
				b := budget.New(&budget.Memory{}, opts)
				return b.Calls(b.Attempts(next))
			})
		})
		t.Run(name+", calls only", func(t *testing.T) {
			llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
				return budget.New(&budget.Memory{}, opts).Calls(next)
			})
		})
	}
}

func run(limits budget.Limits) budget.Scope {
	return budget.Scope{Level: budget.Run, Name: "r", Limits: limits}
}

// worst returns the worst case of llmtest.Request("?"), as the layer computes it.
func worst(t *testing.T) budget.Amount {
	t.Helper()
	var got budget.Amount
	b := budget.New(&budget.Memory{}, budget.Options{OnSettle: func(s budget.Settlement) { got = s.Reserved }})
	llmtest.MustCollect(t, model(b, run(budget.Limits{}), llmtest.Echo{}), llmtest.Request("?"))
	return got
}

// doubt returns what an attempt is charged that broke off before it reported anything,
// after so many bytes of an answer: the prompt as it is estimated, and no token of
// the answer shorter than a byte.
func doubt(t *testing.T, output int) budget.Amount {
	t.Helper()
	most := worst(t)
	input := llm.Prices().EstimateTokens(llmtest.Model, int(most.Tokens)-llmtest.Request("?").MaxTokens)
	cost, _ := llm.Prices().CostOf(llmtest.Model, llm.Usage{CacheWrite5m: input, OutputTokens: output}, llm.Rate{})
	return budget.Amount{Money: cost, Tokens: int64(input + output), Calls: 1}
}

// model returns next in a budget with one scope.
func model(b *budget.Budget, s budget.Scope, next llm.Model) llm.Model {
	return scoped(b, s, b.Attempts(next))
}

func collect(ctx context.Context, m llm.Model) (*llm.Response, error) {
	return llm.Collect(m.Stream(ctx, llmtest.Request("?")))
}

func wantBalance(t *testing.T, b *budget.Budget, want budget.Balance) {
	t.Helper()
	got, err := b.Balance(run(budget.Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("balance (-want +got):\n%s", diff)
	}
}

func cost(t *testing.T, text string) budget.Amount {
	t.Helper()
	u := llmtest.Response(text).Usage
	money, ok := llm.Prices().CostOf(llmtest.Model, u, llm.Rate{})
	if !ok {
		t.Fatal("the test's model has no price")
	}
	return budget.Amount{Money: money, Tokens: int64(u.TotalTokens()), Calls: 1}
}

func TestAnswersAreSettledAtTheirCost(t *testing.T) {
	t.Parallel()
	b := budget.New(&budget.Memory{}, budget.Options{})
	m := model(b, run(budget.Limits{Money: llm.Dollar}), llmtest.NewScript(llmtest.Answer("yes")))
	if _, err := collect(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, b, budget.Balance{Spent: cost(t, "yes")})
}

// TestOutcomes shows what attempts that fail are charged.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	one := budget.Amount{Calls: 1}
	status := func(code llm.Code, status int) []llmtest.Step {
		return []llmtest.Step{llmtest.Fail(&llm.Error{Code: code, Status: status, RetryAfter: -1})}
	}
	for name, c := range map[string]struct {
		steps []llmtest.Step
		doubt int // bytes of an answer that may have been billed, with its prompt; -1 for nothing
	}{
		"429":                         {status(llm.CodeRateLimit, 429), -1},
		"400":                         {status(llm.CodeInvalid, 400), -1},
		"529":                         {status(llm.CodeOverloaded, 529), -1},
		"500 at an unknown point":     {status(llm.CodeServer, 500), 0},
		"502 of a proxy":              {status(llm.CodeServer, 502), 0},
		"504 of a proxy":              {status(llm.CodeServer, 504), 0},
		"no connection":               {[]llmtest.Step{llmtest.FailCode(llm.CodeConnection)}, 0},
		"overload within the answer":  {[]llmtest.Step{llmtest.Start(), llmtest.FailCode(llm.CodeOverloaded)}, 0},
		"broken within the answer":    {[]llmtest.Step{llmtest.Start(), llmtest.Text("a"), llmtest.FailCode(llm.CodeConnection)}, 1},
		"a cut stream without a word": {nil, 0},
	} {
		b := budget.New(&budget.Memory{}, budget.Options{})
		if _, err := collect(t.Context(), model(b, run(budget.Limits{Money: llm.Dollar}), llmtest.NewScript(c.steps))); err == nil {
			t.Fatalf("%s: no error", name)
		}
		want := budget.Balance{Spent: one}
		if c.doubt >= 0 {
			want = budget.Balance{Spent: doubt(t, c.doubt), Uncertain: doubt(t, c.doubt)}
		}
		got, _ := b.Balance(run(budget.Limits{}))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestBreakingOffIsChargedForWhatArrived(t *testing.T) {
	t.Parallel()
	b := budget.New(&budget.Memory{}, budget.Options{})
	m := model(b, run(budget.Limits{Money: llm.Dollar}), llmtest.NewScript([]llmtest.Step{llmtest.Start(), llmtest.Text("a"), llmtest.Hang()}))
	for ev := range m.Stream(t.Context(), llmtest.Request("?")) {
		if ev.Type == llm.EventText {
			break
		}
	}
	wantBalance(t, b, budget.Balance{Spent: doubt(t, 1), Uncertain: doubt(t, 1)})
}

// TestCanceledBeforeSending cancels calls that wait for a slot.
func TestCanceledBeforeSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		next := llmtest.NewScript([]llmtest.Step{llmtest.Hang()})
		calls := b.Calls(retry.New(admission.New(b.Attempts(next), admission.NewGate(1)), retry.Options{}))
		ctx, cancel := context.WithCancel(budget.With(t.Context(), run(budget.Limits{Money: llm.Dollar})))
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { _, _ = collect(ctx, calls) })
		}
		synctest.Wait()
		most := worst(t)
		all := budget.Amount{Money: 5 * most.Money, Tokens: 5 * most.Tokens, Calls: 5}
		wantBalance(t, b, budget.Balance{Reserved: all})
		cancel()
		wg.Wait()
		wantBalance(t, b, budget.Balance{Spent: doubt(t, 0), Uncertain: doubt(t, 0)})
	})
}

func TestWaitsForOthersToSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		next := llmtest.NewScript(append([]llmtest.Step{llmtest.Wait(time.Minute)}, llmtest.Answer("yes")...))
		// Room for two worst cases, and in the end for ten answers and a worst case.
		limit := max(2*worst(t).Money, 10*cost(t, "yes").Money+worst(t).Money)
		m := model(b, run(budget.Limits{Money: limit}), next)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := collect(t.Context(), m); err != nil {
					t.Errorf("a call failed that had room in the end: %v", err)
				}
			})
		}
		wg.Wait()
		if next.Started() != 10 {
			t.Errorf("%d calls were made, want 10", next.Started())
		}
		if b, _ := b.Balance(run(budget.Limits{})); b.Spent.Money != 10*cost(t, "yes").Money {
			t.Errorf("spent %v", b.Spent)
		}
	})
}

// TestFirstComeFirstServed has a large call wait while smaller ones come, which
// would have room. No two of those that wait have room together, so that each
// reaches the service before the next can. A request that is sent as it is keeps its
// size.
func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		next := llmtest.NewScript(append([]llmtest.Step{llmtest.Wait(time.Minute)}, llmtest.Answer("yes")...))
		m := model(b, run(budget.Limits{Tokens: 10_000}), next)
		var wg sync.WaitGroup
		ask := func(tokens int) {
			wg.Go(func() {
				req := llmtest.Request("?")
				req.MaxTokens, req.Wire = tokens, &llm.Wire{Body: []byte("{}"), Stream: true}
				if _, err := llm.Collect(m.Stream(t.Context(), req)); err != nil {
					t.Errorf("a call of %d: %v", tokens, err)
				}
			})
			synctest.Wait()
		}
		ask(4_000)
		ask(9_000)
		ask(5_500)
		ask(5_501)
		wg.Wait()
		var order []int
		for _, req := range next.Requests() {
			order = append(order, req.MaxTokens)
		}
		if diff := cmp.Diff([]int{4_000, 9_000, 5_500, 5_501}, order); diff != "" {
			t.Errorf("order of calls (-want +got):\n%s", diff)
		}
	})
}

func TestGivesUpWaitingWhenNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		hang := llmtest.NewScript([]llmtest.Step{llmtest.Wait(time.Minute), llmtest.Start(), llmtest.FailCode(llm.CodeConnection)})
		m := model(b, run(budget.Limits{Money: worst(t).Money}), hang)
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = collect(t.Context(), m) })
		synctest.Wait()
		_, err := collect(t.Context(), m)
		if _, ok := errors.AsType[*budget.ExceededError](err); !ok || time.Since(begin) != time.Minute {
			t.Errorf("after %v: %v; want to know after a minute that nothing is left", time.Since(begin), err)
		}
		wg.Wait()
	})
}

func TestCanceledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		m := model(b, run(budget.Limits{Money: worst(t).Money}), llmtest.NewScript([]llmtest.Step{llmtest.Hang()}))
		long, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = collect(long, m) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := collect(ctx, m)
		if llm.CodeOf(err) != llm.CodeTimeout || !strings.Contains(err.Error(), "budget") {
			t.Errorf("error %v, want a timeout that says what the call waited for", err)
		}
		stop()
		wg.Wait()
	})
}

// TestAttemptsAreReservedOneByOne has attempts break off after they were sent:
// each stays charged, and the next needs room of its own.
func TestAttemptsAreReservedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		next := llmtest.NewScript([]llmtest.Step{llmtest.FailCode(llm.CodeConnection)})
		calls := b.Calls(retry.New(b.Attempts(next), retry.Options{MaxAttempts: 10}))
		once := doubt(t, 0)
		ctx := budget.With(t.Context(), run(budget.Limits{Money: worst(t).Money + once.Money}))
		_, err := collect(ctx, calls)
		if _, ok := errors.AsType[*budget.ExceededError](err); !ok || next.Started() != 2 {
			t.Errorf("%d attempts and %v, want 2 and no room for a third", next.Started(), err)
		}
		two := budget.Amount{Money: 2 * once.Money, Tokens: 2 * once.Tokens, Calls: 1}
		wantBalance(t, b, budget.Balance{Spent: two, Uncertain: two})
	})
}

func TestRefusedAttemptsKeepTheirReservation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		refused := []llmtest.Step{llmtest.FailCode(llm.CodeOverloaded)}
		next := llmtest.NewScript(refused, refused, refused, llmtest.Answer("yes"))
		calls := b.Calls(retry.New(b.Attempts(next), retry.Options{}))
		resp, err := collect(budget.With(t.Context(), run(budget.Limits{Money: worst(t).Money})), calls)
		if err != nil || resp.Attempts != 4 {
			t.Fatalf("%+v, %v; want an answer to the fourth attempt", resp, err)
		}
		wantBalance(t, b, budget.Balance{Spent: cost(t, "yes")})
	})
}

// TestRetryWaitsWithoutASlot has a call wait for room for its second attempt
// while the call that will leave it waits for the only slot.
func TestRetryWaitsWithoutASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		next := llmtest.NewScript(
			[]llmtest.Step{llmtest.Wait(time.Second), llmtest.FailCode(llm.CodeConnection)},
			append([]llmtest.Step{llmtest.Wait(time.Minute)}, llmtest.Answer("other")...),
			llmtest.Answer("yes"),
		)
		calls := b.Calls(retry.New(admission.New(b.Attempts(next), admission.NewGate(1)), retry.Options{}))
		most := worst(t).Money
		ctx := budget.With(t.Context(), run(budget.Limits{Money: 2*most + cost(t, "other").Money}))
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := collect(ctx, calls); err != nil {
					t.Errorf("a call failed: %v", err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}

func TestNestedScopes(t *testing.T) {
	t.Parallel()
	b := budget.New(&budget.Memory{}, budget.Options{Scopes: func(_ context.Context, req *llm.Request) []budget.Scope {
		return []budget.Scope{{Level: budget.Agent, Name: req.Agent, Limits: budget.Limits{Calls: 1}}}
	}})
	m := model(b, run(budget.Limits{Calls: 2}), llmtest.Echo{})
	var said []string
	for _, agent := range []string{"a", "a", "b", "c"} {
		req := llmtest.Request("?")
		req.Agent = agent
		_, err := llm.Collect(m.Stream(t.Context(), req))
		e, _ := errors.AsType[*budget.ExceededError](err)
		if e == nil {
			said = append(said, "made")
		} else {
			said = append(said, fmt.Sprint(e.Scope, " ", e.Kind))
		}
	}
	if diff := cmp.Diff([]string{"made", "agent a calls", "made", "run r calls"}, said); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestSingleCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{OnExceeded: func(e *budget.ExceededError) { t.Errorf("reported, though no other call shares it: %v", e) }})
		next := llmtest.NewScript([]llmtest.Step{llmtest.FailCode(llm.CodeConnection)})
		calls := b.Calls(retry.New(b.Attempts(next), retry.Options{}))
		scopes := []budget.Scope{{Level: budget.Call, Limits: budget.Limits{Money: worst(t).Money}}, run(budget.Limits{})}
		for range 2 { // one call's tries are not charged to the other
			_, err := collect(budget.With(t.Context(), scopes...), calls)
			if e, ok := errors.AsType[*budget.ExceededError](err); !ok || e.Scope.Level != budget.Call {
				t.Errorf("error %v, want that the call's own ceiling leaves no second attempt", err)
			}
		}
		if next.Started() != 2 {
			t.Errorf("%d attempts, want 2", next.Started())
		}
	})
}

func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(&budget.Memory{}, budget.Options{})
		s := run(budget.Limits{Time: time.Minute})
		s.Start = time.Now()
		next := llmtest.NewScript([]llmtest.Step{llmtest.Hang()})
		m := model(b, s, next)
		for range 2 { // one that is under way, and one that comes too late
			_, err := collect(t.Context(), m)
			e, ok := errors.AsType[*budget.ExceededError](err)
			if !ok || e.Kind != budget.Time || llm.CodeOf(err) != llm.CodeSpendLimit || time.Since(s.Start) != time.Minute {
				t.Errorf("after %v: %v", time.Since(s.Start), err)
			}
		}
		if next.Started() != 1 {
			t.Errorf("%d calls were made, want 1", next.Started())
		}
	})
}

func TestUnbounded(t *testing.T) {
	t.Parallel()
	tool := func(raw string) []llm.Tool { return []llm.Tool{{Name: "web", Raw: json.RawMessage(raw)}} }
	for name, c := range map[string]struct {
		model  string
		tools  []llm.Tool
		limits budget.Limits
		reason string // empty if the call is made
	}{
		"no price":                     {"claude-next", nil, budget.Limits{Money: llm.Dollar}, "no price for it"},
		"no price, but tokens":         {"claude-next", nil, budget.Limits{Tokens: 10_000}, ""},
		"searches without end":         {llmtest.Model, tool(`{"type":"web_search_20250305","name":"web"}`), budget.Limits{Money: 100 * llm.Dollar}, "set its max_uses"},
		"searches without end, tokens": {llmtest.Model, tool(`{"type":"web_search_20250305","name":"web"}`), budget.Limits{Tokens: 1e9}, "set its max_uses"},
		"a search":                     {llmtest.Model, tool(`{"type":"web_search_20250305","name":"web","max_uses":1}`), budget.Limits{Money: 100 * llm.Dollar}, ""},
		"code elsewhere":               {llmtest.Model, tool(`{"type":"code_execution_20250825","name":"web"}`), budget.Limits{Money: 100 * llm.Dollar}, "provider's side"},
		"code elsewhere, calls":        {llmtest.Model, tool(`{"type":"code_execution_20250825","name":"web"}`), budget.Limits{Calls: 1}, ""},
		"a shell here":                 {llmtest.Model, tool(`{"type":"bash_20250124","name":"bash"}`), budget.Limits{Money: llm.Dollar}, ""},
	} {
		req := llmtest.Request("?")
		req.Model, req.Tools = c.model, c.tools
		b := budget.New(&budget.Memory{}, budget.Options{})
		_, err := llm.Collect(model(b, run(c.limits), llmtest.Echo{}).Stream(t.Context(), req))
		e, unbounded := errors.AsType[*budget.UnboundedError](err)
		switch {
		case c.reason == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.reason != "" && (!unbounded || !strings.Contains(e.Reason, c.reason) || llm.CodeOf(err) != llm.CodeInvalid):
			t.Errorf("%s: error %v, want one that says %q", name, err, c.reason)
		}
	}
}

// TestNothingAllowsNothing: a limit of 0 that was given is not taken for none,
// whatever it is of.
func TestNothingAllowsNothing(t *testing.T) {
	t.Parallel()
	for _, limits := range []budget.Limits{
		{Money: budget.Nothing}, {Tokens: budget.Nothing}, {Calls: budget.Nothing}, {Time: budget.Nothing},
	} {
		for _, scope := range []budget.Scope{run(limits), {Level: budget.Call, Limits: limits}} {
			b := budget.New(&budget.Memory{}, budget.Options{})
			next := llmtest.NewScript(llmtest.Answer("yes"))
			_, err := collect(t.Context(), model(b, scope, next))
			if _, ok := errors.AsType[*budget.ExceededError](err); !ok || len(next.Requests()) != 0 {
				t.Errorf("%+v: %v after %d calls; want none", scope, err, len(next.Requests()))
			}
		}
	}
}
