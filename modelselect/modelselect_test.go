package modelselect_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/modelselect"
)

func TestDefaultRules(t *testing.T) {
	t.Parallel()
	agents := func(model string) modelselect.Bound { return modelselect.Bound{Model: model, Why: "the agent's model"} }
	tests := map[string]struct {
		task        modelselect.Task
		model, says string
	}{
		"anything":              {modelselect.Task{Prompt: 1200}, "claude-haiku-5-5", "cheapest for about 1,200 prompt tokens, from haiku up to opus"},
		"low effort":            {modelselect.Task{Effort: "low"}, "claude-haiku-5-5", "from haiku up to opus"},
		"effort":                {modelselect.Task{Effort: "high"}, "claude-sonnet-5-5", "from sonnet (effort is high) up to opus"},
		"more effort":           {modelselect.Task{Effort: "max"}, "claude-opus-5-5", "the only one allowed, opus (effort is xhigh or max)"},
		"tools":                 {modelselect.Task{Tools: true}, "claude-sonnet-5-5", "(the agent works with tools"},
		"two rules":             {modelselect.Task{Tools: true, Effort: "max"}, "claude-opus-5-5", "effort is"},
		"a schema":              {modelselect.Task{Schema: true}, "claude-haiku-5-5", "from haiku"},
		"dear tier, still less": {modelselect.Task{Prompt: 150_000}, "claude-haiku-5-5", "cheapest"},
		"floor":                 {modelselect.Task{Floor: modelselect.Bound{Model: "sonnet", Why: "the agent's floor"}}, "claude-sonnet-5-5", "from sonnet (the agent's floor) up to opus"},
		"ceiling":               {modelselect.Task{Ceiling: agents("sonnet")}, "claude-haiku-5-5", "up to sonnet (the agent's model)"},
		"ceiling holds":         {modelselect.Task{Ceiling: agents("haiku"), Effort: "max"}, "claude-haiku-5-5", "haiku (the agent's model), which applies although effort is xhigh or max"},
		"above the rules' own":  {modelselect.Task{Ceiling: agents("fable"), Floor: modelselect.Bound{Model: "fable"}}, "claude-fable-5-2", "fable"},
		"an older one":          {modelselect.Task{Ceiling: agents("claude-opus-4-8"), Effort: "max"}, "claude-opus-5-5", "opus"},
		"a retired one":         {modelselect.Task{Ceiling: agents("claude-3-opus-20240229"), Effort: "max"}, "claude-opus-5-5", "opus"},
		"too long for all":      {modelselect.Task{Prompt: 1_100_000}, "claude-haiku-5-5", "no allowed model takes as much"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := modelselect.Default().Choose(llm.Prices(), tt.task)
			if err != nil || got.Model != tt.model || !strings.Contains(got.Reason, tt.says) {
				t.Errorf("got %+v, %v; want %s and %q", got, err, tt.model, tt.says)
			}
		})
	}
}

func TestOwnRules(t *testing.T) {
	t.Parallel()
	const file = `
models: [claude-haiku-4-5, haiku, claude-sonnet-5, sonnet, opus]
rules:
  - if: {agents: ["security-*"]}
    at_least: opus
  - if: {prompt_over: 500, schema: true}
    at_least: sonnet
    because: long forms go wrong
  - if: {max_tokens_over: 100000}
    at_most: claude-sonnet-5
`
	rules, err := modelselect.Parse([]byte(file), llm.Prices())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		task        modelselect.Task
		model, says string
	}{
		// Haiku 4.5 is the weakest, and expensive.
		"price, not place":     {modelselect.Task{Prompt: 100}, "claude-haiku-5-5", "from claude-haiku-4-5 up to opus"},
		"a pattern":            {modelselect.Task{Agent: "security-specialist"}, "claude-opus-5-5", "a rule for security-*"},
		"one condition of two": {modelselect.Task{Schema: true, Prompt: 500}, "claude-haiku-5-5", "cheapest"},
		"both conditions":      {modelselect.Task{Schema: true, Prompt: 501}, "claude-sonnet-5-5", "long forms go wrong"},
		"at most":              {modelselect.Task{Agent: "security-x", MaxTokens: 110_000}, "claude-sonnet-5", "applies although"},
		"too small":            {modelselect.Task{Prompt: 300_000, Ceiling: modelselect.Bound{Model: "haiku"}}, "claude-haiku-5-5", "not claude-haiku-4-5, too small for it"},
		"equal prices":         {modelselect.Task{Prompt: 100, Floor: modelselect.Bound{Model: "claude-sonnet-5"}}, "claude-sonnet-5-5", "cheapest"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rules.Choose(llm.Prices(), tt.task)
			if err != nil || got.Model != tt.model || !strings.Contains(got.Reason, tt.says) {
				t.Errorf("got %+v, %v; want %s and %q", got, err, tt.model, tt.says)
			}
		})
	}
}

