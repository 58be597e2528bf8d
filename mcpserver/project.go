package mcpserver

import (
	"context"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/server"
)

type nothing struct{}

// Agents is what list_agents gives.
type Agents struct {
	Agents   []agent.Info `json:"agents"`
	Warnings []string     `json:"warnings" doc:"what is wrong with files that look like agents"`
}

// Workflows is what list_workflows gives.
type Workflows struct {
	Workflows []claudeforce.WorkflowInfo `json:"workflows"`
	Problems  []string                   `json:"problems" doc:"what is wrong with folders of workflows"`
}

type costsInput struct {
	Days int    `json:"days,omitempty" minimum:"0" maximum:"3650" default:"7" doc:"the last days, which start at a whole hour; 0 for all there is"`
	By   string `json:"by,omitempty" enum:"day,week,month,agent,model,workflow,source,project,key,team" doc:"also give, as groups, the figures of each of these"`
}

// addProject adds the tools that say what there is.
func (t *tools) addProject(s *mcp.Server) {
	add(t, s, "list_agents", "List agents", "List the agents that execute can give tasks to: those of the project, the user and plugins.",
		tool[nothing, Agents]{reads, func(ctx context.Context, _ *mcp.CallToolRequest, _ nothing) (*Agents, error) {
			agents, warnings, err := t.srv.Agents(ctx)
			return &Agents{agents, warnings}, err
		}})
	add(t, s, "list_workflows", "List workflows", "List the workflows of the project that have names, with their parameters. start_run also takes the path of a workflow's file.",
		tool[nothing, Workflows]{reads, func(ctx context.Context, _ *mcp.CallToolRequest, _ nothing) (*Workflows, error) {
			workflows, problems, err := t.srv.Workflows(ctx)
			return &Workflows{workflows, problems}, err
		}})
	add(t, s, "plan", "Plan a run", "Say what a run of a workflow would cost and how long it would take, and what would stop it. Nothing is called and nothing is paid.",
		tool[server.StartRun, plan.Plan]{reads, func(ctx context.Context, _ *mcp.CallToolRequest, in server.StartRun) (*plan.Plan, error) {
			return t.srv.Plan(ctx, in)
		}})
	add(t, s, "costs", "Show costs", "Give the figures of the last days: cost, savings, hit rate of the cache, latency, speed-up.",
		tool[costsInput, analytics.Summary]{reads, func(ctx context.Context, _ *mcp.CallToolRequest, in costsInput) (*analytics.Summary, error) {
			return t.srv.Summary(ctx, in.Days, in.By)
		}})
	add(t, s, "cache", "Show the cache", "Say what the response cache holds and what it has saved.",
		tool[nothing, cache.Stats]{reads, func(ctx context.Context, _ *mcp.CallToolRequest, _ nothing) (*cache.Stats, error) {
			return t.srv.Cache(ctx)
		}})
}
