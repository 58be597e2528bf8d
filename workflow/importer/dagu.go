package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// dag is a DAG of dagu that is being imported.
type dag struct {
	*importer
	doc     *yaml.Node
	params  map[string]string   // expressions, by name
	env     map[string]string   // expressions, by name, also of constants
	envs    []string            // names of variables of all commands
	steps   []*dagStep          // in file order
	outputs map[string]*dagStep // by the variable that holds their output
}

type dagStep struct {
	at       *yaml.Node
	id, name string
	human    bool
	before   map[*dagStep]bool // steps that have run before it
	needs    []*dagStep
}

func (im *importer) dagu(docs []*yaml.Node, out *mapping) error {
	d := &dag{importer: im, doc: docs[0], params: map[string]string{}, env: map[string]string{}, outputs: map[string]*dagStep{}}
	if name := str(d.doc, "name"); name != "" {
		out.text("name", oneLine(name))
	}
	if s := str(d.doc, "description"); s != "" {
		out.text("description", strings.TrimSpace(s))
	}
	for _, other := range docs[1:] {
		im.note(out.node, other, Missing, "the DAG %s: import it from a file of its own", str(other, "name"))
	}
	d.parameters(out)
	d.variables(out)
	if most := get(d.doc, "max_active_steps", "maxActiveSteps"); most != nil && positive.MatchString(most.Value) {
		out.set("max_parallel", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: most.Value})
	}
	if t := get(d.doc, "timeout_sec", "timeoutSec"); t != nil && positive.MatchString(t.Value) {
		budget := newMapping()
		budget.text("time", t.Value+"s")
		out.set("budget", budget.node)
	}
	typ := str(d.doc, "type")
	if typ == "agent" {
		im.note(out.node, get(d.doc, "type"), Changed, "a model chose the order of the steps; here they run in the order of the file")
	}
	if err := d.read(typ == "chain" || typ == "agent"); err != nil {
		return err
	}
	var steps []*mapping
	gate := ""
	if n := get(d.doc, "preconditions", "precondition"); n != nil {
		step := newMapping()
		gate = im.newID("preconditions")
		step.text("id", gate)
		im.byHand(step, n, "the precondition "+show(n))
		steps = append(steps, step)
	}
	for _, s := range d.steps {
		steps = append(steps, d.step(s, gate))
	}
	out.steps(steps)
	im.dropped(out.node, d.doc, "the DAG", "name", "description", "params", "env", "consts", "steps", "type", "max_active_steps", "maxActiveSteps",
		"timeout_sec", "timeoutSec", "preconditions", "precondition", "harness", "working_dir", "workingDir")
	return nil
}

// assignment is a text such as NAME=value or NAME="a value".
var assignment = regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|\S*)`)

// pairs yields the names and values of parameters or variables, in each of the forms of dagu.
func pairs(n *yaml.Node) (names []*yaml.Node, values []*yaml.Node) {
	switch {
	case n == nil:
	case n.Kind == yaml.MappingNode:
		for k, v := range entries(n) {
			names, values = append(names, k), append(values, v)
		}
	case n.Kind == yaml.SequenceNode:
		for _, c := range n.Content {
			k, v := pairs(c)
			names, values = append(names, k...), append(values, v...)
		}
	default:
		for _, m := range assignment.FindAllStringSubmatch(n.Value, -1) {
			k, v := text(m[1]), text(strings.Trim(m[2], `"'`))
			k.Line, v.Line = n.Line, n.Line
			names, values = append(names, k), append(values, v)
		}
	}
	return names, values
}

func (d *dag) parameters(out *mapping) {
	n := get(d.doc, "params")
	if p := get(n, "properties"); p != nil && p.Kind == yaml.MappingNode {
		n = p
	}
	params := newMapping()
	names, values := pairs(n)
	for i, k := range names {
		name, p := nameOf(k.Value), newMapping()
		at := params.set(name, p.node)
		if name != k.Value {
			d.note(at, k, Changed, "the parameter was called %s", k.Value)
		}
		def := values[i]
		if def.Kind == yaml.MappingNode {
			if s := str(def, "description"); s != "" {
				p.text("description", strings.TrimSpace(s))
			}
			def = get(def, "default")
		}
		p.text("type", "string")
		if def != nil && def.Kind == yaml.ScalarNode {
			p.text("default", def.Value)
		}
		d.params[k.Value] = "params." + name
	}
	if len(params.node.Content) > 0 {
		out.set("params", params.node)
	}
}

