package importer

import (
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// claudeJSON imports one of the workflows of a claude.json: a list of agents that work
// one after the other on the same task. Its agents are found where they are.
func (im *importer) claudeJSON(doc *yaml.Node, out *mapping) error {
	workflows := get(doc, "workflows")
	agents := get(doc, "agents")
	var names []string
	var chosen *yaml.Node
	name := im.opts.Workflow
	for key, value := range entries(workflows) {
		names = append(names, oneLine(key.Value))
		if key.Value == name || name == "" {
			chosen = value
		}
	}
	switch {
	case len(names) == 0:
		return fmt.Errorf(" the file has no workflows")
	case name == "" && len(names) > 1:
		return fmt.Errorf("%d: the file has %d workflows; say which one: %s", workflows.Line, len(names), strings.Join(names, ", "))
	case chosen == nil:
		return fmt.Errorf("%d: the file has no workflow %q; it has %s", workflows.Line, name, strings.Join(names, ", "))
	case name == "":
		name = names[0]
	}
	if steps := get(chosen, "agents", "steps"); steps != nil {
		chosen = steps
	}
	if chosen.Kind != yaml.SequenceNode || len(chosen.Content) == 0 {
		return fmt.Errorf("%d: workflow %q is not a list of agents", chosen.Line, oneLine(name))
	}
	out.text("name", oneLine(name))
	param := newMapping()
	param.text("description", "what the agents work on")
	params := newMapping()
	params.set("task", param.node)
	out.set("params", params.node)
	var steps []*mapping
	last := ""
	for _, n := range chosen.Content {
		agent := n.Value
		if n.Kind != yaml.ScalarNode {
			agent = str(n, "agent", "name", "id")
		}
		if agent == "" {
			return fmt.Errorf("%d: the workflow names an agent without a name", n.Line)
		}
		step := newMapping()
		id := im.newID(agent)
		step.text("id", id)
		if get(agents, agent) == nil {
			im.note(step.node, n, Changed, "the file has no agent %s; the workflow is only valid where there is one", agent)
		}
		step.text("agent", literal(agent))
		step.text("task", expr("params.task"))
		if last != "" {
			step.texts("dependencies", last)
		}
		im.dropped(step.node, n, "the step", "agent", "name", "id")
		steps = append(steps, step)
		last = id
	}
	out.steps(steps)
	for _, key := range []string{"governance", "rules"} {
		if n := get(doc, key); n != nil {
			im.note(out.node, n, Missing, "%s has no counterpart in a workflow: use hooks, permissions, schema and fail_when", key)
		}
	}
	return nil
}
