package workflow

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Agent is an agent that a workflow file defines for its own steps.
type Agent struct {
	Name        string // empty for that of a step with a prompt
	Description string // may be empty
	Prompt      string // the system prompt, without surrounding white space

	// Tools are the tools that the agent may use, as in an agent's file; empty: none,
	// unless AllTools is set.
	Tools    []string
	AllTools bool

	// Settings are those that the agent's entry gives; its steps have them already. Only
	// those of the model and its answers are set.
	Settings Defaults

	Line, Column int // where the agent begins in its file, from 1
}

// Thinking is how a model thinks before it answers.
type Thinking struct {
	Type   string // ThinkingAdaptive, ThinkingDisabled, ThinkingBetweenTools or ThinkingEnabled
	Budget int    // most tokens of it, with ThinkingEnabled
}

// Kinds of thinking, in the words of the service.
const (
	ThinkingAdaptive     = "adaptive"      // as much as the model finds useful
	ThinkingDisabled     = "disabled"      // not at all
	ThinkingBetweenTools = "between_tools" // only between calls of tools
	ThinkingEnabled      = "enabled"       // up to a number of tokens
)

const (
	maxPrompt         = 1 << 20 // bytes of a system prompt
	minThinkingBudget = 1024    // tokens; the service refuses fewer
)

// Efforts are the levels of effort that a model may be asked for, the least first.
var efforts = []string{"low", "medium", "high", "xhigh", "max"}

// agents reads the agents that the file defines.
func (p *reader) agents(n *yaml.Node) []*Agent {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, "write agents: {NAME: {prompt: ..., model: ...}}", "agents must be a mapping from names to agents, not %s", kindOf(n))
		return nil
	}
	p.inline = map[string]*Agent{}
	var agents []*Agent
	p.entries(n, func(key, value *yaml.Node) {
		if !validID(key.Value) {
			p.fail(key, nil, "use letters, digits, - and _, and begin with a letter", "bad name of an agent %s", quote(key.Value))
			return
		}
		a := &Agent{Name: key.Value, Line: key.Line, Column: key.Column}
		p.inline[a.Name] = a // also if it is wrong, so that steps which name it are not
		agents = append(agents, a)
		if f, ok := p.fields(value, "an agent", agentKeys); ok {
			p.agent(a, f, key)
		}
		if l := p.loader; l.opts.CheckAgent != nil && l.checkAgent(a.Name) == nil {
			p.note(key, "give it another name if that is not meant", "agent %s of this file stands in for the agent of that name that there is already", quote(a.Name))
		}
	})
	return agents
}

// agent reads an entry of agents.
func (p *reader) agent(a *Agent, f fields, key *yaml.Node) {
	if n := f.given("description"); n != nil {
		p.whole(n, "description")
		a.Description = p.text(n, "description")
	}
	if n := f.given("prompt"); n == nil {
		p.fail(key, nil, "prompt says who the agent is and how it works: its system prompt", "agent %s has no prompt", quote(a.Name))
	} else {
		a.Prompt = p.prompt(n)
	}
	if n := f.given("tools"); n != nil {
		a.Tools, a.AllTools = p.tools(n)
	}
	a.Settings = p.settings(f, Defaults{})
}

// prompt reads a system prompt. It is the same in each call, so that the service's
// prompt cache serves it.
func (p *reader) prompt(n *yaml.Node) string {
	before := p.failures
	text := p.text(n, "prompt")
	p.whole(n, "prompt")
	switch {
	case p.failures > before:
	case strings.TrimSpace(text) == "":
		p.fail(n, nil, "", "prompt is empty")
	case strings.Contains(text, exprOpen):
		p.fail(n, ErrExpression, "write what changes in the task", "prompt is the same in each call and cannot hold an expression")
	case len(text) > maxPrompt:
		p.fail(n, ErrTooLarge, "", "prompt is larger than %d MiB", maxPrompt>>20)
	}
	return strings.TrimSpace(text)
}

// tools reads the tools of an agent: a list, or a text with commas between them.
func (p *reader) tools(n *yaml.Node) (tools []string, all bool) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	for _, n := range nodes {
		n = follow(n)
		before := p.failures
		text := p.plain(n, "tools")
		if p.failures > before {
			continue
		}
		for _, tool := range splitRules(text) {
			if !isRule(tool) {
				p.fail(n, nil, "write for example [Read, Grep, Bash(go test:*)]", "tools must name a tool, or a tool and parentheses, and %s is none", quote(tool))
				continue
			}
			tools = append(tools, tool)
		}
	}
	if slices.Contains(tools, "*") {
		return nil, true
	}
	return tools, false
}

// splitRules splits at the commas that are not inside parentheses.
func splitRules(text string) []string {
	var rules []string
	depth, start := 0, 0
	for i, c := range text + "," {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && (depth <= 0 || i == len(text)):
			rules = append(rules, strings.TrimSpace(text[start:i]))
			start = i + 1
		}
	}
	return rules
}

// isRule reports whether a text is the name of a tool, or one and parentheses.
func isRule(text string) bool {
	open, last := strings.Contains(text, "("), strings.HasSuffix(text, ")")
	return text != "" && open == last && !strings.HasPrefix(text, "(")
}

