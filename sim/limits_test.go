package sim_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/sim"
)

func TestRateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 2, InputTokensPerMinute: 100_000, OutputTokensPerMinute: 100_000}})
		body := `{"model":"claude-haiku-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`
		for range 2 {
			if res, text := post(t, server, body); res.StatusCode != 200 {
				t.Fatal(text)
			}
		}
		res, text := post(t, server, body)
		if res.StatusCode != 429 || !strings.Contains(text, "2 requests per minute") {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
		for _, family := range []string{"requests", "tokens", "input-tokens", "output-tokens"} {
			for _, field := range []string{"limit", "remaining", "reset"} {
				if res.Header.Get("anthropic-ratelimit-"+family+"-"+field) == "" {
					t.Errorf("no header for %s-%s", family, field)
				}
			}
		}
		wait, err := strconv.Atoi(res.Header.Get("retry-after"))
		if err != nil || wait != 30 {
			t.Fatalf("retry-after %q; want 30", res.Header.Get("retry-after"))
		}
		<-time.After(time.Duration(wait) * time.Second) // the bubble's clock
		if res, text := post(t, server, body); res.StatusCode != 200 {
			t.Fatal(text)
		}
		if s := server.Stats(); s.RateLimited != 1 || s.Requests != 4 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestSetLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 1}})
		body := `{"model":"claude-haiku-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`
		status := func() int {
			res, _ := post(t, server, body)
			return res.StatusCode
		}
		if got := []int{status(), status()}; got[0] != 200 || got[1] != 429 {
			t.Fatalf("statuses %v, want 200, 429", got)
		}
		if res, text := postTo(t, server, "/_sim/limits", `{"requests_per_minute":60}`); res.StatusCode != 200 {
			t.Fatal(text)
		}
		if got := status(); got != 429 {
			t.Errorf("status %d: a new limit reset the usage", got)
		}
		<-time.After(time.Second)
		if res, _ := post(t, server, body); res.StatusCode != 200 || res.Header.Get("anthropic-ratelimit-requests-limit") != "60" {
			t.Errorf("status %d with limit %q after a second at the new rate", res.StatusCode, res.Header.Get("anthropic-ratelimit-requests-limit"))
		}
		server.SetLimits(nil)
		if res, _ := post(t, server, body); res.StatusCode != 200 || res.Header.Get("anthropic-ratelimit-requests-limit") != "" {
			t.Errorf("status %d, still limited", res.StatusCode)
		}
		if res, _ := postTo(t, server, "/_sim/limits", `x`); res.StatusCode != 400 {
			t.Errorf("status %d for invalid limits", res.StatusCode)
		}
	})
}
