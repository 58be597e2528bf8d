package web

import (
	"context"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/lint"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/workflow"
)

// Operations are those of the API that pages use beside the ones on runs. All must be
// set unless they say otherwise.
type Operations struct {
	Agents    func(context.Context) (agents []agent.Info, warnings []string, err error)
	Agent     func(ctx context.Context, name string) (*agent.Info, []lint.Finding, error)
	Workflows func(context.Context) (workflows []claudeforce.WorkflowInfo, problems []string, err error)

	// Workflow reads a workflow by its name, or its path within the project, and returns
	// what is wrong with its file. It is nil if it cannot be read for that.
	Workflow func(ctx context.Context, name string) (*workflow.Workflow, []claudeforce.FileProblem, error)

	Plan func(context.Context, Start) (*plan.Plan, error)
	// Start starts a run. If one was started with the same key, it returns that.
	Start func(ctx context.Context, s Start, key string) (*journal.Run, error)

	// Engines are the names of those that a run can be started for; none if the store
	// cannot be shared with one.
	Engines []string

	Limits  func(context.Context) ([]admission.PoolStatus, error)
	Budgets func(context.Context) ([]pipeline.BudgetStatus, error)

	Keys      KeyOperations
	Schedules ScheduleOperations // none for a server that follows none
	Webhooks  WebhookOperations  // none for a server that sends to none
}

// Start is what is run.
type Start struct {
	Workflow  string
	Params    map[string]string
	BudgetUSD *float64 // nil for the workflow's own
	Refresh   bool     // make every call again
	Engine    string   // that executes it; empty for the server
}
