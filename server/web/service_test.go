package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/server/web"
)

// TestPools shows a pool that has room, and one that the service has closed.
func TestPools(t *testing.T) {
	pools := []admission.PoolStatus{
		{Pool: "sonnet-5.5", Breaker: admission.BreakerClosed, InFlight: 3, Requests: admission.QuotaStatus{Limit: 4000, Remaining: 3100, Source: admission.SourceTier}, Input: admission.QuotaStatus{Limit: 400_000, Remaining: 20_000}},
		{Pool: "<b>odd</b>", Breaker: admission.BreakerClosed, FrozenUntil: time.Now().Add(time.Hour), FrozenBy: "ramp_limit_exceeded", Requests: admission.QuotaStatus{Limit: 50, Remaining: -2}},
	}
	pages := web.New(web.Options{
		Config: &config.Config{TimeZone: time.UTC},
		Store:  memory.New(),
		Operations: web.Operations{
			Limits:  func(context.Context) ([]admission.PoolStatus, error) { return pools, nil },
			Budgets: func(context.Context) ([]pipeline.BudgetStatus, error) { return nil, nil },
		},
	})
	for _, route := range pages.Routes() {
		if route.Pattern != "GET /limits" {
			continue
		}
		w := httptest.NewRecorder()
		route.Handle(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/limits", nil))
		text := w.Body.String()
		for _, want := range []string{
			"sonnet-5.5", "3,100 of 4,000 a minute left", `class="meter full" width="100%" height="8" role="img" aria-label="Input tokens: 20,000 of 400,000 left in a minute"`,
			"none known", "3 in flight", "&lt;b&gt;odd", "closed for", "(ramp_limit_exceeded)", "-2 of 50", "The settings have no budget",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the page lacks %s", want)
			}
		}
		if strings.Contains(text, "<b>odd") {
			t.Error("the name of a pool is markup")
		}
		return
	}
	t.Fatal("there is no page of limits")
}
