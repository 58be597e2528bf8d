package analytics_test

import (
	"testing"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// TestRefusalsAreTheAttemptsThatWereSentAgain: the last attempt is what came of the
// call, and other failures are retries.
func TestRefusalsAreTheAttemptsThatWereSentAgain(t *testing.T) {
	t.Parallel()
	const limit, down = llm.CodeRateLimit, llm.CodeOverloaded
	for _, tt := range []struct {
		codes   []llm.Code
		refused int
	}{
		{nil, 0}, {[]llm.Code{0}, 0}, {[]llm.Code{limit}, 0}, {[]llm.Code{limit, 0}, 1}, {[]llm.Code{limit, down, limit, 0}, 2}, {[]llm.Code{down, 0}, 0}, {[]llm.Code{limit, limit}, 1},
	} {
		c := analytics.Call{Attempts: len(tt.codes)}
		for _, code := range tt.codes {
			c.Tries = append(c.Tries, analytics.Attempt{Code: code})
		}
		c.Refused = c.CountRefused()
		var sum analytics.Totals
		sum.AddCall(&c)
		if sum.Refused != int64(tt.refused) || sum.Refused > sum.Retries {
			t.Errorf("%v: %d of %d retries; want %d", tt.codes, sum.Refused, sum.Retries, tt.refused)
		}
	}
}
