package workflow

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Choice is the name of an agent or a model that is known when the step runs: one of a
// list.
type Choice struct {
	From  *Value   // a text
	Among []string // what it may be, in file order; never empty
}

// eval returns the name that an expression gives.
func (c *Choice) eval(what string, env Env) (string, error) {
	v, err := c.From.Eval(env)
	if err != nil {
		return "", err
	}
	name, ok := v.(string)
	switch {
	case !ok && v == nil:
		return "", fmt.Errorf("evaluating %s: there is no such value; the %s must be one of %s", c.From.Source(), what, strings.Join(c.Among, ", "))
	case !slices.Contains(c.Among, name):
		if !ok {
			name = fmt.Sprint(v)
		}
		return "", fmt.Errorf("the %s %s is none of those that the file names: %s", what, quote(firstWords(name)), strings.Join(c.Among, ", "))
	}
	return name, nil
}

// firstWords returns the beginning of a text, for a line of a message.
func firstWords(s string) string {
	if s = clean(s); len([]rune(s)) > 80 {
		return string([]rune(s)[:79]) + "…"
	}
	return s
}

// variant is what a step's choices amount to.
type variant struct{ agent, model string }

func (v variant) compare(other variant) int {
	return cmp.Or(strings.Compare(v.agent, other.agent), strings.Compare(v.model, other.model))
}

// Variants returns what the step may be: itself if its agent and model are known, else
// one step for each agent and model that it may have.
func (s *Step) Variants() []*Step {
	if len(s.variants) == 0 {
		return []*Step{s}
	}
	steps := make([]*Step, 0, len(s.variants))
	for _, agent := range s.AgentFrom.names(s.Agent) {
		for _, model := range s.ModelFrom.names("") {
			steps = append(steps, s.variants[variant{agent, model}])
		}
	}
	return steps
}

// names returns what a choice may be; name if there is none.
func (c *Choice) names(name string) []string {
	if c == nil {
		return []string{name}
	}
	return c.Among
}

// Resolve returns the one of [Step.Variants] that the step is where its expressions see
// env.
func (s *Step) Resolve(env Env) (*Step, error) {
	if len(s.variants) == 0 {
		return s, nil
	}
	v := variant{agent: s.Agent}
	var err error
	if s.AgentFrom != nil {
		if v.agent, err = s.AgentFrom.eval("agent", env); err != nil {
			return nil, err
		}
	}
	if s.ModelFrom != nil {
		if v.model, err = s.ModelFrom.eval("model", env); err != nil {
			return nil, err
		}
	}
	return s.variants[v], nil
}

// maxVariants bounds the agents times the models of one step.
const maxVariants = 100

// isChoice reports whether a node is a choice and not a name.
func isChoice(n *yaml.Node) bool {
	return n != nil && (n.Kind == yaml.MappingNode || n.Kind == yaml.ScalarNode && strings.Contains(n.Value, exprOpen))
}

// choice reads the key of a step that is an expression with a list of what it may be:
// {from: ..., among: [...]}, or the expression alone if the items that it is taken from
// stand in the file. check is called for each name.
func (p *reader) choice(d *draft, v view, n *yaml.Node, key string, check func(n *yaml.Node, name string)) *Choice {
	from, among := n, (*yaml.Node)(nil)
	if n.Kind == yaml.MappingNode {
		f, ok := p.fields(n, key, choiceKeys)
		if !ok {
			return nil
		}
		if from, among = f.given("from"), f.given("among"); from == nil || among == nil {
			p.fail(n, nil, "write "+key+`: {from: "${{ ... }}", among: [a, b]}`, "%s needs both from and among", key)
			return nil
		}
	}
	before := p.failures
	p.text(from, key)
	if p.failures > before {
		return nil
	}
	c := &Choice{From: p.textValue(d, v, from, key)}
	if c.From == nil || p.failures > before {
		return nil
	}
	if typ := c.From.typ(); typ != "" && typ != "string" {
		p.fail(from, ErrExpression, "", "%s must be a text, and the expression is of type %s", key, typ)
		return nil
	}
	switch {
	case among == nil:
		if c.Among = c.From.texts(v); c.Among == nil {
			p.fail(from, ErrExpression, "write "+key+`: {from: "${{ ... }}", among: [a, b]}`, "%s is only known when the step runs, and the file does not say what it may be", key)
			return nil
		}
		for _, name := range c.Among {
			check(from, name)
		}
	case among.Kind != yaml.SequenceNode || len(among.Content) == 0:
		p.fail(among, nil, "write among: [a, b]", "among must be a list of names with at least one")
		return nil
	default:
		for _, item := range among.Content {
			item = follow(item)
			before := p.failures
			switch name := p.plain(item, "an entry of among"); {
			case p.failures > before:
			case slices.Contains(c.Among, name):
				p.fail(item, nil, "", "%s is given twice", quote(name))
			default:
				c.Among = append(c.Among, name)
				check(item, name)
			}
		}
	}
	if p.failures > before {
		return nil
	}
	return c
}

