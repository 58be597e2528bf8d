package budget_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/llm/llmtest"
)

// TestPromptsAreBoundedByEarlierOnes has agents with tools and plain ones spend a budget of
// some twenty calls, in conversations and one by one, at a service that cannot count
// tokens. Nothing is spent above the budget, and nine tenths of it are used.
func TestPromptsAreBoundedByEarlierOnes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		perToken := rapid.IntRange(1, 5).Draw(t, "bytes of a token")
		tools := rapid.SampledFrom([]int{0, 1, 10}).Draw(t, "tools")
		turns := rapid.IntRange(1, 8).Draw(t, "turns")
		answer := rapid.IntRange(50, 400).Draw(t, "tokens of an answer")
		size := func(req *llm.Request) int {
			n := 0
			for _, b := range req.System {
				n += len(b.Text)
			}
			for _, tool := range req.Tools {
				n += len(tool.Name) + len(tool.Description) + len(tool.InputSchema)
			}
			for _, m := range req.Messages {
				for _, b := range m.Content {
					n += len(b.Text)
				}
			}
			return n/perToken + 10*len(req.Messages)
		}
		var billed, most llm.Money
		model := llm.ModelFunc(func(_ context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
			resp := llmtest.Response("yes")
			resp.Usage = llm.Usage{CacheWrite5m: size(req), OutputTokens: min(answer, req.MaxTokens)}
			cost, _ := llm.Prices().CostOf(req.Model, resp.Usage, llm.Rate{})
			billed, most = billed.Add(cost), max(most, cost)
			return llm.Replay(resp)
		})
		next := func(n int) *llm.Request {
			req := llmtest.Request(fmt.Sprintf("task %d: %s", n/turns, strings.Repeat("word ", 20)))
			req.MaxTokens = 16_384
			for i := range tools {
				req.Tools = append(req.Tools, llm.Tool{Name: fmt.Sprint("tool", i), Description: strings.Repeat("does something ", 30), InputSchema: json.RawMessage(`{"type":"object"}`)})
			}
			for range n % turns {
				req.Messages = append(req.Messages, llm.Message{Role: "assistant", Content: []llm.Block{llm.TextBlock("yes")}}, llm.UserText("and then "+strings.Repeat("what ", 20)))
			}
			return req
		}
		price := func(n int) llm.Money {
			cost, _ := llm.Prices().CostOf(llmtest.Model, llm.Usage{CacheWrite5m: size(next(n)), OutputTokens: answer}, llm.Rate{})
			return cost
		}
		limit := llm.Money(0)
		for n := range 24 {
			limit += price(n)
		}
		b := budget.New(&budget.Memory{}, budget.Options{})
		calls := b.Calls(b.Attempts(model))
		ctx := budget.With(t.Context(), budget.Scope{Level: budget.Run, Name: "r", Limits: budget.Limits{Money: limit}})
		for n := 0; ; n++ {
			if _, err := llm.Collect(calls.Stream(ctx, next(n))); err != nil {
				break
			}
		}
		if billed > limit {
			t.Fatalf("%v were billed of %v", billed, limit)
		}
		if billed < limit*9/10-most/2 {
			t.Fatalf("%v of %v are used, %.1f %%", billed, limit, 100*float64(billed)/float64(limit))
		}
	})
}
