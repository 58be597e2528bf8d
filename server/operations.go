package server

import (
	"context"
	"path/filepath"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/lint"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/server/web"
	"github.com/claude-force/claude-force/workflow"
)

// pageOperations returns the operations of the API, for pages.
func (s *Server) pageOperations() web.Operations {
	var schedules web.ScheduleOperations
	if s.opts.Schedules != nil {
		schedules = s.scheduleOperations()
	}
	var hooks web.WebhookOperations
	if s.opts.Webhooks != nil {
		hooks = s.webhookOperations()
	}
	return web.Operations{
		Agents: s.Agents, Agent: s.checkedAgent, Workflows: s.Workflows, Workflow: s.checkedWorkflow,
		Plan: func(ctx context.Context, r web.Start) (*plan.Plan, error) { return s.Plan(ctx, startOf(r)) },
		Start: func(ctx context.Context, r web.Start, key string) (*journal.Run, error) {
			return s.Start(ctx, startOf(r), key)
		},
		Limits: func(ctx context.Context) ([]admission.PoolStatus, error) {
			out, err := s.listLimits(ctx, nil)
			if err != nil {
				return nil, err
			}
			return out.Body.Pools, nil
		},
		Budgets: func(ctx context.Context) ([]pipeline.BudgetStatus, error) {
			out, err := s.listBudgets(ctx, nil)
			if err != nil {
				return nil, err
			}
			return out.Body.Budgets, nil
		},
		Engines: claudeforce.Engines(s.opts.Config, s.store), Keys: s.keyOperations(), Schedules: schedules, Webhooks: hooks,
	}
}

func startOf(r web.Start) StartRun {
	return StartRun{Workflow: r.Workflow, Params: r.Params, BudgetUSD: r.BudgetUSD, Refresh: r.Refresh, Engine: r.Engine}
}

// checkedAgent returns an agent with its prompt, and what is wrong in its file.
func (s *Server) checkedAgent(ctx context.Context, name string) (*agent.Info, []lint.Finding, error) {
	out, err := s.getAgent(ctx, &struct {
		Agent string `path:"agent"`
	}{name})
	if err != nil || out.Body.Source == agent.BuiltinSource {
		return infoOf(out), nil, err
	}
	opts, err := claudeforce.LintOptions(s.opts.Dir, s.opts.Config)
	if err != nil {
		return nil, nil, err
	}
	file := out.Body.Source
	if !filepath.IsAbs(file) {
		file = filepath.Join(s.opts.Dir, file)
	}
	found, _ := lint.File(file, opts)
	for i := range found {
		found[i].File = out.Body.Source
	}
	return &out.Body, found, nil
}

func infoOf(out *struct{ Body agent.Info }) *agent.Info {
	if out == nil {
		return nil
	}
	return &out.Body
}

// checkedWorkflow reads a workflow of the project, and returns what is wrong with its file.
func (s *Server) checkedWorkflow(ctx context.Context, name string) (wf *workflow.Workflow, problems []claudeforce.FileProblem, err error) {
	err = s.runner.use(ctx, s.opts.Dir, s.opts.Settings, func(o *claudeforce.Orchestrator) error {
		wf, err = loadWorkflow(o, s.opts.Dir, name)
		if err != nil {
			problems, err = claudeforce.FileProblems(err)
			return fault.Input(err)
		}
		problems, err = o.CheckWorkflow(ctx, wf)
		return err
	})
	return wf, problems, err
}
