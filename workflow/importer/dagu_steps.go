package importer

import (
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// script returns a text for Bash in which values are variables, and those variables.
func (d *dag) script(s *dagStep, source string, env *mapping) string {
	var b strings.Builder
	single := false
	for i := 0; i < len(source); {
		if m := daguReference().FindStringSubmatchIndex(source[i:]); m != nil && m[0] == 0 {
			whole, name := source[i:i+m[1]], strings.Trim(source[i+1:i+m[1]], "{}")
			_, isEnv := d.env[strings.TrimPrefix(name, "env.")]
			e, ok := d.resolve(s, name)
			i += m[1]
			if !ok || d.plain || isEnv && shellName().MatchString(name) || single && !strings.HasPrefix(whole, "${") {
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
		if positive().MatchString(limit) && len(limit) < 3 {
			retries := newMapping()
			retries.set("max", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: limit})
			if wait := str(retry, "interval_sec", "intervalSec"); positive().MatchString(wait) {
				retries.text("backoff", wait+"s")
			}
			step.set("retries", retries.node)
		} else {
			d.note(step.node, retry, Missing, "the retries %s", show(retry))
		}
	}
	if t := str(n, "timeout_sec", "timeoutSec"); positive().MatchString(t) {
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
		m := daguReference().FindStringSubmatch(source)
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
		if shellName().MatchString(k.Value) && values[i].Kind == yaml.ScalarNode {
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