func TestUnknownBound(t *testing.T) {
	t.Parallel()
	_, err := modelselect.Default().Choose(llm.Prices(), modelselect.Task{Floor: modelselect.Bound{Model: "sonet", Why: "the agent's floor"}})
	unknown, ok := errors.AsType[*modelselect.UnknownError](err)
	if !ok || unknown.Error() != `the agent's floor "sonet" is not one of the models to choose from: haiku, sonnet, opus, fable` {
		t.Errorf("got %v", err)
	}
}

func TestBadRules(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"models: []":                                                      "models is missing",
		"models: [haiku, gpt]\n":                                          `"gpt" has no price`,
		"models: [haiku]\nfloor: opus\n":                                  `floor "opus"`,
		"models: [haiku]\nrules: [{if: {tools: true}}]":                   "rule 1 has neither",
		"models: [haiku]\nrules: [{at_least: opus}]":                      `rule 1: at_least "opus"`,
		"models: [haiku]\nrules: [{if: {effort: [hi]}, at_most: haiku}]":  `unknown effort "hi"`,
		"models: [haiku]\nrules: [{if: {agents: ['[']}, at_most: haiku}]": `"[" is not a pattern`,
		"models: [haiku]\nrules: [{unless: {}, at_most: haiku}]":          "unless",
		"models: [": "",
		"":          "",
	} {
		if _, err := modelselect.Parse([]byte(file), llm.Prices()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %s", file, err, want)
		}
	}
}

// For every task, the choice is within the bounds, and no other model within the
// same bounds that fits the call costs less.
func TestCheapestWithinBounds(t *testing.T) {
	t.Parallel()
	rules, prices := modelselect.Default(), llm.Prices()
	names := rules.Models
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.IntRange(0, len(names)-1).Draw(t, "floor")
		top := rapid.IntRange(low, len(names)-1).Draw(t, "ceiling")
		task := modelselect.Task{
			Prompt:    rapid.IntRange(0, 1_000_000).Draw(t, "prompt"),
			MaxTokens: rapid.IntRange(0, 128_000).Draw(t, "max_tokens"),
			Floor:     modelselect.Bound{Model: names[low]}, Ceiling: modelselect.Bound{Model: names[top]},
		}
		got, err := rules.Choose(prices, task)
		if err != nil {
			t.Fatal(err)
		}
		usage := llm.Usage{InputTokens: task.Prompt, OutputTokens: 1000}
		if task.MaxTokens > 0 {
			usage.OutputTokens = min(1000, task.MaxTokens)
		}
		paid, _ := prices.CostOf(got.Model, usage, llm.Rate{})
		within := false
		for _, name := range names[low : top+1] {
			id, _ := prices.Resolve(name)
			within = within || id == got.Model
			if cost, _ := prices.CostOf(id, usage, llm.Rate{}); cost < paid {
				t.Errorf("%s costs %v, %s only %v", got.Model, paid, id, cost)
			}
		}
		if !within {
			t.Errorf("%s is not within %s and %s", got.Model, names[low], names[top])
		}
	})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	if got := modelselect.Tokens(llm.Prices(), strings.Repeat("é", 4000), ""); got != 1300 {
		t.Errorf("4,000 characters are %d tokens", got)
	}
}