// variables makes vars of the constants and of the environment.
func (d *dag) variables(out *mapping) {
	vars := newMapping()
	for _, key := range []string{"consts", "env"} {
		names, values := pairs(get(d.doc, key))
		for i, k := range names {
			if values[i].Kind != yaml.ScalarNode {
				continue
			}
			name := nameOf(k.Value)
			at := vars.text(name, "")
			vars.text(name, orEmptyText(d.text(at, nil, values[i])))
			d.env[k.Value] = "vars." + name
			if key == "env" && shellName.MatchString(k.Value) {
				d.envs = append(d.envs, k.Value)
			}
		}
	}
	if len(vars.node.Content) > 0 {
		out.set("vars", vars.node)
	}
}

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// read reads the steps and what they wait for.
func (d *dag) read(chain bool) error {
	n := get(d.doc, "steps")
	nodes := list(n)
	if n != nil && n.Kind == yaml.MappingNode {
		nodes = nil
		for k, v := range entries(n) {
			if v.Kind == yaml.MappingNode {
				c := *v
				c.Content = append([]*yaml.Node{text("name"), text(k.Value)}, v.Content...)
				nodes = append(nodes, &c)
			}
		}
	}
	if len(nodes) == 0 {
		return fmt.Errorf("%d: the DAG has no steps", d.doc.Line)
	}
	if len(nodes) > maxNodesOfFlow {
		return fmt.Errorf("%d: the DAG has more than %d steps", d.doc.Line, maxNodesOfFlow)
	}
	byName := map[string]*dagStep{}
	for i, c := range nodes {
		if c.Kind == yaml.ScalarNode {
			m := newMapping()
			m.text("run", c.Value)
			m.node.Line = c.Line
			c = m.node
		}
		if c.Kind != yaml.MappingNode {
			return fmt.Errorf("%d: step %d is no mapping", c.Line, i+1)
		}
		s := &dagStep{at: c, name: str(c, "id", "name")}
		if s.id = d.newID(orWord(s.name, fmt.Sprintf("step-%d", i+1))); byName[s.name] != nil && s.name != "" {
			return fmt.Errorf("%d: step %s is given twice", c.Line, oneLine(s.name))
		}
		s.human = str(c, "action") == "human.task"
		d.steps = append(d.steps, s)
		for _, name := range []string{str(c, "id"), str(c, "name")} {
			if name != "" {
				byName[name] = s
			}
		}
		if o := get(c, "output"); o != nil && o.Kind == yaml.ScalarNode {
			d.outputs[strings.TrimPrefix(o.Value, "$")] = s
		}
	}
	for i, s := range d.steps {
		depends := get(s.at, "depends")
		for _, n := range list(depends) {
			before := byName[n.Value]
			if before == nil {
				return fmt.Errorf("%d: %s depends on %q, which the DAG does not have", n.Line, s.id, oneLine(n.Value))
			}
			if !slices.Contains(s.needs, before) {
				s.needs = append(s.needs, before)
			}
		}
		if depends == nil && chain && i > 0 {
			s.needs = append(s.needs, d.steps[i-1])
		}
	}
	for _, s := range d.steps {
		if err := s.order(map[*dagStep]bool{}); err != nil {
			return err
		}
	}
	return nil
}

// order finds out which steps run before s.
func (s *dagStep) order(above map[*dagStep]bool) error {
	if above[s] {
		return fmt.Errorf("%d: step %s depends on itself", s.at.Line, s.id)
	}
	if s.before != nil {
		return nil
	}
	above[s] = true
	before := map[*dagStep]bool{}
	for _, n := range s.needs {
		if err := n.order(above); err != nil {
			return err
		}
		before[n] = true
		for b := range n.before {
			before[b] = true
		}
	}
	delete(above, s)
	s.before = before
	return nil
}

