package admission_test

import (
	"testing"

	"github.com/claude-force/claude-force/llm/admission"
)

func TestPools(t *testing.T) {
	t.Parallel()
	start, fable := admission.Limits{Requests: 1000, InputTokens: 2_000_000, OutputTokens: 400_000}, admission.Limits{Requests: 1000, InputTokens: 500_000, OutputTokens: 100_000}
	for _, c := range []struct {
		model, pool string
		limits      admission.Limits
	}{
		{"claude-opus-5-5", "opus-5.5", start},
		{"claude-opus-5", "opus-5", start},
		{"claude-opus-4-8", "opus-4", start},
		{"claude-opus-4-5-20251101", "opus-4", start},
		{"claude-sonnet-5-5", "sonnet-5.5", start},
		{"claude-sonnet-5", "sonnet-5", start},
		{"claude-sonnet-4-6", "sonnet-4", start},
		{"claude-sonnet-4-5-20250929", "sonnet-4", start},
		{"claude-haiku-5-5", "haiku-5.5", start},
		{"claude-haiku-4-5-20251001", "haiku-4.5", start},
		{"claude-fable-5-1", "fable-5", fable},
		{"claude-fable-5", "fable-5", fable},
		{"claude-mythos-5-2", "mythos-5.2", fable},
		{"us.anthropic.claude-sonnet-4-5-20250929-v1:0", "sonnet-4", start},
		{"claude-haiku-4-5@20251001", "haiku-4.5", start},
		{"claude-opus-5-20260724", "opus-5", start},
		{"claude-3-5-haiku-20241022", "claude-3-5-haiku-20241022", start},
		{"something-else", "something-else", start},
		{"", "", start},
	} {
		pool := admission.PoolOf(c.model)
		if limits := admission.Tier("").LimitsOf(pool); pool != c.pool || limits != c.limits {
			t.Errorf("PoolOf(%q) = %q with %+v, want %q with %+v", c.model, pool, limits, c.pool, c.limits)
		}
	}
	if got := admission.TierScale.LimitsOf("fable-5"); got != (admission.Limits{Requests: 4000, InputTokens: 4_000_000, OutputTokens: 800_000}) {
		t.Errorf("Scale's Fable limits = %+v", got)
	}
	if got := admission.TierNone.LimitsOf("opus-5"); got != (admission.Limits{}) {
		t.Errorf("limits of no tier = %+v, want none", got)
	}
}
