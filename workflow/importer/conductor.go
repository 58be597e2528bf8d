package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v4"
)

// Kinds of what a conductor workflow consists of: types of agents, and groups.
const (
	nodeAgent     = "agent"
	nodeGate      = "human_gate"
	nodeScript    = "script"
	nodeSet       = "set"
	nodeWait      = "wait"
	nodeTerminate = "terminate"
	nodeParallel  = "parallel"
	nodeForEach   = "for_each"
)

// Limits of a workflow of conductor.
const (
	maxNodesOfFlow = 500
	maxRoutes      = 50 // of an agent
)

// flowNode is an agent, a parallel group or a for-each group of conductor.
type flowNode struct {
	name, id, kind string
	key            string     // its name in the JSON of the step around it
	at             *yaml.Node // where it is defined
	agent          *yaml.Node // the agent within a for-each group; else at
	routes         []flowRoute
	level          *flowLevel // of which it is a unit
	members        *flowLevel // of a parallel group
}

// flowRoute says what follows a node, and when.
type flowRoute struct {
	at     *yaml.Node
	to     string     // empty: the end
	when   *yaml.Node // nil: always
	answer string     // of a gate: the answer that leads there
}

// conductor is a workflow of conductor that is being imported.
type conductor struct {
	*importer
	doc    *yaml.Node
	nodes  map[string]*flowNode
	order  []*flowNode // in file order
	params map[string]term
	tools  bool // agents may read files unless they say otherwise
}

func (im *importer) conductor(doc *yaml.Node, out *mapping) error {
	c := &conductor{importer: im, doc: doc, nodes: map[string]*flowNode{}, params: map[string]term{}}
	w := get(doc, "workflow")
	if w == nil {
		return fmt.Errorf("%d: the file has no workflow", doc.Line)
	}
	out.text("name", oneLine(str(w, "name")))
	if d := str(w, "description"); d != "" {
		out.text("description", strings.TrimSpace(d))
	}
	c.parameters(out, get(w, "input"))
	c.runtime(out, w)
	if err := c.read(); err != nil {
		return err
	}
	entry := c.nodes[str(w, "entry_point")]
	if entry == nil {
		return fmt.Errorf("%d: entry_point names %q, which the file does not have", w.Line, oneLine(str(w, "entry_point")))
	}
	root := c.levels(entry, out.node)
	steps, err := c.steps(root)
	if err != nil {
		return err
	}
	out.steps(steps)
	c.output(out, root)
	im.dropped(out.node, doc, "the file", "workflow", "agents", "parallel", "for_each", "output", "tools")
	im.dropped(out.node, w, "workflow", "name", "description", "version", "entry_point", "runtime", "input", "context", "limits", "cost", "metadata")
	return nil
}

