package modelselect

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
	"github.com/claude-force/claude-force/llm"
)

// Rules say what may be chosen for which task.
type Rules struct {
	Models  []string `yaml:"models"`  // from the weakest to the strongest: aliases or ids
	Floor   string   `yaml:"floor"`   // for tasks without one; empty for the weakest
	Ceiling string   `yaml:"ceiling"` // for tasks without one; empty for the strongest
	Rules   []Rule   `yaml:"rules"`
}

// Rule narrows what may be chosen for some tasks.
type Rule struct {
	If      Condition `yaml:"if"`
	AtLeast string    `yaml:"at_least"`
	AtMost  string    `yaml:"at_most"`
	Because string    `yaml:"because"` // for the reason; empty for the condition in words
}

// Condition holds if all its fields that are set hold. The zero value always holds.
type Condition struct {
	Agents        []string `yaml:"agents"`          // the name matches one of these patterns, such as security-*
	Effort        []string `yaml:"effort"`          // it is one of these
	Tools         *bool    `yaml:"tools"`           // whether the agent names tools
	Schema        *bool    `yaml:"schema"`          // whether the output must obey a schema
	PromptOver    int      `yaml:"prompt_over"`     // the prompt is longer, in tokens
	MaxTokensOver int      `yaml:"max_tokens_over"` // the longest allowed answer is longer, in tokens
}

//go:embed rules.yaml
var embedded []byte

// DefaultText returns the default rules as YAML, as a start for custom rules.
func DefaultText() string { return string(embedded) }

// Default returns the rules that apply if no others are configured.
var Default = sync.OnceValue(func() *Rules {
	r, err := Parse(embedded, llm.Prices())
	if err != nil {
		panic("modelselect: the embedded rules are broken: " + err.Error()) // a build error, found by the tests
	}
	return r
})

// Parse reads rules from YAML or JSON in the form of the default ones. All models
// in them must have a price.
func Parse(data []byte, prices *llm.PriceTable) (*Rules, error) {
	var r Rules
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&r); err != nil {
		p := yamltext.Explain(string(data), err)
		if p.Line > 0 {
			return nil, fmt.Errorf("reading rules: line %d: %s (%s)", p.Line, p.Message, p.Hint)
		}
		return nil, fmt.Errorf("reading rules: %s", p.Message)
	}
	if err := r.check(prices); err != nil {
		return nil, fmt.Errorf("reading rules: %w", err)
	}
	return &r, nil
}

func (r *Rules) check(prices *llm.PriceTable) error {
	if len(r.Models) == 0 {
		return errors.New("models is missing; list the models to choose from, such as [haiku, sonnet, opus]")
	}
	var errs []error
	for _, m := range r.Models {
		id, _ := prices.Resolve(m)
		if _, ok := prices.Info(id); !ok {
			errs = append(errs, &PriceError{Model: m})
		}
	}
	known := func(what, name string) {
		if name != "" && !r.Knows(prices, name) {
			errs = append(errs, &UnknownError{Bound{Model: name, Why: what}, r.Models})
		}
	}
	known("floor", r.Floor)
	known("ceiling", r.Ceiling)
	for i, rule := range r.Rules {
		name := fmt.Sprintf("rule %d", i+1)
		known(name+": at_least", rule.AtLeast)
		known(name+": at_most", rule.AtMost)
		if rule.AtLeast == "" && rule.AtMost == "" {
			errs = append(errs, errors.New(name+" has neither at_least nor at_most"))
		}
		for _, pattern := range rule.If.Agents {
			if _, err := path.Match(pattern, ""); err != nil {
				errs = append(errs, fmt.Errorf("%s: %q is not a pattern such as security-*", name, pattern))
			}
		}
		for _, effort := range rule.If.Effort {
			if !slices.Contains([]string{"low", "medium", "high", "xhigh", "max"}, effort) {
				errs = append(errs, fmt.Errorf("%s: unknown effort %q; use low, medium, high, xhigh or max", name, effort))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *Condition) holds(t Task) bool {
	fits := func(pattern string) bool {
		ok, err := path.Match(pattern, t.Agent)
		return ok && err == nil
	}
	return (len(c.Agents) == 0 || slices.ContainsFunc(c.Agents, fits)) &&
		(len(c.Effort) == 0 || slices.Contains(c.Effort, t.Effort)) &&
		(c.Tools == nil || *c.Tools == t.Tools) &&
		(c.Schema == nil || *c.Schema == t.Schema) &&
		(c.PromptOver == 0 || t.Prompt > c.PromptOver) &&
		(c.MaxTokensOver == 0 || t.MaxTokens > c.MaxTokensOver)
}

// why returns the rule's own reason, else its condition in words.
func (r *Rule) why() string {
	if r.Because != "" {
		return r.Because
	}
	var parts []string
	add := func(given bool, format string, args ...any) {
		if given {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	c := r.If
	add(len(c.Agents) > 0, "a rule for %s", strings.Join(c.Agents, ", "))
	add(len(c.Effort) > 0, "effort is %s", strings.Join(c.Effort, " or "))
	add(c.Tools != nil && *c.Tools, "the agent names tools")
	add(c.Tools != nil && !*c.Tools, "the agent names no tools")
	add(c.Schema != nil && *c.Schema, "the output must obey a schema")
	add(c.Schema != nil && !*c.Schema, "the output may be any text")
	add(c.PromptOver > 0, "the prompt is over %s tokens", thousands(c.PromptOver))
	add(c.MaxTokensOver > 0, "the answer may be over %s tokens", thousands(c.MaxTokensOver))
	add(len(parts) == 0, "a rule for all")
	return strings.Join(parts, ", ")
}