// texts returns the texts that an expression such as item.name may give if the items
// stand in the file; nil if that is not known.
func (v *Value) texts(at view) []string {
	if v.expr == nil {
		return nil
	}
	root, name, part := strings.Cut(strings.TrimSpace(v.expr.source), ".")
	items := at.itemsOf(root)
	if items == nil || part && !validID(name) {
		return nil
	}
	list, ok := items.fixed.([]any)
	if !ok {
		return nil
	}
	var texts []string
	for _, item := range list {
		if part {
			object, ok := item.(Object)
			if !ok {
				return nil
			}
			item = object.values[name]
		}
		text, ok := item.(string)
		if !ok || text == "" {
			return nil
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// chosen reads the agent and the model of a step where they are only known when it runs,
// and makes its variants.
func (p *reader) chosen(d *draft, v view, command *SlashCommand, defaults Defaults) {
	agent, model := d.fields.given("agent"), d.fields.given("model")
	inline := map[string]*Agent{}
	if isChoice(agent) {
		before := p.failures
		d.AgentFrom = p.choice(d, v, agent, "agent", func(n *yaml.Node, name string) {
			if a := p.inline[name]; a != nil {
				inline[name] = a
			} else {
				p.checkAgent(n, name)
			}
		})
		if p.failures > before {
			d.AgentFrom = nil
		}
	}
	if isChoice(model) {
		d.ModelFrom = p.choice(d, v, model, "model", func(*yaml.Node, string) {})
	}
	if d.AgentFrom == nil && d.ModelFrom == nil {
		return
	}
	if d.AgentFrom != nil {
		d.Agent, d.Inline = d.AgentFrom.Among[0], inline[d.AgentFrom.Among[0]]
	} else if d.Agent != "" {
		inline[d.Agent] = d.Inline
	}
	agents, models := d.AgentFrom.names(d.Agent), d.ModelFrom.names("")
	if n := len(agents) * len(models); n > maxVariants {
		p.fail(d.node, ErrTooLarge, "", "%s may have %d agents and models, and %d are possible", d.of(), n, maxVariants)
		return
	}
	d.variants = make(map[variant]*Step, len(agents)*len(models))
	for _, a := range agents {
		for _, m := range models {
			d.variants[variant{a, m}] = nil // made once the rest is read
		}
	}
	p.later = append(p.later, func() {
		before := p.failures
		for _, key := range slices.SortedFunc(maps.Keys(d.variants), variant.compare) {
			s := *d.Step
			s.AgentFrom, s.ModelFrom, s.variants = nil, nil, nil
			s.Agent, s.Inline = key.agent, inline[key.agent]
			if s.Inline != nil || d.AgentFrom != nil {
				p.inherit(&s, d.fields, command.over(s.Inline.over(defaults)))
			}
			if key.model != "" {
				s.Model = key.model
			}
			d.variants[key] = &s
			if s.Inline != nil && key.agent != d.Agent && p.failures == before { // the first is checked already
				p.checkThinking(&draft{Step: &s, node: d.node, fields: d.fields}, d.of()+" with agent "+quote(key.agent))
			}
		}
		if d.ModelFrom != nil {
			d.Model = models[0]
		}
	})
}

// inherit gives a step the settings of its agent where it has none of its own.
func (p *reader) inherit(s *Step, own fields, d Defaults) {
	if own.given("model") == nil {
		s.Model = d.Model
	}
	if own.given("max_tokens") == nil {
		s.MaxTokens = d.MaxTokens
	}
	if own.given("max_turns") == nil {
		s.MaxTurns = d.MaxTurns
	}
	if own.given("effort") == nil {
		s.Effort = d.Effort
	}
	if own.given("thinking") == nil {
		s.Thinking = d.Thinking
	}
	if own.given("temperature") == nil {
		s.Temperature = d.Temperature
	}
}
