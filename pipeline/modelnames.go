package pipeline

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
)

// ModelNames returns a function that reports whether the service may have a model with an
// id: one of the table, or one that is newer than the table. Gateways, clouds, recorded
// answers and injected models may have any. Of opts it uses Simulator, Model and Replay.
func ModelNames(cfg *config.Config, opts Options, prices *llm.PriceTable) func(id string) bool {
	env, _ := anthropic.FromEnv(os.Getenv) // a missing credential matters only to calls
	elsewhere := Backend(cfg) != anthropic.BackendAnthropic || cmp.Or(cfg.BaseURL, env.BaseURL) != ""
	if opts.Model != nil || opts.Replay != nil || opts.Simulator == nil && elsewhere {
		return func(string) bool { return true }
	}
	return func(id string) bool { return ofTheService(prices, id) }
}

// checkFallbacks returns an [fault.InputError] if a fallback model is one that there is
// not: it would fail only once a model is down.
func (p *Pipeline) checkFallbacks() error {
	mayExist := ModelNames(p.config, p.opts, p.Prices())
	for _, name := range p.config.FallbackModels {
		if id, _ := p.Prices().Resolve(name); !mayExist(id) {
			return fault.Input(fmt.Errorf("setting fallback_models: no model is named %q; use an alias such as haiku, sonnet or opus, or a model's id", name))
		}
	}
	return nil
}

// ofTheService reports whether Anthropic's own API may have a model with an id.
func ofTheService(prices *llm.PriceTable, id string) bool {
	_, known := prices.Info(id)
	return known || strings.HasPrefix(id, "claude-")
}

// UnknownModels returns those of the names that no model has, such as ones with a typing
// error: a key for them would be good for nothing.
func UnknownModels(cfg *config.Config, names []string) (unknown []string, err error) {
	table, err := LoadPrices(cfg)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if id, _ := table.Resolve(name); !ofTheService(table, id) {
			unknown = append(unknown, name)
		}
	}
	return unknown, nil
}
