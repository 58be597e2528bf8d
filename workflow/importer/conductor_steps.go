package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// steps returns the steps of a level.
func (c *conductor) steps(l *flowLevel) ([]*mapping, error) {
	var steps []*mapping
	for _, u := range l.units {
		step := newMapping()
		step.text("id", u.id())
		c.waits(step, l, u)
		if u.inner != nil {
			if err := c.loop(step, u); err != nil {
				return nil, err
			}
		} else if err := c.step(step, l, u); err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// waits says after which steps, and on what condition, a unit runs.
func (c *conductor) waits(step *mapping, l *flowLevel, u *flowUnit) {
	if len(u.in) == 0 || u.node == l.entry || u.inner != nil && u.inner.contains(l.entry) {
		return
	}
	var ids []string
	var units []*flowUnit
	always := false
	var conds []string
	for _, e := range u.in {
		before := l.around(e.from)
		if !slices.Contains(units, before) {
			units = append(units, before)
			ids = append(ids, before.id())
		}
		cond := c.taken(step.node, viewpoint{level: l, unit: u}, e)
		if cond == "" {
			always = true
		}
		conds = append(conds, cond)
		if u.inner != nil && c.nodes[e.from.routes[e.index].to] != u.inner.entry {
			c.note(step.node, e.from.routes[e.index].at, Changed, "the route leads into the middle of a loop, which begins with %s here", u.inner.entry.name)
		}
	}
	if len(ids) > 1 {
		step.text("join", "settled")
	}
	step.texts("dependencies", ids...)
	if !always {
		step.text("when", bare(anyOf(conds)))
	}
}

// anyOf returns the condition that one of several holds.
func anyOf(conds []string) string {
	if len(conds) == 1 {
		return conds[0]
	}
	var parts []string
	for _, cond := range conds {
		if part := enclosed(cond); !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " or ")
}

// allOf returns the condition that all of several hold; empty ones always do.
func allOf(conds ...string) string {
	var parts []string
	for _, cond := range conds {
		if cond != "" {
			parts = append(parts, cond)
		}
	}
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	for i := range parts {
		parts[i] = enclosed(parts[i])
	}
	return strings.Join(parts, " and ")
}

// taken returns the condition under which a route is taken, as seen from a viewpoint;
// empty if it always is.
func (c *conductor) taken(to *yaml.Node, v viewpoint, e flowEdge) string {
	conds := []string{c.ran(v, e.from)}
	if e.from.kind == nodeGate {
		return allOf(append(conds, c.answered(to, v, e))...)
	}
	v.own, v.flat = e.from, true
	for i, r := range e.from.routes[:e.index+1] {
		if r.when == nil {
			continue
		}
		cond := c.condition(to, v, r.when)
		if i < e.index {
			cond = "not " + enclosed(cond)
		}
		conds = append(conds, cond)
	}
	return allOf(conds...)
}

// answered returns the condition that a person gave the answer of a route.
func (c *conductor) answered(to *yaml.Node, v viewpoint, e flowEdge) string {
	r := e.from.routes[e.index]
	t, _, err := c.result(v, e.from, []string{"selected"})
	if err != nil {
		c.note(to, r.at, Missing, "the condition that %s was answered: %v", r.answer, err)
		return "false"
	}
	return t.or(`""`).operand() + " == " + quoted(r.answer)
}

// condition returns our condition for one of conductor: "false", with a note, if it has
// no counterpart.
func (c *conductor) condition(to *yaml.Node, v viewpoint, n *yaml.Node) string {
	source := strings.TrimSpace(n.Value)
	if inner, ok := strings.CutPrefix(source, "{{"); ok && strings.HasSuffix(inner, "}}") {
		source = strings.Trim(strings.TrimSuffix(inner, "}}"), "- ")
		v.flat = false
	}
	t, err := (jinja{c.importer, c.names(v)}).translate(source)
	if err == nil {
		if cond := t.truth(); len(cond) < 3000 {
			return bare(cond)
		}
		err = fmt.Errorf("it is too long")
	}
	c.note(to, n, Missing, "the condition %s, which is false until it is replaced: %v", show(n), err)
	return "false"
}

// bare returns an expression without parentheses around all of it.
func bare(source string) string {
	for source != "" && source[0] == '(' && closing(source) == len(source)-1 {
		source = source[1 : len(source)-1]
	}
	return source
}

// ran returns the condition that a node has run, as seen from a viewpoint; empty if it
// surely has.
func (c *conductor) ran(v viewpoint, f *flowNode) string {
	r, err := c.reach(v, f)
	switch {
	case err != nil || r.never:
		return "false"
	case r.inside:
		source := r.prefix + ".json"
		if r.maybe {
			source = r.prefix + "?.json"
		}
		return "(" + source + "?." + f.key + " ?? nil) != nil"
	case !r.maybe:
		return ""
	case f.kind == nodeScript:
		return r.prefix + `?.status in ["completed", "failed"]`
	}
	return r.prefix + `?.status == "completed"`
}

// loop makes a step of a part of the routes that leads back to itself.
func (c *conductor) loop(step *mapping, u *flowUnit) error {
	l := u.inner
	loop := newMapping()
	limit := 10
	w := get(c.doc, "workflow")
	if n := get(get(w, "limits"), "max_iterations"); n != nil && positive().MatchString(n.Value) {
		limit = countOf(n.Value)
	}
	size := len(l.nodes)
	limit = min(max((limit+size-1)/size, 1), 1000)
	var back []string
	until := newMapping() // takes notes
	for _, from := range c.order {
		if !l.nodes[from] {
			continue
		}
		for i, r := range from.routes {
			if c.nodes[r.to] == l.entry {
				cond := c.taken(until.node, viewpoint{level: l}, flowEdge{from, i})
				back = append(back, cond)
			}
		}
	}
	c.note(loop.number("max", limit), get(w, "limits"), Changed, "conductor counts the calls of all agents, a loop its own iterations: those of %d steps", size)
	loop.text("until", "not "+enclosed(anyOf(back)))
	step.set("loop", loop.node).HeadComment = until.node.HeadComment
	step.text("output", expr(c.exports(l)))
	steps, err := c.steps(l)
	if err != nil {
		return err
	}
	step.steps(steps)
	return nil
}

// step makes a step of a node.
func (c *conductor) step(step *mapping, l *flowLevel, u *flowUnit) error {
	f := u.node
	v := viewpoint{level: l, unit: u}
	switch f.kind {
	case nodeParallel:
		if len(f.members.units) == 0 {
			c.byHand(step, f.at, "the parallel group "+f.name+" without agents of its own")
			return nil
		}
		step.text("output", expr(c.exports(f.members)))
		steps, err := c.steps(f.members)
		if err != nil {
			return err
		}
		if str(f.at, "failure_mode") == "continue_on_error" {
			for _, s := range steps {
				if !s.has("approval") && !s.has("exit") {
					s.text("on_failure", "continue")
				}
			}
		}
		step.steps(steps)
		c.dropped(step.node, f.at, "the group", "name", "description", "agents", "routes", "failure_mode")
		return nil
	case nodeForEach:
		return c.forEach(step, f, v)
	}
	c.action(step, f, v)
	return nil
}

// itemNames are names that an item cannot have, or need not be given.
var itemNames = []string{"item", "params", "steps", "loop", "vars", "env", "run", "matrix", "let", "in", "not", "and", "or", "nil", "true", "false"}

func (c *conductor) forEach(step *mapping, f *flowNode, v viewpoint) error {
	foreach := newMapping()
	v.item = orWord(str(f.at, "as"), "item")
	v.named = "item"
	if plainName().MatchString(v.item) && !slices.Contains(itemNames, v.item) {
		v.named = "item_" + v.item
		foreach.text("item", v.named)
	}
	source := "[]"
	outside := v
	outside.item = ""
	t, err := (jinja{c.importer, c.names(outside)}).translate(strings.TrimSpace(str(f.at, "source")))
	if err != nil {
		c.note(step.node, f.at, Missing, "the source %s, which is an empty list until it is replaced: %v", str(f.at, "source"), err)
	} else {
		source = t.or("[]").source
	}
	foreach.text("in", expr(source))
	step.set("foreach", foreach.node)
	if n := get(f.at, "max_concurrent"); n != nil && positive().MatchString(n.Value) {
		step.set("max_parallel", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: n.Value})
	} else {
		step.number("max_parallel", 10)
	}
	inner := *f
	inner.kind = orWord(str(f.agent, "type"), nodeAgent)
	if inner.kind == nodeAgent || inner.kind == nodeScript || inner.kind == nodeSet {
		c.action(step, &inner, v)
	} else {
		body := newMapping()
		body.text("id", c.newID(str(f.agent, "name")))
		c.byHand(body, f.agent, "a for_each of "+inner.kind)
		step.steps([]*mapping{body})
	}
	if str(f.at, "failure_mode") == "continue_on_error" {
		step.text("on_failure", "continue")
	}
	c.dropped(step.node, f.at, "the group", "name", "type", "description", "source", "as", "max_concurrent", "failure_mode", "agent", "routes")
	return nil
}

// action makes a step do what an agent of conductor does.
func (c *conductor) action(step *mapping, f *flowNode, v viewpoint) {
	n := f.agent
	j := jinja{c.importer, c.names(v)}
	common := []string{"name", "type", "description", "input", "routes"}
	switch f.kind {
	case nodeAgent:
		c.agentStep(step, n, j)
		common = append(common, "system_prompt", "prompt", "model", "provider", "output", "tools", "retry", "timeout_seconds", "max_session_seconds", "max_agent_iterations", "reasoning")
	case nodeGate:
		c.gate(step, f, j)
		common = append(common, "prompt", "options")
	case nodeScript:
		c.script(step, n, j)
		common = append(common, "command", "args", "env", "working_dir", "timeout", "output", "stdin")
	case nodeSet:
		switch values := get(n, "values"); {
		case values != nil:
			m := newMapping()
			for key, value := range entries(values) {
				m.text(key.Value, orEmptyText(j.value(step.node, value)))
			}
			step.set("value", m.node)
		case get(n, "value") != nil:
			step.text("value", orEmptyText(j.value(step.node, get(n, "value"))))
		default:
			step.text("value", "none")
		}
		common = append(common, "value", "values", "output_type")
	case nodeWait:
		seconds := get(n, "duration")
		if seconds == nil {
			seconds = text("1")
		}
		seconds = text(inSeconds(j.template(step.node, seconds)))
		run := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
		run.Content = append(run.Content, text("sleep"), text(seconds.Value))
		step.set("run", run)
		common = append(common, "duration", "reason")
	case nodeTerminate:
		c.terminate(step, f, j)
		common = []string{"name", "type", "description", "reason", "message", "status", "output_template"}
	default:
		c.byHand(step, n, "the step "+f.name+" of type "+f.kind)
		return
	}
	c.dropped(step.node, n, "the agent", common...)
}

// terminate makes a step end the run.
func (c *conductor) terminate(step *mapping, f *flowNode, j jinja) {
	message := "ended by " + literal(f.name)
	at := step.set("exit", nil)
	if reason := get(f.agent, "reason", "message"); reason != nil && strings.TrimSpace(reason.Value) != "" {
		message = j.template(at, reason)
	}
	if s := str(f.agent, "status"); s == "" || s == "success" || s == "completed" {
		step.text("exit", message)
	} else {
		exit := newMapping()
		exit.text("status", "failed")
		exit.text("message", message)
		step.set("exit", exit.node)
	}
	if n := get(f.agent, "output_template"); n != nil {
		c.note(at, n, Missing, "the output %s: the output of a run that exits is its message", show(n))
	} else if n := get(c.doc, "output"); n != nil && len(n.Content) > 0 {
		c.note(at, f.at, Changed, "the output of a run that exits is its message, not that of the file")
	}
}

// inSeconds returns a duration of conductor as what sleep takes.
func inSeconds(s string) string {
	if hasTemplate(s) {
		return s
	}
	d, err := time.ParseDuration(duration(s))
	if err != nil {
		return "1"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
}

func orEmptyText(s string) string {
	if s == "" {
		return expr(`""`)
	}
	return s
}
