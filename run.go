package claudeforce

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// RunOptions configure one run of a workflow. The zero value is ready.
type RunOptions struct {
	Params      map[string]string // values of the workflow's parameters
	MaxParallel int               // instead of the workflow's; 0 for that
	Model       string            // instead of every step's
	Policy      llm.Policy        // how the cache treats the calls

	// Drain, when closed, stops the run from starting anything more; what is
	// under way may finish.
	Drain <-chan struct{}

	// Observe is told of every change of a step, one at a time, from the
	// goroutine that called RunWorkflow. Nil means nobody is told.
	Observe func(engine.Event)
}

// ParseWorkflow reads a workflow and checks it against the agents that apply
// in a folder, so that everything wrong is said before anything is spent. An
// error is of type [workflow.Errors]. The name is used in messages only; empty
// folder means the working directory. env names environment variables that
// expressions may read, besides USER and CI.
func ParseWorkflow(dir, name string, data []byte, env ...string) (*workflow.Workflow, error) {
	return workflow.Parse(name, data, workflow.Options{
		AllowEnv:   env,
		CheckAgent: func(name string) error { return CheckAgent(dir, name) },
		Load:       os.ReadFile,
	})
}

// LoadWorkflow is [ParseWorkflow] of a file.
func LoadWorkflow(dir, path string, env ...string) (*workflow.Workflow, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, invalid(fmt.Errorf("reading workflow: %w", err))
	}
	return ParseWorkflow(dir, path, data, env...)
}

// RunWorkflow runs a workflow to its end. The result is complete also if steps
// failed, which [engine.Result.Status] tells. The error is for a run that did
// not begin, since a parameter, an agent or a file is missing: then nothing
// was spent.
func (o *Orchestrator) RunWorkflow(ctx context.Context, wf *workflow.Workflow, opts RunOptions) (*engine.Result, error) {
	params, err := wf.BindParams(opts.Params)
	if err != nil {
		return nil, invalid(err)
	}
	runID := "run_" + strings.ToLower(rand.Text()[:12])
	if err := o.check(ctx, wf, params, runID); err != nil {
		return nil, invalid(err)
	}
	env := map[string]string{}
	for _, name := range wf.EnvNames() {
		env[name] = os.Getenv(name)
	}
	return engine.Run(ctx, wf, engine.Options{
		RunID: runID, Params: params, Env: env,
		Execute: func(ctx context.Context, a engine.Attempt) (engine.Answer, error) {
			return o.attempt(ctx, a, opts)
		},
		Attach:      o.attach,
		MaxParallel: opts.MaxParallel,
		Drain:       opts.Drain,
		Observe:     opts.Observe,
	}), nil
}

func (o *Orchestrator) attempt(ctx context.Context, a engine.Attempt, opts RunOptions) (engine.Answer, error) {
	model := a.Step.Model
	if opts.Model != "" {
		model = opts.Model
	}
	res, err := o.Execute(ctx, Task{
		ID: a.Step.ID, Agent: a.Step.Agent, Text: a.Prompt, Model: model,
		Policy: opts.Policy, MaxTokens: a.Step.MaxTokens, Timeout: a.Step.Timeout,
	}, nil)
	return engine.Answer{Output: res.Output, Source: res.Source, Usage: res.Usage, CostUSD: res.CostUSD}, err
}

func (o *Orchestrator) attach(ctx context.Context, patterns []string) (string, error) {
	files, err := o.files.Read(ctx, patterns, attach.Limits{})
	if err != nil {
		return "", invalid(err)
	}
	return attach.Text(files), nil
}

// check finds what would stop a step before anything is spent on the others:
// agents that are missing, and files that no pattern finds. Patterns that use
// the result of a step cannot be checked yet.
func (o *Orchestrator) check(ctx context.Context, wf *workflow.Workflow, params map[string]any, runID string) error {
	env := workflow.Env{Params: params, Run: map[string]any{"id": runID}, Env: map[string]string{}}
	for _, name := range wf.EnvNames() {
		env.Env[name] = os.Getenv(name)
	}
	var errs []error
	for _, s := range wf.Steps {
		if _, err := o.agent(s.Agent); err != nil {
			errs = append(errs, fmt.Errorf("step %s: %w", s.ID, err))
		}
		for _, f := range s.Files {
			if len(f.Steps()) > 0 {
				continue
			}
			pattern, err := f.Render(env)
			if err == nil {
				err = o.files.Check(ctx, []string{pattern})
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("step %s: %w", s.ID, err))
			}
		}
	}
	return errors.Join(errs...)
}
