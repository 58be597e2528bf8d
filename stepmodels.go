package claudeforce

import (
	"context"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/workflow"
)

// CheckModels returns the steps of a workflow whose models do not exist, those whose
// settings, such as effort and temperature, their models do not take, as far as that is known before a run, and those
// whose runner is not installed. The
// settings and agents are those of a folder; empty means the working directory. The error
// is of type [workflow.Errors].
func CheckModels(ctx context.Context, cfg *config.Config, dir string, wf *workflow.Workflow) error {
	prices, err := pipeline.LoadPrices(cfg)
	if err != nil {
		return err
	}
	set, _, err := Agents(dir)
	if err != nil {
		return err
	}
	runner := &task.Runner{
		Agents:   func(_ context.Context, name string) (*agent.Agent, error) { return set.Lookup(name) },
		Prices:   prices,
		MayExist: pipeline.ModelNames(cfg, pipeline.Options{}, prices),
		Rules:    func() (*modelselect.Rules, error) { return loadRules(cfg) },
		Defaults: task.Defaults{Model: cfg.Model, MaxTokens: cfg.MaxTokens},
	}
	var errs workflow.Errors
	for file, w := range wf.All() {
		for s := range ownSteps(w) {
			if s.Agent == "" {
				continue
			}
			for _, v := range s.Variants() {
				err := runner.CheckModel(ctx, stepTask(v, &RunOptions{}))
				if err == nil {
					err = checkRunner(ctx, runner, stepTask(v, &RunOptions{}))
				}
				if err != nil {
					errs = append(errs, &workflow.Error{File: file, Line: s.Line, Column: s.Column, Message: "step " + s.ID + ": " + err.Error(), Err: err})
				}
			}
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}
