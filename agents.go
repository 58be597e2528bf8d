package claudeforce

import (
	"fmt"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/workflow"
)

// validateAgents reports what is wrong with the agents of [Options].
func validateAgents(agents []*agent.Agent) error {
	seen := map[string]bool{}
	for i, a := range agents {
		if err := a.Validate(); err != nil {
			return invalid(fmt.Errorf("Options.Agents[%d]: %w", i, err))
		}
		if seen[a.Name] {
			return invalid(fmt.Errorf("Options.Agents[%d]: there are two agents %q", i, a.Name))
		}
		seen[a.Name] = true
	}
	return nil
}

// CheckAgent returns nil if the orchestrator has an agent of this name: one of
// Options.Agents, or of the files that apply in Options.Dir. Else it returns an
// [InputError] that names those there are.
func (o *Orchestrator) CheckAgent(name string) error {
	_, _, err := agent.Find(o.agentDirs, name)
	return invalid(err)
}

// ParseWorkflow reads a workflow as the function [ParseWorkflow] does, in
// Options.Dir. Steps may also name the agents of Options.Agents.
func (o *Orchestrator) ParseWorkflow(name string, data []byte, env ...string) (*workflow.Workflow, error) {
	return parseWorkflow(o.opts.Dir, name, data, env, o.CheckAgent)
}

// LoadWorkflow reads a workflow file as the function [LoadWorkflow] does, in
// Options.Dir. Steps may also name the agents of Options.Agents.
func (o *Orchestrator) LoadWorkflow(path string, env ...string) (*workflow.Workflow, error) {
	name, data, err := readWorkflow(o.opts.Dir, path)
	if err != nil {
		return nil, err
	}
	return o.ParseWorkflow(name, data, env...)
}
