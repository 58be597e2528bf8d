package importer

import (
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// recipe is a recipe of goose that is being imported.
type recipe struct {
	*importer
	doc    *yaml.Node
	params map[string]term // by the names in the recipe
	files  []string        // expressions of files to give to the agent
	jinja  jinja
}

func (im *importer) goose(doc *yaml.Node, out *mapping) error {
	if get(doc, "prompt", "instructions") == nil {
		return fmt.Errorf("%d: the recipe has neither prompt nor instructions", doc.Line)
	}
	r := &recipe{importer: im, doc: doc, params: map[string]term{}}
	r.jinja = jinja{im, r.resolve}
	out.text("name", oneLine(str(doc, "title")))
	if d := str(doc, "description"); d != "" {
		out.text("description", d)
	}
	r.parameters(out)
	steps, ids := r.subRecipes()
	main := r.agent(ids)
	if retry := get(doc, "retry"); retry != nil {
		main = r.retry(main, retry)
	}
	steps = append(steps, main)
	out.steps(steps)
	im.dropped(out.node, doc, "the recipe", "version", "title", "description", "author", "instructions", "prompt", "parameters",
		"sub_recipes", "settings", "extensions", "response", "retry", "activities")
	return nil
}

func (r *recipe) resolve(path []string) (term, int, error) {
	t, ok := r.params[path[0]]
	if !ok {
		return term{}, 0, fmt.Errorf("there is no parameter %s", path[0])
	}
	return t, 1, nil
}

// goosePlain are the types of parameters that are ours too.
var goosePlain = map[string]string{"string": "string", "number": "number", "boolean": "boolean", "file": "file"}

func (r *recipe) parameters(out *mapping) {
	params := newMapping()
	for _, n := range list(get(r.doc, "parameters")) {
		key := str(n, "key")
		if key == "" {
			r.note(out.node, n, Missing, "a parameter without a key: %s", show(n))
			continue
		}
		name := nameOf(key)
		p := newMapping()
		at := params.set(name, p.node)
		if name != key {
			r.note(at, n, Changed, "the parameter was called %s", key)
		}
		typ := str(n, "input_type")
		ours := goosePlain[typ]
		def := get(n, "default")
		if ours == "" {
			ours = "string"
			if typ == "select" {
				r.note(at, n, Changed, "any text is taken, not only one of %s", show(orEmpty(get(n, "options"))))
			} else if typ != "" {
				r.note(at, n, Changed, "a %s is taken as a text", typ)
			}
		}
		if ours == "file" {
			r.files = append(r.files, expr("params."+name))
			r.note(at, n, Changed, "the agent is given the file, and texts name it by its path")
		}
		if d := str(n, "description"); d != "" {
			p.text("description", d)
		}
		p.text("type", ours)
		if def != nil && !typed(p, ours, def) {
			r.note(at, def, Changed, "the default is no %s; any value is taken", ours)
			p.text("type", "string")
			p.text("default", def.Value)
		}
		r.params[key] = term{source: "params." + name, kind: termKind(str(p.node, "type")), atom: true}
		if ours == "file" {
			t := r.params[key]
			t.kind = kindString
			r.params[key] = t
		}
		if def == nil && str(n, "requirement") == "optional" {
			r.note(at, n, Changed, "it is optional without a default, so it must be given")
		}
		r.dropped(at, n, "the parameter", "key", "input_type", "requirement", "description", "default", "options")
	}
	if len(params.node.Content) > 0 {
		out.set("params", params.node)
	}
}

func orEmpty(n *yaml.Node) *yaml.Node {
	if n == nil {
		return &yaml.Node{Kind: yaml.SequenceNode}
	}
	return n
}

// typed sets the default of a parameter of one of our plain types. It reports false if
// the value is of another type.
func typed(p *mapping, typ string, def *yaml.Node) bool {
	if def.Kind != yaml.ScalarNode {
		return false
	}
	n := text(def.Value)
	switch typ {
	case "number":
		if !jsonNumber().MatchString(def.Value) {
			return false
		}
		n = &yaml.Node{Kind: yaml.ScalarNode, Value: def.Value}
	case "boolean":
		if def.Value != "true" && def.Value != "false" {
			return false
		}
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: def.Value}
	}
	p.set("default", n)
	return true
}

