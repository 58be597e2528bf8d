package analytics_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

func TestMatchReads(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	use := func(second, read, written int, extra llm.Money) analytics.CacheUse {
		return analytics.CacheUse{Start: start.Add(time.Duration(second) * time.Second), Agent: "a", Model: "m", Read: read, Written: written, Extra: extra}
	}
	other := func(u analytics.CacheUse, agent, model string) analytics.CacheUse {
		u.Agent, u.Model = agent, model
		return u
	}
	for name, tt := range map[string]struct {
		uses   []analytics.CacheUse
		tokens int
		loss   llm.Money
	}{
		"nothing":                         {},
		"never read":                      {[]analytics.CacheUse{use(0, 0, 3600, 900), use(1, 0, 3600, 900)}, 7200, 1800},
		"read":                            {[]analytics.CacheUse{use(0, 0, 3600, 900), use(1, 3600, 0, 0)}, 0, 0},
		"read before it was written":      {[]analytics.CacheUse{use(0, 3600, 0, 0), use(1, 0, 3600, 900)}, 3600, 900},
		"read by another agent":           {[]analytics.CacheUse{use(0, 0, 3600, 900), other(use(1, 3600, 0, 0), "b", "m")}, 0, 0},
		"another model":                   {[]analytics.CacheUse{use(0, 0, 3600, 900), other(use(1, 3600, 0, 0), "a", "n")}, 3600, 900},
		"the last of two":                 {[]analytics.CacheUse{use(0, 0, 3600, 900), use(1, 0, 3600, 700), use(2, 3600, 0, 0)}, 3600, 900},
		"the first part":                  {[]analytics.CacheUse{use(0, 0, 4000, 1000), use(1, 1000, 3000, 750), use(2, 1000, 3000, 750)}, 9000, 2250},
		"a part, of another agent":        {[]analytics.CacheUse{use(0, 0, 4000, 1000), other(use(1, 1000, 0, 0), "b", "m")}, 4000, 1000},
		"a part, too late":                {[]analytics.CacheUse{use(0, 0, 4000, 1000), use(2*3600, 1000, 0, 0)}, 4000, 1000},
		"a conversation":                  {[]analytics.CacheUse{use(0, 0, 1000, 100), use(1, 1000, 500, 50), use(2, 1500, 500, 50)}, 500, 50},
		"what was written before is read": {[]analytics.CacheUse{use(0, 9000, 1000, 100), use(1, 10000, 0, 0)}, 0, 0},
	} {
		analytics.MatchReads(tt.uses)
		tokens, loss := 0, llm.Money(0)
		for i := range tt.uses {
			n, cost := tt.uses[i].Unread()
			tokens, loss = tokens+n, loss.Add(cost)
		}
		if tokens != tt.tokens || loss != tt.loss {
			t.Errorf("%s: %d tokens for %d; want %d for %d", name, tokens, loss, tt.tokens, tt.loss)
		}
	}
}

// TestUnreadIsWithinWhatWasWritten: whatever the service reports, no write is lost
// beyond its own size and extra cost, and what no attempt has read is lost whole.
func TestUnreadIsWithinWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "n")
		uses := make([]analytics.CacheUse, n)
		read := false
		for i := range uses {
			uses[i] = analytics.CacheUse{
				Start: time.Unix(int64(i*rapid.SampledFrom([]int{0, 1, 600}).Draw(t, "gap")), 0), Agent: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "agent"), Model: "m",
				Read: rapid.SampledFrom([]int{0, 0, 1000, 2000}).Draw(t, "read"), Written: rapid.SampledFrom([]int{0, 1000, 3000}).Draw(t, "written"),
			}
			uses[i].Extra = llm.Money(uses[i].Written)
			read = read || uses[i].Read > 0
		}
		analytics.MatchReads(uses)
		for i := range uses {
			tokens, cost := uses[i].Unread()
			if tokens < 0 || tokens > uses[i].Written || cost != llm.Money(tokens) || !read && tokens != uses[i].Written {
				t.Fatalf("%+v: %d tokens for %d", uses[i], tokens, cost)
			}
		}
	})
}
