package server

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/cache"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// The operations of the API, for other protocols. Errors are for [Server.Problem].

// Start starts a run. With a key that an earlier request had, it returns the run of
// that one; an empty key is none.
func (s *Server) Start(ctx context.Context, r StartRun, key string) (*journal.Run, error) {
	return accepted(s.startRun(ctx, &startRunInput{IdempotencyKey: key, Body: r}))
}

// accepted returns the run of an answer.
func accepted(out *acceptedOutput, err error) (*journal.Run, error) {
	if err != nil {
		return nil, err
	}
	return &out.Body, nil
}

// Execute is a task for an agent.
type Execute struct {
	Agent     string   `json:"agent" minLength:"1" doc:"name of an agent of the project, the user or a plugin" example:"code-reviewer"`
	Task      string   `json:"task" minLength:"1" doc:"what the agent is asked"`
	Files     []string `json:"files,omitempty" doc:"patterns of files of the project that the agent is given" example:"[\"src/**/*.go\"]"`
	Model     string   `json:"model,omitempty" doc:"instead of the agent's"`
	BudgetUSD *float64 `json:"budget_usd,omitempty" minimum:"0" doc:"most US dollars; 0 allows nothing that costs"`
}

// Execute starts a run that gives an agent a task. The key is as of [Server.Start].
func (s *Server) Execute(ctx context.Context, x Execute, key string) (*journal.Run, error) {
	id, digest, err := identify(ctx, key, x)
	if err != nil {
		return nil, err
	}
	if key != "" {
		if out, err := s.startedBefore(ctx, id, digest); out != nil || err != nil {
			return accepted(out, err)
		}
	}
	if err := claudeforce.CheckAgent(s.opts.Dir, x.Agent); err != nil {
		return nil, err
	}
	err = s.runner.use(ctx, s.opts.Dir, s.opts.Settings, func(o *claudeforce.Orchestrator) error {
		opts := claudeforce.RunOptions{Budget: workflow.Budget{USD: x.BudgetUSD}}
		s.mark(ctx, &opts, id, digest)
		tasks := []runs.Task{{ID: x.Agent, Agent: x.Agent, Prompt: x.Task, Model: x.Model, Files: x.Files}}
		_, err := o.SubmitTasks(ctx, x.Agent, tasks, opts)
		return err
	})
	return accepted(s.started(ctx, id, digest, "", err))
}

// Plan says what a run would cost and how long it would take.
func (s *Server) Plan(ctx context.Context, r StartRun) (*plan.Plan, error) {
	out, err := s.planRun(ctx, &struct{ Body StartRun }{r})
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Resume resumes a run that was stopped, failed or crashed.
func (s *Server) Resume(ctx context.Context, run string, r ResumeRun) (*journal.Run, error) {
	return accepted(s.resumeRun(ctx, &resumeRunInput{RunID{run}, &r}))
}

// Cancel stops a run, which can be resumed. It reports whether a process drives the run, which then
// stops soon.
func (s *Server) Cancel(ctx context.Context, run string) (signaled bool, err error) {
	id, err := s.changeable(ctx, run)
	if err != nil {
		return false, err
	}
	return runs.Cancel(ctx, s.store, id)
}

// Answer answers an approval that a run waits for, and returns its step.
func (s *Server) Answer(ctx context.Context, run string, a Answer) (step string, err error) {
	out, err := s.answer(ctx, &struct {
		RunID
		Body Answer
	}{RunID{run}, a})
	if err != nil {
		return "", err
	}
	return out.Body.Step, nil
}

// Find returns the row of a run.
func (s *Server) Find(ctx context.Context, run string) (*journal.Run, error) {
	found, err := runs.Find(ctx, s.store, run)
	if err != nil {
		return nil, err
	}
	found = runs.WithStatus(found)
	return &found, nil
}

// Load returns all that is known of a run. Others have the same value: it must not be
// changed.
func (s *Server) Load(ctx context.Context, run string) (*runs.Detail, error) {
	return s.runs.Load(ctx, run)
}

// Watch yields what happens in a run, from its start until it makes no more events.
func (s *Server) Watch(ctx context.Context, run string) iter.Seq2[runs.Change, error] {
	return runs.Watch(ctx, s.store, run)
}

// Approvals lists the approvals that a run waits for.
func (s *Server) Approvals(ctx context.Context, run string) ([]Approval, error) {
	out, err := s.listApprovals(ctx, &RunID{run})
	if err != nil {
		return nil, err
	}
	return out.Body.Approvals, nil
}

// Agents lists the agents of the project, the user and plugins, and what is wrong with
// files that look like agents.
func (s *Server) Agents(ctx context.Context) (agents []agent.Info, warnings []string, err error) {
	out, err := s.listAgents(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	return out.Body.Agents, out.Body.Warnings, nil
}

// Workflows lists the workflows that have names, and what is wrong with their folders.
func (s *Server) Workflows(ctx context.Context) (workflows []claudeforce.WorkflowInfo, problems []string, err error) {
	out, err := s.listWorkflows(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	return out.Body.Workflows, out.Body.Problems, nil
}

// Summary returns the figures of the last days; 0 means all there is. By is a dimension by
// which they are given too; empty for none.
func (s *Server) Summary(ctx context.Context, days int, by string) (*analytics.Summary, error) {
	out, err := s.getSummary(ctx, &summaryInput{Days: days, By: by})
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}

// Cache says what the response cache holds and what it has saved.
func (s *Server) Cache(ctx context.Context) (*cache.Stats, error) {
	out, err := s.getCache(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &out.Body, nil
}

// Schema returns the JSON Schema of a struct type, which does not contain itself, as the
// description of the API has it. What it refers to is in its $defs.
func Schema(t reflect.Type) ([]byte, error) {
	const prefix = "#/$defs/"
	registry := huma.NewMapRegistry(prefix, schemaName)
	root := registry.Schema(t, false, "")
	data, err := json.Marshal(root)
	if err != nil {
		return nil, fmt.Errorf("writing the schema of %s: %w", t, err)
	}
	whole := map[string]any{}
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, fmt.Errorf("writing the schema of %s: %w", t, err)
	}
	defs := registry.Map()
	delete(defs, schemaName(t, "")) // it is the whole
	if len(defs) > 0 {
		whole["$defs"] = defs
	}
	return json.Marshal(whole)
}
