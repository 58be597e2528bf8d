package refusal_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/refusal"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
		b := refusal.New()
		return b.Check(b.Watch(next))
	})
}

func status(code llm.Code, status int) []llmtest.Step {
	return []llmtest.Step{llmtest.Wait(time.Second), llmtest.Fail(&llm.Error{Code: code, Status: status, Message: "no", RetryAfter: -1})}
}

// TestARefusalStopsThoseItConcerns makes 300 calls of two models at once through
// ten slots.
func TestARefusalStopsThoseItConcerns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps []llmtest.Step
		sent  int // of 300
	}{
		"credential":         {status(llm.CodeAuth, 401), 10},
		"permission":         {status(llm.CodeAuth, 403), 10},
		"cannot pay":         {status(llm.CodeBilling, 400), 10},
		"spending limit":     {status(llm.CodeSpendLimit, 429), 10},
		"no such model":      {status(llm.CodeNotFound, 404), 20}, // ten of each model
		"bad request":        {status(llm.CodeInvalid, 400), 300},
		"overloaded":         {status(llm.CodeOverloaded, 529), 300},
		"our own budget":     {status(llm.CodeSpendLimit, 0), 300},
		"our own credential": {status(llm.CodeAuth, 0), 300},
	} {
		synctest.Test(t, func(t *testing.T) {
			service := llmtest.NewScript(c.steps)
			b := refusal.New()
			m := b.Check(admission.New(b.Watch(service), admission.NewGate(10)))
			var mu sync.Mutex
			failed := map[bool]int{} // by whether they were sent
			var calls sync.WaitGroup
			for i := range 300 {
				calls.Go(func() {
					req := llmtest.Request("?")
					if i >= 150 {
						req.Model = "another"
						time.Sleep(10 * time.Second) // in the bubble: after the first model's
					}
					_, err := llm.Collect(m.Stream(t.Context(), req))
					mu.Lock()
					defer mu.Unlock()
					failed[!llm.NotSent(err)]++
					if llm.NotSent(err) && !llm.Unbilled(err) {
						t.Errorf("%s: %v may be billed", name, err)
					}
				})
			}
			calls.Wait()
			if service.Started() != c.sent || failed[true] != c.sent || failed[false] != 300-c.sent {
				t.Errorf("%s: %d of 300 were sent, %v failed; want %d", name, service.Started(), failed, c.sent)
			}
		})
	}
}

// TestARefusalIsTestedAgain lets one call through after a while, and all once that
// was answered.
func TestARefusalIsTestedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := llmtest.NewScript(status(llm.CodeBilling, 400), status(llm.CodeBilling, 400), llmtest.Answer("paid"))
		b := refusal.New()
		m := b.Check(b.Watch(service))
		ask := func(ctx context.Context) { _, _ = llm.Collect(m.Stream(ctx, llmtest.Request("?"))) }
		for range 5 {
			ask(t.Context())
		}
		if n := service.Started(); n != 1 {
			t.Errorf("%d calls were sent at first", n)
		}
		time.Sleep(refusal.Retest + time.Second)
		ask(t.Context())
		ask(t.Context())
		if n := service.Started(); n != 2 {
			t.Errorf("%d calls were sent after a while", n)
		}
		time.Sleep(refusal.Retest + time.Second)
		for range 5 {
			ask(t.Context())
		}
		if n := service.Started(); n != 7 {
			t.Errorf("%d calls were sent once one was answered", n)
		}
	})
}
