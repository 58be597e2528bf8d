package admission_test

import (
	"context"
	"iter"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
)

// quotas returns headers that name a limit and what remains of it.
func quotas(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set("anthropic-ratelimit-"+pairs[i], pairs[i+1])
	}
	return h
}

func TestHeadersCorrectTheView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := steady(admission.Options{})
		req := llmtest.Request("hi")
		for _, c := range []struct {
			what                   string
			header                 http.Header
			requests, left         int
			input, inputLeft       int
			source, sourceOfOutput admission.Source
		}{
			{"nothing", http.Header{}, 1000, 1000, 2_000_000, 2_000_000, admission.SourceTier, admission.SourceTier},
			{"lower", quotas("requests-limit", "50", "requests-remaining", "40"), 50, 40, 2_000_000, 2_000_000, admission.SourceLearned, admission.SourceTier},
			{"what remains does not raise", quotas("requests-limit", "50", "requests-remaining", "49"), 50, 40, 2_000_000, 2_000_000, admission.SourceLearned, admission.SourceTier},
			{"a higher rate gives nothing back", quotas("requests-limit", "100", "requests-remaining", "99"), 100, 40, 2_000_000, 2_000_000, admission.SourceLearned, admission.SourceTier},
			{"thousands are rounded", quotas("input-tokens-limit", "80000", "input-tokens-remaining", "7000"), 100, 40, 80_000, 7500, admission.SourceLearned, admission.SourceTier},
			{"the tightest is not a limit of its own", quotas("tokens-limit", "10", "tokens-remaining", "1"), 100, 40, 80_000, 7500, admission.SourceLearned, admission.SourceTier},
			{"nonsense", quotas("requests-limit", "-5", "input-tokens-limit", "NaN", "output-tokens-limit", "many", "output-tokens-remaining", "x"), 100, 40, 80_000, 7500, admission.SourceLearned, admission.SourceTier},
		} {
			limits.Observe(req, 200, c.header)
			got := status(t, limits)
			if got.Requests.Limit != c.requests || got.Requests.Remaining != c.left || got.Input.Limit != c.input || got.Input.Remaining != c.inputLeft ||
				got.Requests.Source != c.source || got.Output.Source != c.sourceOfOutput {
				t.Errorf("%s: got %+v", c.what, got)
			}
		}
		<-time.After(30 * time.Second)
		if got := status(t, limits).Requests; got.Remaining != 90 || got.Used() < 0.099 || got.Used() > 0.101 {
			t.Errorf("after half a minute at 100: %+v, %v used", got, got.Used())
		}
	})
}

func TestConfiguredLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := steady(admission.Options{Limits: map[string]admission.Limits{"haiku-5.5": {Requests: 7}, "": {Requests: 9}}})
		haiku, opus := llmtest.Request("hi"), llmtest.Request("hi")
		opus.Model = "claude-opus-5"
		limits.Observe(haiku, 200, nil)
		limits.Observe(opus, 200, nil)
		got := limits.Limits()
		if len(got) != 2 || got[0].Requests.Limit != 7 || got[1].Requests.Limit != 9 || got[0].Requests.Source != admission.SourceConfigured {
			t.Errorf("got %+v, want 7 and 9, configured", got)
		}
	})
}

// TestAGatewayWithoutLimits has answers that name no limits: those of the tier are then
// not assumed any more, but for Anthropic's own service, and until a call is refused.
func TestAGatewayWithoutLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		req := llmtest.Request("hi")
		limit := func(l *admission.Limiter) int { return status(t, l).Requests.Limit }
		own := steady(admission.Options{})
		own.Observe(req, 200, http.Header{})
		if got := limit(own); got != 1000 {
			t.Errorf("of the service itself: %d", got)
		}
		gateway := steady(admission.Options{Gateway: true})
		gateway.Observe(req, 503, http.Header{})
		if got := limit(gateway); got != 1000 {
			t.Errorf("after an error: %d", got)
		}
		gateway.Observe(req, 200, http.Header{})
		if got := limit(gateway); got != 0 {
			t.Errorf("after an answer without limits: %d", got)
		}
		gateway.Observe(req, 200, quotas("requests-limit", "50", "requests-remaining", "40"))
		if got := status(t, gateway); got.Requests.Limit != 50 || got.Requests.Remaining != 40 {
			t.Errorf("after one that names them: %+v", got)
		}
		configured := steady(admission.Options{Gateway: true, Limits: map[string]admission.Limits{"": {Requests: 7}}})
		configured.Observe(req, 200, http.Header{})
		if got := limit(configured); got != 7 {
			t.Errorf("with a configured limit: %d", got)
		}
		refusing := steady(admission.Options{Gateway: true})
		refusing.Observe(req, 200, http.Header{})
		model := admission.NewLimited(refusing429(), nil, refusing)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := llm.Collect(model.Stream(ctx, req)); err == nil {
			t.Error("it is not refused")
		}
		refusing.Observe(req, 200, http.Header{})
		if got := status(t, refusing).Requests; got.Limit != 1000 || got.Remaining < 900 {
			t.Errorf("after a refusal: %+v", got)
		}
	})
}

// refusing429 refuses every call for an hour.
func refusing429() llm.Model {
	return llm.ModelFunc(func(context.Context, *llm.Request) iter.Seq2[llm.Event, error] {
		e := llm.NewError(llm.CodeRateLimit, "too many requests", nil)
		e.RetryAfter = time.Hour
		return llm.Fail(e)
	})
}

// TestTheFirstLimitIsNoDebt learns a limit that is far above the assumed one: what was
// left of that is not all that there is.
func TestTheFirstLimitIsNoDebt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := steady(admission.Options{})
		limits.Observe(llmtest.Request("hi"), 200, quotas("requests-limit", "1000000", "requests-remaining", "900000"))
		if got := status(t, limits).Requests; got.Remaining != 900_000 {
			t.Errorf("got %+v", got)
		}
	})
}
