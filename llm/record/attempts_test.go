package record_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/coalesce"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/llm/retry"
)

func TestAttemptsSuite(t *testing.T) {
	t.Parallel()
	llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
		return record.Attempts(next, record.AttemptOptions{})
	})
}

// reports starts an answer and reports its prompt.
func reports(prompt int) llmtest.Step {
	return llmtest.Emit(llm.Event{Type: llm.EventStart, Usage: &llm.Usage{InputTokens: prompt, OutputTokens: 1}})
}

func cost(t *testing.T, u llm.Usage) llm.Money {
	t.Helper()
	c, ok := llm.Prices().CostOf(llmtest.Model, u, llm.Rate{})
	if !ok {
		t.Fatal("the test model has no price")
	}
	return c
}

// TestEveryAttemptIsPaid has an attempt break off after it reported its prompt,
// then one refused, then an answer: the call costs what all of them cost, and
// its service time is that of the answer alone.
func TestEveryAttemptIsPaid(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript(
		[]llmtest.Step{llmtest.Wait(time.Second), reports(1000), llmtest.FailCode(llm.CodeConnection)},
		[]llmtest.Step{llmtest.Fail(&llm.Error{Code: llm.CodeOverloaded, Status: 529, RetryAfter: -1})},
		[]llmtest.Step{llmtest.Wait(2 * time.Second), llmtest.Text("hello"), llmtest.Wait(time.Second), llmtest.Done(llmtest.Response("hello"))},
	)
	var got record.Call
	synctest.Test(t, func(t *testing.T) {
		inner := retry.New(record.Attempts(next, record.AttemptOptions{}), retry.Options{Rand: func() float64 { return 0.5 }})
		m := record.New(inner, record.Options{Metered: true}, func(_ context.Context, c record.Call) { got = c })
		ctx, bill := llm.WithBill(t.Context())
		if _, err := llm.Collect(m.Stream(ctx, llmtest.Request("Hi."))); err != nil {
			t.Fatal(err)
		}
		want := cost(t, llm.Usage{InputTokens: 1000, OutputTokens: 1}) + cost(t, llmtest.Response("hello").Usage)
		if calls, _, paid, known := bill.Total(); calls != 1 || paid != want || !known {
			t.Errorf("the bill says %v for %d calls, known %v; want %v", paid, calls, known, want)
		}
		if got.CostUSD == nil || llm.Dollars(*got.CostUSD) != want {
			t.Errorf("recorded %v, want %v", got.AtLeast, want)
		}
	})
	var bases []llm.Basis
	for _, a := range got.Tries {
		bases = append(bases, a.Charge.Basis)
	}
	if diff := cmp.Diff([]llm.Basis{llm.BasisPart, llm.BasisFree, llm.BasisAnswer}, bases); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	if got.Attempts != 3 || got.Service != 3*time.Second || got.FirstToken != 2*time.Second || got.Duration != got.Waited.Round(time.Millisecond)+4*time.Second {
		t.Errorf("%d attempts, service %v, first token %v, waited %v of %v", got.Attempts, got.Service, got.FirstToken, got.Waited, got.Duration)
	}
}

// TestWaitingIsNotService lets ten calls of a second through one slot.
func TestWaitingIsNotService(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var waited []time.Duration
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript([]llmtest.Step{llmtest.Wait(time.Second), llmtest.Text("x"), llmtest.Done(llmtest.Response("x"))})
		m := record.New(admission.New(record.Attempts(next, record.AttemptOptions{}), admission.NewGate(1)), record.Options{Metered: true}, func(_ context.Context, c record.Call) {
			mu.Lock()
			defer mu.Unlock()
			if c.Service != time.Second || c.FirstToken != time.Second || c.Duration != c.Waited+c.Service {
				t.Errorf("service %v, first token %v, waited %v of %v", c.Service, c.FirstToken, c.Waited, c.Duration)
			}
			waited = append(waited, c.Waited)
		})
		var calls sync.WaitGroup
		for range 10 {
			calls.Go(func() { llmtest.MustCollect(t, m, llmtest.Request("Hi.")) })
		}
		calls.Wait()
	})
	var sum time.Duration
	for _, w := range waited {
		sum += w
	}
	if len(waited) != 10 || sum != 45*time.Second { // 0 + 1 + ... + 9
		t.Errorf("%d calls waited %v", len(waited), sum)
	}
}

