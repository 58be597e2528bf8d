package llm_test

import (
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
)

// TestAnswerThatCountsNothing charges whole answers of services that report their usage
// in part or not at all. Such an answer is never free, and is never said to be exact.
func TestAnswerThatCountsNothing(t *testing.T) {
	t.Parallel()
	const input = 50 // tokens that the prompt is taken to have
	text := []llm.Block{{Type: llm.BlockText, Text: "four"}}
	for name, tt := range map[string]struct {
		usage   llm.Usage
		content []llm.Block
		whole   bool // comes in one piece, not as a stream
		basis   llm.Basis
		doubt   llm.Usage // most that may be billed
	}{
		"all":                  {llm.Usage{InputTokens: 10, OutputTokens: 2}, text, false, llm.BasisAnswer, llm.Usage{InputTokens: 10, OutputTokens: 2}},
		"from the cache":       {llm.Usage{CacheReadTokens: 10, OutputTokens: 2}, text, false, llm.BasisAnswer, llm.Usage{CacheReadTokens: 10, OutputTokens: 2}},
		"no content":           {llm.Usage{InputTokens: 10}, nil, false, llm.BasisAnswer, llm.Usage{InputTokens: 10}},
		"none":                 {llm.Usage{}, text, false, llm.BasisUnknown, llm.Usage{CacheWrite5m: input, OutputTokens: 4}},
		"none, in one piece":   {llm.Usage{}, text, true, llm.BasisUnknown, llm.Usage{CacheWrite5m: input, OutputTokens: 100}},
		"no prompt":            {llm.Usage{OutputTokens: 2}, text, false, llm.BasisPart, llm.Usage{CacheWrite5m: input, OutputTokens: 6}},
		"no answer":            {llm.Usage{InputTokens: 10}, text, false, llm.BasisPart, llm.Usage{InputTokens: 10, OutputTokens: 4}},
		"none, and no content": {llm.Usage{}, nil, false, llm.BasisUnknown, llm.Usage{CacheWrite5m: input, OutputTokens: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := &llm.Request{Model: llmtest.Model, MaxTokens: 100}
			if tt.whole {
				req.Wire = &llm.Wire{}
			}
			m := llm.NewMeter(req)
			if !tt.whole {
				m.See(llm.Event{Type: llm.EventText, Text: "four"}, nil)
			}
			m.See(llm.Event{Type: llm.EventDone, Response: &llm.Response{Model: llmtest.Model, Content: tt.content, Usage: tt.usage, Source: llm.SourceLive}}, nil)
			cost, _ := llm.Prices().CostOf(llmtest.Model, tt.usage, llm.Rate{})
			most, _ := llm.Prices().CostOf(llmtest.Model, tt.doubt, llm.Rate{})
			c := m.Charge(llm.Prices())
			if c.Basis != tt.basis || c.Exact() != (tt.basis == llm.BasisAnswer) || c.Cost != cost || !c.Priced {
				t.Errorf("charge %+v; want basis %s and %v", c, tt.basis, cost)
			}
			tokens, doubted := m.Doubt(c, llm.Prices(), input)
			if want := tt.doubt.TotalTokens() - tt.usage.TotalTokens(); tokens != want || doubted != most-cost {
				t.Errorf("doubt of %d tokens and %v; want %d and %v", tokens, doubted, want, most-cost)
			}
		})
	}
}
