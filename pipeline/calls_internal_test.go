package pipeline

import (
	"testing"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/record"
)

func TestRecordedCallSaysWhatWasSaved(t *testing.T) {
	prices, err := llm.LoadPrices([]byte(`{"models": [
		{"id": "small-20261001", "short": "small", "context": 1000000, "max_output": 1000, "tiers": [{"input": 1, "output": 5}]},
		{"id": "large", "context": 1000000, "max_output": 1000, "tiers": [{"input": 4, "output": 20}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	// 1000 and 200 tokens cost 2,000,000 on the small model and 8,000,000 on the large one.
	usage := llm.Usage{InputTokens: 1000, OutputTokens: 200}
	for _, tt := range []struct {
		name       string
		call       record.Call
		cost, free float64 // what was paid and what was not, in dollars
		want       analytics.Savings
	}{
		{"chosen", record.Call{Model: "small", ResponseModel: "small-20261001", Source: llm.SourceLive}, 0.002, 0, analytics.Savings{Model: 6_000_000}},
		{"from the cache", record.Call{Model: "small", ResponseModel: "small", Source: llm.SourceCache}, 0, 0.002, analytics.Savings{Cache: 2_000_000}},
		{"shared", record.Call{Model: "small", ResponseModel: "small", Source: llm.SourceCoalesced}, 0, 0.002, analytics.Savings{Coalesced: 2_000_000}},
		{"fallen back on", record.Call{Model: "large", ResponseModel: "small", Source: llm.SourceLive}, 0.002, 0, analytics.Savings{}},
		{"failed", record.Call{Model: "small", Code: llm.CodeServer}, 0, 0, analytics.Savings{}},
	} {
		tt.call.Tags.InsteadOf, tt.call.CostUSD, tt.call.SavedUSD = "large", &tt.cost, &tt.free
		if tt.call.Code == 0 {
			tt.call.Usage = usage
		}
		kept := recordedCall(&tt.call, "p", prices)
		if kept.Saved != tt.want || kept.Cost != llm.Dollars(tt.cost) {
			t.Errorf("%s: cost %d, saved %+v; want %+v", tt.name, kept.Cost, kept.Saved, tt.want)
		}
	}
}