// TestCallThatWasNotSent cancels a call that waits for a slot.
func TestCallThatWasNotSent(t *testing.T) {
	t.Parallel()
	var calls []record.Call
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript([]llmtest.Step{llmtest.Hang()})
		m := record.New(admission.New(record.Attempts(next, record.AttemptOptions{}), admission.NewGate(1)), record.Options{Metered: true}, func(_ context.Context, c record.Call) { calls = append(calls, c) })
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _, _ = llm.Collect(m.Stream(ctx, llmtest.Request("Hi."))) })
		synctest.Wait()
		waiting, leave := context.WithCancel(t.Context())
		leave()
		_, _ = llm.Collect(m.Stream(waiting, llmtest.Request("Hi.")))
		cancel()
		running.Wait()
	})
	if len(calls) != 2 || calls[0].Sent() || !cmp.Equal(calls[0].CostUSD, new(0.0)) || !calls[1].Sent() || !calls[1].Uncertain {
		t.Errorf("calls %+v", calls)
	}
}

// TestAttemptOutlastsItsCall has the reader that made a shared call leave. What the
// attempt costs is found, once, whoever takes the answer.
func TestAttemptOutlastsItsCall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  []llmtest.Step
		want llm.Usage
	}{
		"answered":   {[]llmtest.Step{llmtest.Done(llmtest.Response("x"))}, llmtest.Response("x").Usage},
		"broken off": {[]llmtest.Step{llmtest.FailCode(llm.CodeConnection)}, llm.Usage{InputTokens: 1000, OutputTokens: 1}},
	} {
		var mu sync.Mutex
		var paid llm.Money
		ids := map[int64]int{}
		synctest.Test(t, func(t *testing.T) {
			next := llmtest.NewScript(append([]llmtest.Step{reports(1000), llmtest.Text("x"), llmtest.Wait(time.Minute)}, c.end...))
			late := func(_ context.Context, a record.Attempt) {
				mu.Lock()
				defer mu.Unlock()
				paid += a.Charge.Cost
				ids[a.ID]++
			}
			m := record.New(coalesce.New(record.Attempts(next, record.AttemptOptions{Late: late}), llm.Keyer{}, coalesce.Options{}), record.Options{Metered: true}, func(_ context.Context, c record.Call) {
				mu.Lock()
				defer mu.Unlock()
				for _, a := range c.Tries {
					paid += a.Charge.Cost
					ids[a.ID]++
				}
				if c.CostUSD != nil && llm.Dollars(*c.CostUSD) != c.AtLeast {
					t.Errorf("%s: the call costs %v, its attempts %v", name, *c.CostUSD, c.AtLeast)
				}
			})
			ctx, leave := context.WithCancel(t.Context())
			var readers sync.WaitGroup
			readers.Go(func() { _, _ = llm.Collect(m.Stream(ctx, llmtest.Request("Hi."))) })
			synctest.Wait()
			readers.Go(func() { _, _ = llm.Collect(m.Stream(t.Context(), llmtest.Request("Hi."))) })
			synctest.Wait()
			leave()
			readers.Wait()
		})
		if want := cost(t, c.want); paid != want {
			t.Errorf("%s: %v, want %v", name, paid, want)
		}
		if len(ids) != 1 || ids[0] != 0 {
			t.Errorf("%s: attempts %v; want one, which is recorded once", name, ids)
		}
	}
}

// TestAttemptInABatch: the time of a batch is not the service's, and an answer that
// another call of the batch has paid for is no attempt.
func TestAttemptInABatch(t *testing.T) {
	t.Parallel()
	coalesced := llmtest.Response("x")
	coalesced.Source = llm.SourceCoalesced
	next := llmtest.NewScript([]llmtest.Step{llmtest.Done(llmtest.Response("x"))}, []llmtest.Step{llmtest.Done(coalesced)})
	var calls []record.Call
	m := record.New(record.Attempts(next, record.AttemptOptions{}), record.Options{Metered: true}, func(_ context.Context, c record.Call) { calls = append(calls, c) })
	req := llmtest.Request("Hi.")
	req.Batch = true
	for range 2 {
		llmtest.MustCollect(t, m, req)
	}
	want := cost(t, llmtest.Response("x").Usage)
	if c := calls[0]; len(c.Tries) != 1 || c.Tries[0].Charge.Cost != want || c.Tries[0].Duration != 0 || c.Service != 0 || c.Waited != 0 {
		t.Errorf("the call that pays: %+v", c)
	}
	if c := calls[1]; len(c.Tries) != 0 || c.CostUSD == nil || *c.CostUSD != 0 {
		t.Errorf("the call that shares: %+v", c)
	}
}
