package importer

import (
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

func (c *conductor) agentStep(step *mapping, n *yaml.Node, j jinja) {
	system, prompt := get(n, "system_prompt"), get(n, "prompt")
	task := ""
	who := orWord(oneLine(str(n, "description")), "You carry out the task that you are given.")
	if system != nil && !hasTemplate(system.Value) && strings.TrimSpace(system.Value) != "" {
		who, system = system.Value, nil
	}
	step.text("prompt", who)
	c.model(step, get(n, "model"))
	switch tools := get(n, "tools"); {
	case tools == nil && c.tools:
		step.texts("tools", "Read", "Glob", "Grep")
	case tools != nil && len(tools.Content) > 0:
		c.note(step.texts("tools", "Read", "Glob", "Grep"), tools, Changed, "the tools were %s", show(tools))
	}
	if turns := get(n, "max_agent_iterations"); turns != nil && positive().MatchString(turns.Value) {
		step.set("max_turns", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: turns.Value})
	}
	if effort := str(get(n, "reasoning"), "effort"); effort != "" {
		if m := str(step.node, "model"); (m == "opus" || m == "sonnet") && slices.Contains([]string{"low", "medium", "high", "xhigh", "max"}, effort) {
			step.text("effort", effort)
		} else {
			c.note(step.node, get(n, "reasoning"), Missing, "the effort %s: set it for a model that takes it", effort)
		}
	}
	if t := get(n, "timeout_seconds", "max_session_seconds"); t != nil {
		step.text("timeout", duration(t.Value))
	}
	if retry := get(n, "retry"); retry != nil {
		attempts := 1
		if most := str(retry, "max_attempts"); positive().MatchString(most) {
			attempts = countOf(most)
		}
		if attempts > 1 {
			retries := newMapping()
			retries.number("max", min(attempts-1, 10))
			if delay := get(retry, "delay_seconds"); delay != nil {
				retries.text("backoff", duration(delay.Value))
			}
			step.set("retries", retries.node)
		}
	}
	at := step.text("task", "")
	for _, part := range []*yaml.Node{system, prompt} {
		if part == nil {
			continue
		}
		if task != "" {
			task += "\n"
		}
		task += j.template(at, part)
	}
	if strings.TrimSpace(task) == "" {
		task = "Carry out your task."
	}
	step.text("task", task)
	if fields := get(n, "output"); fields != nil && len(fields.Content) > 0 {
		c.schema(step, conductorSchema(fields))
	}
}

func (c *conductor) gate(step *mapping, f *flowNode, j jinja) {
	approval := newMapping()
	at := approval.text("message", "")
	message := "Go on?"
	if prompt := get(f.at, "prompt"); prompt != nil && strings.TrimSpace(prompt.Value) != "" {
		message = j.template(at, prompt)
	}
	var choices []string
	fields := newMapping()
	selected := newMapping()
	for _, n := range list(get(f.at, "options")) {
		answer := answerOf(n)
		if answer == "" || slices.Contains(choices, answer) {
			continue
		}
		choices = append(choices, answer)
		if label := str(n, "label"); label != "" && oneLine(label) != answer {
			message = strings.TrimRight(message, "\n") + "\n" + literal(answer) + ": " + literal(oneLine(label))
		}
		if name := str(n, "prompt_for"); name != "" {
			field := newMapping()
			field.text("type", "string")
			fields.set(nameOf(name), field.node)
		}
	}
	approval.text("message", message)
	switch {
	case f.asksFields():
		selected.text("type", "string")
		selected.texts("enum", choices...)
		properties := newMapping()
		properties.set("selected", selected.node)
		properties.node.Content = append(properties.node.Content, fields.node.Content...)
		schema := newMapping()
		schema.text("type", "object")
		schema.texts("required", "selected")
		schema.set("properties", properties.node)
		approval.set("schema", schema.node)
	case len(choices) > 0:
		approval.texts("choices", choices...)
	}
	step.set("approval", approval.node)
}

func (c *conductor) script(step *mapping, n *yaml.Node, j jinja) {
	at := step.set("run", nil)
	command := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	first := get(n, "command")
	if first == nil || strings.TrimSpace(first.Value) == "" {
		first = text("true")
	}
	args := list(get(n, "args"))
	if len(args) == 0 && !hasTemplate(first.Value) && strings.ContainsAny(first.Value, " \n|&;<>") {
		command = text(literal(first.Value))
	} else {
		command.Content = append(command.Content, text(j.template(at, first)))
		for _, arg := range args {
			command.Content = append(command.Content, text(j.template(at, arg)))
		}
	}
	run := newMapping()
	run.set("command", command)
	if stdin := get(n, "stdin"); stdin != nil {
		run.text("stdin", j.template(at, stdin))
	}
	env := newMapping()
	for key, value := range entries(get(n, "env")) {
		env.text(key.Value, j.template(at, value))
	}
	if len(env.node.Content) > 0 {
		run.set("env", env.node)
	}
	if dir := get(n, "working_dir"); dir != nil {
		run.text("cwd", j.template(at, dir))
	}
	if fields := get(n, "output"); fields != nil && len(fields.Content) > 0 {
		run.text("output", "json")
	}
	if len(run.node.Content) == 2 {
		step.set("run", command)
	} else {
		step.set("run", run.node)
	}
	if t := get(n, "timeout"); t != nil {
		step.text("timeout", duration(t.Value))
	}
	step.text("on_failure", "continue") // routes say what a failure means
}

// output says what the workflow amounts to.
func (c *conductor) output(out *mapping, root *flowLevel) {
	fields := get(c.doc, "output")
	if fields == nil || len(fields.Content) == 0 {
		return
	}
	at := out.text("output", "")
	var parts []string
	j := jinja{c.importer, c.names(viewpoint{level: root})}
	for key, n := range entries(fields) {
		parts = append(parts, quoted(key.Value)+": "+j.expression(at, n))
	}
	out.text("output", expr("{"+strings.Join(parts, ",\n  ")+"}"))
}
