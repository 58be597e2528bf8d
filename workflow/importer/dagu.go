package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

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
	if most := get(d.doc, "max_active_steps", "maxActiveSteps"); most != nil && positive().MatchString(most.Value) {
		out.set("max_parallel", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: most.Value})
	}
	if t := get(d.doc, "timeout_sec", "timeoutSec"); t != nil && positive().MatchString(t.Value) {
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
var assignment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|\S*)`) })

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
		for _, m := range assignment().FindAllStringSubmatch(n.Value, -1) {
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
			if key == "env" && shellName().MatchString(k.Value) {
				d.envs = append(d.envs, k.Value)
			}
		}
	}
	if len(vars.node.Content) > 0 {
		out.set("vars", vars.node)
	}
}

var shellName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

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

var daguReference = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_.-]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)`)
})

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
			if other.name == id && other.human && s != nil && s.before[other] && plainName().MatchString(field) {
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
		m := daguReference().FindStringSubmatchIndex(rest)
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