var daguReference = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_.-]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)`)

// resolve returns the expression for a reference in step s, which is nil outside of
// steps.
func (d *dag) resolve(s *dagStep, name string) (string, bool) {
	scope, rest, _ := strings.Cut(name, ".")
	switch {
	case name == "context.run.id" || name == "DAG_RUN_ID":
		return "run.id", true
	case scope == "params" && d.params[rest] != "":
		return d.params[rest], true
	case (scope == "env" || scope == "consts") && rest != "":
		name = rest
	case scope == "steps":
		id, field, _ := strings.Cut(rest, ".outputs.")
		for _, other := range d.steps {
			if other.name == id && other.human && s != nil && s.before[other] && plainName.MatchString(field) {
				return "steps." + other.id + ".json?." + field + ` ?? ""`, true
			}
		}
		return "", false
	}
	if of := d.outputs[name]; of != nil && s != nil && s.before[of] {
		return "steps." + of.id + ".output", true
	}
	if e, ok := d.params[name]; ok {
		return e, true
	}
	e, ok := d.env[name]
	return e, ok
}

// text returns a text of dagu with our expressions.
func (d *dag) text(to *yaml.Node, s *dagStep, n *yaml.Node) string {
	var b strings.Builder
	rest := n.Value
	for {
		m := daguReference.FindStringSubmatchIndex(rest)
		if m == nil {
			b.WriteString(literal(rest))
			return b.String()
		}
		whole, name := rest[m[0]:m[1]], ""
		if m[2] >= 0 {
			name = rest[m[2]:m[3]]
		} else {
			name = rest[m[4]:m[5]]
		}
		before, dollar := strings.CutSuffix(literal(rest[:m[0]]), "$")
		b.WriteString(before)
		if dollar {
			b.WriteString(expr(`"$"`))
		}
		e, ok := d.resolve(s, name)
		switch {
		case ok && !d.plain:
			b.WriteString(expr(e))
		default:
			if strings.HasPrefix(whole, "${") || ok {
				d.note(to, n, Changed, "%s is left as a text", whole)
			}
			b.WriteString(whole)
		}
		rest = rest[m[1]:]
	}
}

// script returns a text for Bash in which values are variables, and those variables.
func (d *dag) script(s *dagStep, source string, env *mapping) string {
	var b strings.Builder
	single := false
	for i := 0; i < len(source); {
		if m := daguReference.FindStringSubmatchIndex(source[i:]); m != nil && m[0] == 0 {
			whole, name := source[i:i+m[1]], strings.Trim(source[i+1:i+m[1]], "{}")
			_, isEnv := d.env[strings.TrimPrefix(name, "env.")]
			e, ok := d.resolve(s, name)
			i += m[1]
			if !ok || d.plain || isEnv && shellName.MatchString(name) || single && !strings.HasPrefix(whole, "${") {
				b.WriteString(whole)
				continue
			}
			variable := "INPUT_" + strings.ToUpper(nameOf(name))
			for base, k := variable, 2; env.has(variable) && str(env.node, variable) != expr(e); k++ {
				variable = fmt.Sprintf("%s_%d", base, k)
			}
			env.text(variable, expr(e))
			if single {
				b.WriteString(`'"${` + variable + `}"'`)
			} else {
				b.WriteString("${" + variable + "}")
			}
			continue
		}
		if source[i] == '\'' {
			single = !single
		}
		b.WriteByte(source[i])
		i++
	}
	return literal(b.String())
}

// step makes a step of one of the DAG.
func (d *dag) step(s *dagStep, gate string) *mapping {
	step := newMapping()
	step.text("id", s.id)
	var ids []string
	for _, n := range s.needs {
		ids = append(ids, n.id)
	}
	if len(ids) == 0 && gate != "" {
		ids = append(ids, gate)
	}
	if len(ids) > 0 {
		step.texts("dependencies", ids...)
	}
	d.when(step, s)
	n := s.at
	action := orWord(str(n, "action"), str(n, "type"))
	with := get(n, "with", "config")
	switch {
	case get(n, "parallel", "repeat_policy", "repeatPolicy", "container", "call", "approval", "executor") != nil:
		d.byHand(step, n, "the step "+s.id+" with "+show(n))
		return step
	case action == "harness.run" || action == "harness":
		d.harness(step, s, with)
	case s.human:
		d.human(step, s, with)
	case action == "" && get(n, "run", "command", "script") != nil:
		d.command(step, s, get(n, "run", "command", "script"))
	default:
		d.byHand(step, n, "the step "+s.id+" with "+orWord(action, show(n)))
		return step
	}
	if c := get(n, "continue_on", "continueOn"); c != nil && !s.human {
		d.note(step.text("on_failure", "continue"), c, Changed, "the step continues after any failure, and not only after %s", show(c))
	}
	if !s.human {
		d.attempts(step, n)
	}
	d.dropped(step.node, n, "the step", "id", "name", "description", "depends", "action", "with", "run", "command", "args", "script", "output", "env",
		"continue_on", "continueOn", "retry_policy", "retryPolicy", "timeout_sec", "timeoutSec", "preconditions", "precondition", "working_dir", "dir", "stdin")
	return step
}

// attempts carries over retries and the timeout.
func (d *dag) attempts(step *mapping, n *yaml.Node) {
	if retry := get(n, "retry_policy", "retryPolicy"); retry != nil {
		limit := str(retry, "limit")
		if positive.MatchString(limit) && len(limit) < 3 {
			retries := newMapping()
			retries.set("max", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: limit})
			if wait := str(retry, "interval_sec", "intervalSec"); positive.MatchString(wait) {
				retries.text("backoff", wait+"s")
			}
			step.set("retries", retries.node)
		} else {
			d.note(step.node, retry, Missing, "the retries %s", show(retry))
		}
	}
	if t := str(n, "timeout_sec", "timeoutSec"); positive.MatchString(t) {
		step.text("timeout", t+"s")
	}
}

// when carries over conditions that compare a value with a text.
func (d *dag) when(step *mapping, s *dagStep) {
	n := get(s.at, "preconditions", "precondition")
	if n == nil {
		return
	}
	var conds []string
	for _, c := range list(n) {
		source, expected := str(c, "condition"), get(c, "expected")
		m := daguReference.FindStringSubmatch(source)
		if m != nil && m[0] == source && expected != nil && !strings.HasPrefix(expected.Value, "re:") && !d.plain {
			if e, ok := d.resolve(s, m[1]+m[2]); ok {
				conds = append(conds, "("+e+") == "+quoted(expected.Value))
				continue
			}
		}
		d.note(step.node, c, Missing, "the precondition %s, which is false until it is replaced", show(c))
		conds = append(conds, "false")
	}
	step.text("when", strings.Join(conds, " and "))
}

func (d *dag) harness(step *mapping, s *dagStep, with *yaml.Node) {
	defaults := get(d.doc, "harness")
	provider := orWord(str(with, "provider"), str(defaults, "provider"))
	if provider != "" && provider != "claude" {
		d.note(step.node, with, Changed, "%s did this; here an agent of Claude does", provider)
	}
	step.text("prompt", "You carry out the task that you are given.")
	model := get(with, "model")
	if model == nil && get(with, "provider") == nil {
		model = get(defaults, "model")
	}
	if model != nil && (provider == "" || provider == "claude") {
		d.model(step, model)
	}
	d.note(step.texts("tools", "Read", "Glob", "Grep"), s.at, Changed, "the harness had tools of its own; add Edit, Write or Bash if it is to change anything")
	at := step.text("task", "")
	task := "Carry out your task."
	if p := get(with, "prompt"); p != nil && strings.TrimSpace(p.Value) != "" {
		task = d.text(at, s, p)
	}
	if in := get(with, "stdin"); in != nil {
		task += "\n\n" + d.text(at, s, in)
	}
	step.text("task", task)
	d.dropped(step.node, with, "the harness", "prompt", "stdin", "provider", "model")
}

func (d *dag) human(step *mapping, s *dagStep, with *yaml.Node) {
	approval := newMapping()
	at := approval.text("message", "")
	message := "Go on?"
	if p := get(with, "prompt"); p != nil && strings.TrimSpace(p.Value) != "" {
		message = d.text(at, s, p)
	}
	approval.text("message", message)
	if form := get(with, "form"); form != nil {
		d.schema(approval, form)
	}
	step.set("approval", approval.node)
	d.dropped(step.node, with, "the task", "prompt", "form")
}

func (d *dag) command(step *mapping, s *dagStep, n *yaml.Node) {
	env := newMapping()
	for _, name := range d.envs {
		env.text(name, expr(d.env[name]))
	}
	names, values := pairs(get(s.at, "env"))
	for i, k := range names {
		if shellName.MatchString(k.Value) && values[i].Kind == yaml.ScalarNode {
			at := env.text(k.Value, "")
			env.text(k.Value, d.text(at, s, values[i]))
		}
	}
	run := newMapping()
	switch {
	case n.Kind == yaml.SequenceNode && get(s.at, "run") == nil: // a program and its arguments
		command := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
		for _, c := range n.Content {
			command.Content = append(command.Content, text(d.text(step.node, s, c)))
		}
		run.set("command", command)
	case n.Kind == yaml.SequenceNode:
		lines := []string{"set -e"}
		for _, c := range n.Content {
			lines = append(lines, d.script(s, c.Value, env))
		}
		run.text("command", strings.Join(lines, "\n"))
	default:
		source := n.Value
		if args := get(s.at, "args"); args != nil && args.Kind == yaml.ScalarNode {
			source += " " + args.Value
		}
		run.text("command", d.script(s, source, env))
	}
	if len(env.node.Content) > 0 {
		run.set("env", env.node)
	}
	if dir := get(s.at, "working_dir", "dir"); dir != nil {
		at := run.text("cwd", "")
		run.text("cwd", d.text(at, s, dir))
	}
	step.set("run", run.node)
}
