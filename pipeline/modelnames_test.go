package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sim"
)

// TestModelNames asks which ids may be those of models: only where the service is
// Anthropic's own, or a simulator of it, can one be wrong.
func TestModelNames(t *testing.T) {
	for _, name := range []string{"ANTHROPIC_BASE_URL", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"} {
		t.Setenv(name, "")
	}
	gateway, simulated := &config.Config{BaseURL: "https://gateway.example.com"}, pipeline.Options{Simulator: sim.New(sim.Options{})}
	for name, test := range map[string]struct {
		cfg    *config.Config
		opts   pipeline.Options
		strict bool
	}{
		"the API":          {&config.Config{}, pipeline.Options{}, true},
		"a simulator":      {&config.Config{}, simulated, true},
		"in place of one":  {gateway, simulated, true},
		"a gateway":        {gateway, pipeline.Options{}, false},
		"a cloud":          {&config.Config{Backend: "bedrock"}, pipeline.Options{}, false},
		"a model injected": {&config.Config{}, pipeline.Options{Model: llm.ModelFunc(nil)}, false},
	} {
		mayExist := pipeline.ModelNames(test.cfg, test.opts, llm.Prices())
		for _, id := range []string{"hiaku", "gpt-9", "eu.anthropic.claude-x", ""} {
			if mayExist(id) == test.strict {
				t.Errorf("%s: %q may exist: %t", name, id, mayExist(id))
			}
		}
		for _, m := range llm.Prices().Models {
			if !mayExist(m.ID) || !mayExist("claude-newer-than-the-table") {
				t.Errorf("%s: %s may not exist", name, m.ID)
			}
		}
	}
}

// TestFallbackModelsThatThereAreNot opens pipelines whose fallback models have a typing error.
func TestFallbackModelsThatThereAreNot(t *testing.T) {
	for _, name := range []string{"ANTHROPIC_BASE_URL", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"} {
		t.Setenv(name, "")
	}
	for _, test := range []struct {
		names  []string
		opts   pipeline.Options
		refuse bool
	}{
		{[]string{"sonnet", "hiaku"}, pipeline.Options{Simulator: sim.New(sim.Options{})}, true},
		{[]string{"hiaku"}, pipeline.Options{}, true},
		{[]string{"sonnet", "haiku"}, pipeline.Options{Simulator: sim.New(sim.Options{})}, false},
		{[]string{"hiaku"}, pipeline.Options{Model: llm.ModelFunc(nil)}, false},
	} {
		p, err := pipeline.New(t.Context(), &config.Config{FallbackModels: test.names, Jobs: 1}, test.opts)
		if err == nil {
			p.Close()
		}
		if _, input := errors.AsType[*fault.InputError](err); input != test.refuse || test.refuse != strings.Contains(fmt.Sprint(err), `"hiaku"`) {
			t.Errorf("%q: %v; want an error about the setting: %t", test.names, err, test.refuse)
		}
	}
}
