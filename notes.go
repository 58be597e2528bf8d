package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/workflow"
)

// noteSettings tells the user of settings that have no effect: variables that do not
// exist, and names of agents that do not.
func (o *Orchestrator) noteSettings(ctx context.Context) {
	for _, note := range o.config.Notes {
		o.notice(ctx, note)
	}
	check := func(setting string, names []string) {
		if o.config.Origin(setting) == "default" {
			return
		}
		for _, name := range names {
			_, _, err := agent.Find(o.agentDirs, name)
			unknown, ok := errors.AsType[*agent.UnknownError](err)
			if !ok {
				continue
			}
			hint := ""
			if unknown.Suggestion != "" {
				hint = fmt.Sprintf(" (did you mean %s?)", unknown.Suggestion)
			}
			o.notice(ctx, fmt.Sprintf("%s: %s names the agent %q, which is not known here%s", o.config.Origin(setting), setting, name, hint))
		}
	}
	check("cache.exclude_agents", o.config.Cache.ExcludeAgents)
	check("cache.agent_ttl", slices.Sorted(maps.Keys(o.config.Cache.AgentTTL)))
}

// noteParallel tells the user of a max_parallel that the limit of calls in flight does
// not allow.
func (o *Orchestrator) noteParallel(ctx context.Context, wf *workflow.Workflow, opts RunOptions) {
	most := wf.MaxParallel
	if opts.MaxParallel > 0 {
		most = opts.MaxParallel
	}
	for s := range allSteps(wf) {
		if s.Foreach != nil && s.Latency != workflow.LatencyBatch {
			most = max(most, s.Foreach.MaxParallel)
		}
	}
	if jobs := o.config.Jobs; most > jobs && !opts.Batch {
		o.notice(ctx, fmt.Sprintf("max_parallel %d is more than the %d calls that may be in flight at once; raise jobs to use it", most, jobs))
	}
}