// conductorZero are the values of parameters that may be left out.
var conductorZero = map[string]*yaml.Node{
	"string":  text(""),
	"number":  {Kind: yaml.ScalarNode, Tag: "!!int", Value: "0"},
	"boolean": {Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"},
	"array":   {Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle},
	"object":  {Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle},
}

func (c *conductor) parameters(out *mapping, input *yaml.Node) {
	params := newMapping()
	for key, n := range entries(input) {
		name, typ := nameOf(key.Value), str(n, "type")
		p := newMapping()
		at := params.set(name, p.node)
		if name != key.Value {
			c.note(at, key, Changed, "the parameter was called %s", key.Value)
		}
		if d := str(n, "description"); d != "" {
			p.text("description", strings.TrimSpace(d))
		}
		zero, known := conductorZero[typ]
		if known {
			p.text("type", typ)
		}
		switch def := get(n, "default"); {
		case def != nil && def.Kind == yaml.ScalarNode && known && typed(p, typ, def):
		case def != nil && def.Kind == yaml.ScalarNode:
			p.text("type", "string")
			p.text("default", def.Value)
			typ = "string"
		case def != nil:
			p.set("default", plainCopy(def))
		case str(n, "required") == "false" && known:
			p.set("default", zero)
		case str(n, "required") == "false":
			p.text("default", "")
		}
		c.params[key.Value] = term{source: "params." + name, kind: termKind(typ), atom: true}
		c.dropped(at, n, "the input", "type", "required", "default", "description")
	}
	if len(params.node.Content) > 0 {
		out.set("params", params.node)
	}
}

func (c *conductor) runtime(out *mapping, w *yaml.Node) {
	runtime := get(w, "runtime")
	defaults := newMapping()
	if n := get(runtime, "default_model"); n != nil {
		c.model(defaults, n)
	}
	if turns := get(runtime, "max_agent_iterations"); turns != nil && positive().MatchString(turns.Value) {
		defaults.number("max_turns", countOf(turns.Value))
	}
	if len(defaults.node.Content) > 0 {
		out.node.Content = append(out.node.Content, text("defaults"), defaults.node)
	} else if defaults.node.HeadComment != "" {
		out.node.HeadComment += defaults.node.HeadComment
	}
	if n := get(w, "limits"); n != nil {
		if seconds := get(n, "timeout_seconds"); seconds != nil {
			budget := newMapping()
			budget.text("time", duration(seconds.Value))
			out.set("budget", budget.node)
		}
		c.dropped(out.node, n, "limits", "max_iterations", "timeout_seconds")
	}
	provider := str(runtime, "provider")
	if p := get(runtime, "provider"); p != nil && p.Kind == yaml.MappingNode {
		provider = str(p, "name")
	}
	if c.tools = provider != "claude" && provider != "openai"; c.tools {
		c.note(out.node, runtime, Changed, "agents had the tools of %s; here they may read files, and Edit, Write or Bash must be added under tools where they are to do more", orWord(provider, "copilot"))
	}
	for name, server := range entries(get(runtime, "mcp_servers")) {
		c.note(out.node, server, Missing, "the MCP server %s: configure it in .mcp.json, and name its tools under tools", name.Value)
	}
	for _, key := range []string{"max_tokens", "timeout"} {
		if n := get(runtime, key); n != nil && !isNull(n) {
			c.note(out.node, n, Missing, "%s of runtime is left out: %s; what comes closest is %s under defaults", key, show(n), key)
		}
	}
	c.dropped(out.node, runtime, "runtime", "provider", "default_model", "mcp_servers", "timeout", "max_tokens", "max_agent_iterations")
}

func orWord(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// duration returns a number of seconds, or a duration of conductor, as ours.
func duration(s string) string {
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < 1e6 {
		return strconv.FormatFloat(f, 'f', -1, 64) + "s"
	}
	if conductorDuration().MatchString(s) {
		return s
	}
	return "10m"
}

var conductorDuration = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,3})?(ms|s|m|h)$`) })

// read reads the agents and groups.
func (c *conductor) read() error {
	keys := map[string]bool{"iterations": true}
	add := func(n *yaml.Node, kind string) error {
		name := str(n, "name")
		switch {
		case name == "":
			return fmt.Errorf("%d: %s has no name", n.Line, kind)
		case c.nodes[name] != nil:
			return fmt.Errorf("%d: the name %s is given twice, first in line %d", n.Line, oneLine(name), c.nodes[name].at.Line)
		}
		f := &flowNode{name: name, id: c.newID(name), kind: kind, at: n, agent: n}
		f.key = nameOf(f.id)
		for i := 2; keys[f.key]; i++ {
			f.key = fmt.Sprintf("%s_%d", nameOf(f.id), i)
		}
		keys[f.key] = true
		if kind == nodeForEach {
			if f.agent = get(n, "agent"); f.agent == nil || f.agent.Kind != yaml.MappingNode {
				return fmt.Errorf("%d: for_each %s has no agent", n.Line, oneLine(name))
			}
		}
		c.nodes[name] = f
		if c.order = append(c.order, f); len(c.order) > maxNodesOfFlow {
			return fmt.Errorf("%d: the file has more than %d agents and groups", n.Line, maxNodesOfFlow)
		}
		return nil
	}
	for _, n := range list(get(c.doc, "agents")) {
		if err := add(n, orWord(str(n, "type"), nodeAgent)); err != nil {
			return err
		}
	}
	for _, kind := range []string{nodeParallel, nodeForEach} {
		for _, n := range list(get(c.doc, kind)) {
			if err := add(n, kind); err != nil {
				return err
			}
		}
	}
	for _, f := range c.order {
		if err := c.routes(f); err != nil {
			return err
		}
	}
	return nil
}

func (c *conductor) routes(f *flowNode) error {
	if f.kind == nodeTerminate {
		return nil // nothing follows the end of the run
	}
	var routes []flowRoute
	for _, n := range list(get(f.at, "routes")) {
		routes = append(routes, flowRoute{at: n, to: str(n, "to"), when: get(n, "when")})
	}
	if f.kind == nodeGate {
		for _, n := range list(get(f.at, "options")) {
			routes = append(routes, flowRoute{at: n, to: str(n, "route"), answer: answerOf(n)})
		}
	}
	for _, r := range routes {
		switch r.to {
		case "$end", "":
			r.to = ""
		case "self":
			r.to = f.name
		}
		if r.to != "" && c.nodes[r.to] == nil {
			return fmt.Errorf("%d: %s leads to %q, which the file does not have", r.at.Line, oneLine(f.name), oneLine(r.to))
		}
		if f.routes = append(f.routes, r); len(f.routes) > maxRoutes {
			return fmt.Errorf("%d: %s has more than %d routes", r.at.Line, oneLine(f.name), maxRoutes)
		}
		if r.when == nil && r.answer == "" {
			break // those after it are never taken
		}
	}
	return nil
}

// answerOf returns the answer that stands for an option of a gate.
func answerOf(option *yaml.Node) string {
	s := oneLine(orWord(str(option, "value"), str(option, "label")))
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}

// fieldsOf returns the fields of the output of a node, if it has a schema.
func (f *flowNode) fieldsOf() *yaml.Node {
	if f.kind != nodeAgent && f.kind != nodeForEach && f.kind != nodeScript {
		return nil
	}
	if n := get(f.agent, "output"); n != nil && n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		return n
	}
	return nil
}

// asksFields reports whether a gate asks for more than a choice.
func (f *flowNode) asksFields() bool {
	return f.kind == nodeGate && slices.ContainsFunc(list(get(f.at, "options")), func(n *yaml.Node) bool { return get(n, "prompt_for") != nil })
}

// conductorSchema returns the JSON Schema for the fields of an output.
func conductorSchema(fields *yaml.Node) *yaml.Node {
	schema, properties := newMapping(), newMapping()
	var required []string
	for key, n := range entries(fields) {
		properties.set(key.Value, conductorField(n))
		if str(n, "required") != "false" {
			required = append(required, key.Value)
		}
	}
	schema.text("type", "object")
	if len(required) > 0 {
		schema.texts("required", required...)
	}
	schema.set("properties", properties.node)
	return schema.node
}

func conductorField(n *yaml.Node) *yaml.Node {
	field := newMapping()
	typ := str(n, "type")
	if typ == "object" && get(n, "properties") != nil {
		field.node = conductorSchema(get(n, "properties"))
		if d := str(n, "description"); d != "" {
			field.text("description", oneLine(d))
		}
		return field.node
	}
	if typ != "" {
		field.text("type", typ)
		if str(n, "nullable") == "true" {
			field.texts("type", typ, "null")
		}
	}
	for key, value := range entries(n) {
		switch key.Value {
		case "description":
			field.text("description", oneLine(value.Value))
		case "enum", "pattern", "minimum", "maximum", "minLength", "maxLength":
			field.set(key.Value, plainCopy(value))
		case "items":
			field.set("items", conductorField(value))
		}
	}
	return field.node
}
