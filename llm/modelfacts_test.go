package llm_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
)

func TestModelFacts(t *testing.T) {
	t.Parallel()
	table := llm.Prices()
	for model, want := range map[string]struct{ minimum, tokens int }{
		"claude-haiku-5-5":           {512, 1300},
		"claude-sonnet-5-5":          {1024, 1300},
		"claude-opus-4-7":            {2048, 1300},
		"claude-opus-4-6":            {4096, 1000},
		"claude-opus-4-5":            {4096, 1000},
		"claude-haiku-4-5-20251001":  {4096, 1000},
		"claude-sonnet-4-5-20250929": {1024, 1000},
		// Names of clouds.
		"us.anthropic.claude-sonnet-4-5-20250929-v1:0": {1024, 1000},
		"anthropic.claude-opus-5-5-v1:0":               {512, 1300},
		"claude-opus-4-5@20251101":                     {4096, 1000},
		// Unknown ones: the largest minimum, today's tokenizer.
		"claude-opus-50": {4096, 1300},
		"another":        {4096, 1300},
		"":               {4096, 1300},
	} {
		if got := table.CacheMinimum(model); got != want.minimum {
			t.Errorf("%s: cache minimum %d, want %d", model, got, want.minimum)
		}
		if got := table.EstimateTokens(model, 4000); got != want.tokens {
			t.Errorf("%s: 4,000 characters are %d tokens, want %d", model, got, want.tokens)
		}
	}
	for characters, want := range map[int]int{0: 0, 1: 1, 3: 1, 4: 2, 1000: 325, 1001: 326} {
		if got := table.EstimateTokens("", characters); got != want {
			t.Errorf("%d characters are %d tokens, want %d", characters, got, want)
		}
	}
	if diff := cmp.Diff([]string{"haiku", "sonnet", "opus", "fable"}, table.AliasNames()); diff != "" {
		t.Errorf("aliases from the cheapest: %s", diff)
	}
}

// TestUserSetsModelFacts lays a user's facts over the table's.
func TestUserSetsModelFacts(t *testing.T) {
	t.Parallel()
	table, err := llm.LoadPrices([]byte(`{
		"tokens_per_character": 0.5,
		"aliases": {"mine": "claude-opus-4-6", "gone": "claude-nobody-1"},
		"models": [{"id": "claude-opus-5-5", "cache_minimum": 9000, "tokens_per_character": 1}]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	got := []int{
		table.CacheMinimum("claude-opus-5-5"), table.EstimateTokens("claude-opus-5-5", 10),
		table.EstimateTokens("claude-haiku-5-5", 10), table.EstimateTokens("claude-opus-4-6", 12),
	}
	if diff := cmp.Diff([]int{9000, 10, 5, 3}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"haiku", "sonnet", "opus", "mine", "fable"}, table.AliasNames()); diff != "" {
		t.Errorf("aliases from the cheapest: %s", diff)
	}
	empty := llm.PriceTable{}
	if n := empty.EstimateTokens("claude-opus-4-6", 1000); n != 325 {
		t.Errorf("a table without a ratio: %d tokens, want those of the embedded one", n)
	}
	for _, wrong := range []string{
		`{"tokens_per_character": -1}`,
		`{"models": [{"id": "claude-opus-5-5", "tokens_per_character": 11}]}`,
		`{"models": [{"id": "claude-opus-5-5", "cache_minimum": -1}]}`,
	} {
		if _, err := llm.LoadPrices([]byte(wrong)); err == nil {
			t.Errorf("no error for %s", wrong)
		}
	}
}