// agentOf returns the name of a step's agent, and the agent if the file defines it.
func (p *reader) agentOf(d *draft) (string, *Agent) {
	agent, prompt := d.fields.given("agent"), d.fields.given("prompt")
	if tools := d.fields.given("tools"); tools != nil && prompt == nil {
		p.fail(tools, nil, "allow says what of its tools the agent may use here", "tools belong to an agent or to a step with a prompt, and %s has none", d.of())
	}
	switch {
	case agent != nil && prompt != nil:
		hint := "prompt is the system prompt of a step without an agent; what is asked is task"
		if d.fields.given("task") == nil { // one mistake, one error
			hint = `did you mean "task"? prompt is the system prompt of a step without an agent`
			d.fields.names[slices.Index(d.fields.names, "prompt")] = "task"
		}
		p.fail(prompt, nil, hint, "%s has both agent and prompt", d.of())
	case prompt != nil:
		a := &Agent{Prompt: p.prompt(prompt), Line: d.Line, Column: d.Column}
		if n := d.fields.given("tools"); n != nil {
			a.Tools, a.AllTools = p.tools(n)
		}
		return cmp.Or(d.root, d).ID, a
	case agent == nil:
		p.fail(d.node, nil, "", "%s has no agent", d.of())
		return "", nil
	case isChoice(agent):
		return "", nil // see chosen
	}
	name := p.plain(agent, "agent")
	if a := p.inline[name]; a != nil {
		return name, a
	}
	if name != "" {
		p.checkAgent(agent, name)
	}
	return name, nil
}

// unusedAgents notes the agents of the file that no step gives a task.
func (p *reader) unusedAgents(w *Workflow) {
	if len(w.Agents) == 0 {
		return
	}
	used := map[*Agent]bool{}
	w.eachAgent(func(a *Agent) { used[a] = true })
	for _, a := range w.Agents {
		if !used[a] {
			p.note(&yaml.Node{Line: a.Line, Column: a.Column}, "", "no step uses agent %s", quote(a.Name))
		}
	}
}

// eachAgent calls yield for the agents that steps of the file have and the file defines.
func (w *Workflow) eachAgent(yield func(*Agent)) {
	for _, s := range w.Steps {
		switch {
		case s.Agent != "":
			for _, v := range s.Variants() {
				if v.Inline != nil {
					yield(v.Inline)
				}
			}
		case s.Body != nil && s.Workflow == "":
			s.Body.eachAgent(yield)
		}
	}
}

// over returns defaults with the settings of an agent over them.
func (a *Agent) over(d Defaults) Defaults {
	if a == nil {
		return d
	}
	s := a.Settings
	if s.Model != "" {
		d.Model = s.Model
	}
	if s.MaxTokens > 0 {
		d.MaxTokens = s.MaxTokens
	}
	if s.MaxTurns > 0 {
		d.MaxTurns = s.MaxTurns
	}
	if s.Effort != "" {
		d.Effort = s.Effort
	}
	if s.Thinking != nil {
		d.Thinking = s.Thinking
	}
	if s.Temperature != nil {
		d.Temperature = s.Temperature
	}
	return d
}

// thinking reads a word, or a number of tokens.
func (p *reader) thinking(n *yaml.Node) *Thinking {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		before := p.failures
		budget := p.count(n, "thinking", minThinkingBudget)
		if p.failures > before {
			return nil
		}
		return &Thinking{Type: ThinkingEnabled, Budget: budget}
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		p.fail(n, nil, "write adaptive, disabled, between_tools, or a number of tokens", "thinking must be a word or a number, not %s", kindOf(n))
		return nil
	}
	word := p.oneOf(n, "thinking", []string{ThinkingAdaptive, ThinkingDisabled, ThinkingBetweenTools})
	if word == "" {
		return nil
	}
	return &Thinking{Type: word}
}

// temperature reads a number from 0 to 1.
func (p *reader) temperature(n *yaml.Node) *float64 {
	isNumber := n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float")
	v, err := strconv.ParseFloat(n.Value, 64)
	if !isNumber || err != nil || !(v >= 0 && v <= 1) {
		p.fail(n, nil, "", "temperature must be a number from 0 to 1")
		return nil
	}
	return &v
}

// checkThinking reports settings of a step, which is named who, that no model takes
// together.
func (p *reader) checkThinking(d *draft, who string) {
	t := d.Thinking
	at := d.node
	for _, key := range []string{"thinking", "temperature", "max_tokens"} {
		if n := d.fields.given(key); n != nil {
			at = n
			break
		}
	}
	switch {
	case t == nil:
	case t.Budget > 0 && d.MaxTokens > 0 && t.Budget >= d.MaxTokens:
		p.fail(at, nil, "raise max_tokens", "thinking of %d tokens leaves no room for an answer within max_tokens %d", t.Budget, d.MaxTokens)
	case d.Temperature != nil && *d.Temperature != 1 && (t.Type == ThinkingAdaptive || t.Type == ThinkingEnabled):
		p.fail(at, nil, "remove one of them", "a model that thinks takes no temperature but 1, and %s has both", who)
	}
}
