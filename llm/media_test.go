package llm_test

import (
	"testing"

	"github.com/claude-force/claude-force/llm"
)

func TestMediaTokens(t *testing.T) {
	t.Parallel()
	prices := llm.Prices()
	for _, c := range []struct {
		model string
		media *llm.Media
		want  int
	}{
		{"claude-sonnet-5-5", nil, 0},
		{"claude-sonnet-5-5", &llm.Media{Width: 1000, Height: 1000}, 36 * 36},
		{"claude-sonnet-5-5", &llm.Media{Width: 28, Height: 29}, 2},
		{"claude-sonnet-5-5", &llm.Media{Width: 2576, Height: 2576}, 4784},
		{"claude-sonnet-5-5", &llm.Media{Width: 5152, Height: 28}, 92},
		{"claude-sonnet-5-5", &llm.Media{Width: 5152, Height: 0}, 92},
		{"claude-haiku-4-5", &llm.Media{Width: 2576, Height: 2576}, 1568},
		{"claude-haiku-4-5", &llm.Media{Width: 100, Height: 3136}, 2 * 56},
		{"a-model-of-tomorrow", &llm.Media{Width: 280, Height: 280}, 100},
		{"claude-sonnet-5-5", &llm.Media{Pages: 3}, 6000},
	} {
		if got := prices.MediaTokens(c.model, c.media); got != c.want {
			t.Errorf("%s: %+v has %d tokens, want %d", c.model, c.media, got, c.want)
		}
	}
}
