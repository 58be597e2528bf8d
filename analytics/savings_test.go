package analytics_test

import (
	"testing"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// twoModels have prices that are easy to multiply by hand.
func twoModels(t *testing.T) *llm.PriceTable {
	t.Helper()
	prices, err := llm.ParsePrices([]byte(`{
		"batch": 0.5, "us_only": 1.1, "web_search": 10,
		"models": [
			{"id": "small", "context": 200000, "max_output": 1000, "tiers": [
				{"prompt_up_to": 100000, "input": 0.1, "output": 0.5, "write_5m": 0.125, "write_1h": 0.2, "read": 0.01},
				{"input": 0.5, "output": 2.5, "write_5m": 0.625, "write_1h": 1, "read": 0.05}]},
			{"id": "large", "context": 200000, "max_output": 1000, "tiers": [
				{"input": 2, "output": 10, "write_5m": 2.5, "write_1h": 4, "read": 0.1}]}
		]}`))
	if err != nil {
		t.Fatal(err)
	}
	return prices
}

func TestSavedLive(t *testing.T) {
	t.Parallel()
	prices := twoModels(t)
	plain := llm.Usage{InputTokens: 1000, OutputTokens: 400}
	mixed := llm.Usage{InputTokens: 1000, CacheWrite5m: 2000, CacheReadTokens: 3000, OutputTokens: 400}
	batch := mixed
	batch.Batch = true
	for _, tt := range []struct {
		name             string
		model, insteadOf string
		usage            llm.Usage
		paid             llm.Money
		want             analytics.Savings
	}{
		// Small 1000*100 + 400*500; large 1000*2000 + 400*10,000.
		{"chosen", "small", "large", plain, 300_000, analytics.Savings{Model: 5_700_000}},
		{"chosen though dearer", "large", "small", plain, 6_000_000, analytics.Savings{Model: -5_700_000}},
		{"chosen all the same", "large", "large", plain, 6_000_000, analytics.Savings{}},
		{"named", "small", "", plain, 300_000, analytics.Savings{}},
		{"instead of one without a price", "small", "unknown", plain, 300_000, analytics.Savings{}},
		{"without a price", "unknown", "large", plain, 0, analytics.Savings{}},
		// Small 1000*100 + 2000*125 + 3000*10 + 400*500;
		// large 1000*2000 + 2000*2500 + 3000*100 + 400*10,000, and fresh 6000*2000 + 400*10,000.
		{"prompt caching", "large", "", mixed, 11_300_000, analytics.Savings{Prompt: 4_700_000}},
		{"chosen, and prompt caching", "small", "large", mixed, 580_000, analytics.Savings{Model: 10_720_000, Prompt: 4_700_000}},
		// In a batch half of each; at once the large one's 16,000,000.
		{"batch", "large", "", batch, 5_650_000, analytics.Savings{Prompt: 2_350_000, Batch: 8_000_000}},
		{"all", "small", "large", batch, 290_000, analytics.Savings{Model: 5_360_000, Prompt: 2_350_000, Batch: 8_000_000}},
		// Above its tier the small model costs five times as much: 150,000*500.
		{"long prompt", "small", "large", llm.Usage{InputTokens: 150_000}, 75_000_000, analytics.Savings{Model: 225_000_000}},
	} {
		got := analytics.SavedLive(prices, tt.model, tt.insteadOf, tt.usage)
		if got != tt.want {
			t.Errorf("%s: saved %+v; want %+v", tt.name, got, tt.want)
		}
		if usd, _ := prices.Cost(tt.model, tt.usage); llm.Dollars(usd) != tt.paid {
			t.Errorf("%s: paid %d; want %d", tt.name, llm.Dollars(usd), tt.paid)
		}
	}
}

// Writing to the prompt cache what nobody reads is a loss.
func TestPromptCachingMayLose(t *testing.T) {
	t.Parallel()
	got := analytics.SavedLive(twoModels(t), "large", "", llm.Usage{CacheWrite1h: 1000})
	if want := (analytics.Savings{Prompt: -2_000_000}); got != want { // 1000*2000 - 1000*4000
		t.Errorf("saved %+v; want %+v", got, want)
	}
}
