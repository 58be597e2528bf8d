package main

import (
	"context"
	"fmt"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/workflow"
)

// runEngine writes a run down for the workers of an engine, and follows it. An interrupt
// leaves the run to them.
func (a *app) runEngine(ctx context.Context, orch *claudeforce.Orchestrator, wf *workflow.Workflow, f *runFlags, opts claudeforce.RunOptions) error {
	id, err := orch.SubmitRun(ctx, wf, opts)
	if err != nil {
		return err
	}
	switch {
	case f.detach && f.json:
		return printJSON(a.stdout, map[string]string{"run_id": id})
	case f.detach:
		a.say("see it with `claude-force runs watch %s`", id)
		_, err := fmt.Fprintln(a.stdout, id)
		return err
	}
	store, err := orch.History(ctx)
	if err != nil {
		return err
	}
	return a.followElsewhere(ctx, store, id, "at the workers of "+f.engine, "", ending{json: f.json, all: f.all, plan: opts.Plan, reports: f.reports, output: f.output})
}
