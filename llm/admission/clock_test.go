package admission_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
)

// TestNoWaitGrowsWithTheClock sets the clock back by days between two processes: a
// pool that the service closed for seconds is not closed for days.
func TestNoWaitGrowsWithTheClock(t *testing.T) {
	t.Parallel()
	refused := llm.NewError(llm.CodeRateLimit, "slower", nil)
	refused.RetryAfter, refused.Status = 30*time.Second, 429
	for name, failure := range map[string]*llm.Error{"refusal": refused, "outage": overload} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(10 * 24 * time.Hour)
				fail := []llmtest.Step{llmtest.Fail(failure)}
				m := admission.NewLimited(llmtest.NewScript(fail, fail, fail), nil, steady(admission.Options{Dir: dir, Failures: 1, Pause: 20 * time.Second}))
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // less than the pool is closed
				defer cancel()
				_, _ = llm.Collect(m.Stream(ctx, numbered(0))) // scripted
			})
			// Every bubble begins at the same time: this one is ten days earlier.
			synctest.Test(t, func(t *testing.T) {
				limits := steady(admission.Options{Dir: dir})
				begin := time.Now()
				all(t.Context(), t, admission.NewLimited(llmtest.Echo{}, nil, limits), 1, numbered)
				if waited := time.Since(begin); waited < 10*time.Second || waited > time.Minute {
					t.Errorf("waited %v; want what was left of less than a minute", waited)
				}
				if got := status(t, limits); got.Requests.Learned.After(time.Now()) {
					t.Errorf("learned in the future: %+v", got.Requests)
				}
			})
		})
	}
}