// subRecipes returns a step for each sub-recipe, which is in another file.
func (r *recipe) subRecipes() (steps []*mapping, ids []string) {
	for _, n := range list(get(r.doc, "sub_recipes")) {
		step := newMapping()
		id := r.newID(str(n, "name"))
		ids = append(ids, id)
		step.text("id", id)
		path := str(n, "path")
		r.note(step.node, n, Changed, "the sub-recipe is the file %s, which the agent chose when to run: import it too, and put workflow: FILE and with: {...} in the place of prompt and task", path)
		step.text("prompt", "You carry out one part of a task.")
		var task strings.Builder
		task.WriteString("Part: " + literal(oneLine(str(n, "name"))) + "\n")
		if d := str(n, "description"); d != "" {
			task.WriteString(literal(d) + "\n")
		}
		for key, value := range entries(get(n, "values")) {
			if value.Kind == yaml.ScalarNode {
				task.WriteString(literal(oneLine(key.Value)) + ": " + r.jinja.template(step.node, value) + "\n")
			}
		}
		step.text("task", task.String())
		if str(n, "sequential_when_repeated") != "" {
			r.note(step.node, n, Missing, "sequential_when_repeated has no counterpart: the parts run side by side")
		}
		steps = append(steps, step)
	}
	return steps, ids
}

// agent returns the step that does what the recipe says, after those with the ids.
func (r *recipe) agent(after []string) *mapping {
	step := newMapping()
	step.text("id", r.newID(str(r.doc, "title")))
	instructions, prompt := get(r.doc, "instructions"), get(r.doc, "prompt")
	task := ""
	split := instructions != nil && !hasTemplate(instructions.Value) && prompt != nil
	if split {
		step.text("prompt", instructions.Value)
	} else { // a system prompt holds no expressions
		step.text("prompt", "You carry out the task that you are given.")
	}
	r.settings(step)
	r.extensions(step)
	at := step.text("task", "")
	if split {
		task = r.jinja.template(at, prompt)
	} else {
		if instructions != nil {
			task = r.jinja.template(at, instructions)
		}
		if prompt != nil {
			if task != "" {
				task += "\n\n"
			}
			task += r.jinja.template(at, prompt)
		}
	}
	step.text("task", task)
	if len(r.files) > 0 {
		step.texts("files", r.files...)
	}
	if len(after) > 0 {
		step.texts("dependencies", after...)
	}
	if schema := get(r.doc, "response"); schema != nil {
		if n := get(schema, "json_schema"); n != nil {
			r.schema(step, n)
		}
		r.dropped(step.node, schema, "response", "json_schema")
	}
	return step
}

func (r *recipe) settings(step *mapping) {
	s := get(r.doc, "settings")
	r.model(step, get(s, "goose_model"))
	if turns := get(s, "max_turns"); turns != nil && positive().MatchString(turns.Value) {
		step.set("max_turns", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: turns.Value})
	}
	r.dropped(step.node, s, "settings", "goose_model", "goose_provider", "max_turns")
}

// extensions gives the agent the tools that stand for the extensions.
func (r *recipe) extensions(step *mapping) {
	for _, n := range list(get(r.doc, "extensions")) {
		name := str(n, "name")
		if name == "developer" {
			r.note(step.texts("tools", "Read", "Glob", "Grep", "Edit", "Write", "Bash"), n, Changed,
				"the extension developer is these tools; what they may do must be granted when the workflow is run")
			continue
		}
		r.note(step.node, n, Missing, "the extension %s: a server is configured in .mcp.json, and its tools are named under tools", name)
	}
}

// retry puts the step into a loop that repeats it until commands succeed.
func (r *recipe) retry(main *mapping, retry *yaml.Node) *mapping {
	group := newMapping()
	group.text("id", r.newID("retry"))
	var after *yaml.Node
	main.node, after = without(main.node, "dependencies")
	if after != nil {
		group.set("dependencies", after)
	}
	most, limited := 1, get(retry, "max_retries")
	if limited != nil && positive().MatchString(limited.Value) {
		most = countOf(limited.Value)
	}
	steps := []*mapping{main}
	until := ""
	for _, n := range list(get(retry, "checks")) {
		command := str(n, "command")
		if t := str(n, "type"); t != "shell" || command == "" || hasTemplate(command) {
			r.note(group.node, n, Missing, "the check %s has no counterpart", show(n))
			continue
		}
		check := newMapping()
		id := r.newID("check")
		check.text("id", id)
		check.text("run", literal(command))
		check.text("on_failure", "continue")
		check.texts("dependencies", str(main.node, "id"))
		steps = append(steps, check)
		if until != "" {
			until += " and "
		}
		until += "steps." + id + `.status == "completed"`
	}
	loop := newMapping()
	loop.number("max", min(most+1, 1000))
	if until != "" {
		loop.text("until", until)
	} else {
		loop.number("max", 1)
	}
	group.set("loop", loop.node)
	group.text("output", expr("steps."+str(main.node, "id")+".output"))
	group.steps(steps)
	r.dropped(group.node, retry, "retry", "max_retries", "checks")
	return group
}
