package claudeforce

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
)

// toolsOf returns those of the options' tools that an agent may use, in the order
// in which it names them; nil if there are none.
func (o *Orchestrator) toolsOf(_ context.Context, a *agent.Agent, _ Task) (*task.Tools, error) {
	var chosen []tool.Tool
	if a.AllTools {
		chosen = slices.Clone(o.opts.Tools)
	}
	for _, name := range a.Tools {
		for _, t := range o.opts.Tools {
			if t.Definition().Name == toolName(name) && !slices.Contains(chosen, t) {
				chosen = append(chosen, t)
			}
		}
	}
	chosen = slices.DeleteFunc(chosen, func(t tool.Tool) bool {
		return slices.ContainsFunc(a.DisallowedTools, func(name string) bool { return toolName(name) == t.Definition().Name })
	})
	set, err := tool.NewSet(chosen...)
	if err != nil || len(chosen) == 0 {
		return nil, err
	}
	return &task.Tools{Set: set, Env: func() (*tool.Env, error) { return tool.NewEnv(cmp.Or(o.opts.Dir, "."), tool.Options{}) }}, nil
}

// toolName returns the name of the tool that a rule such as Bash(git:*) is about.
func toolName(rule string) string {
	name, _, _ := strings.Cut(rule, "(")
	return strings.TrimSpace(name)
}
