package claudeforce

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/choice"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/prefix"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/workflow"
)

// stepTask is what an attempt at a step asks of its agent.
func (o *Orchestrator) stepTask(s *workflow.Step, opts *RunOptions) Task {
	policy := opts.policyOf()
	switch s.Effects {
	case workflow.EffectsIdempotent, workflow.EffectsOnce:
		policy = llm.PolicyOff // a remembered answer would have no effects
	}
	model, ceiling := cmp.Or(opts.Model, s.Model), ""
	if model == choice.Auto && s.Model != choice.Auto {
		ceiling = s.Model
	}
	return Task{
		ID: s.ID, Agent: s.Agent, Model: model, Ceiling: ceiling, Policy: policy,
		MaxTokens: s.MaxTokens, Timeout: s.Timeout, Schema: s.Schema, Once: s.Effects == workflow.EffectsOnce,
		Batch: opts.Batch || s.Latency == workflow.LatencyBatch,
	}
}

// attempt makes one attempt at a step.
func (o *Orchestrator) attempt(ctx context.Context, a engine.Attempt, opts *RunOptions) (engine.Answer, error) {
	task := o.stepTask(a.Step, opts)
	task.Text, task.Shared = a.Task, a.Shared
	ctx = telemetry.Step(ctx, a.Path, a.Item)
	if a.Siblings > 1 && len(a.Shared) > 0 {
		ctx = o.group(a).Join(ctx)
	}
	res, err := o.Execute(ctx, task, nil)
	return engine.Answer{
		Output: res.Output, Source: res.Source, Model: res.Model, Reason: res.ModelReason, Usage: res.Usage, CostUSD: res.CostUSD,
		Degraded: res.Degraded, Calls: res.calls,
	}, err
}

// group is the items of a foreach, which are given the same material.
func (o *Orchestrator) group(a engine.Attempt) *prefix.Group {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := o.groups[a.Step]
	if g == nil {
		g = prefix.NewGroup(prefix.Plan{Calls: a.Siblings})
		o.groups[a.Step] = g
	}
	return g
}

// forget drops what was kept for the steps of a run.
func (o *Orchestrator) forget(wf *workflow.Workflow) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range allSteps(wf) {
		delete(o.groups, s)
	}
}

// identify says whom a step asks, and what of that changes its answers.
func (o *Orchestrator) identify(s *workflow.Step, opts *RunOptions) engine.Identity {
	a, err := o.agent(s.Agent)
	if err != nil {
		return engine.Identity{} // said when the step is run
	}
	task := o.stepTask(s, opts)
	id := o.identity(s, task, a, nil)
	if o.modelName(task, a) == choice.Auto {
		id.Of = func(at engine.Attempt) engine.Identity {
			task := task
			task.Text = at.Task
			return o.identity(s, task, a, at.Shared)
		}
	}
	return id
}

// identity is that of a step which is given a task with shared material.
func (o *Orchestrator) identity(s *workflow.Step, task Task, a *agent.Agent, shared []string) engine.Identity {
	model, err := o.modelOf(task, a, shared)
	if err != nil {
		return engine.Identity{} // said when the step is run
	}
	parts := map[string]string{
		"agent":      a.Name,
		"agent body": digest([]byte(a.Prompt)),
		"model":      model.id,
		"max_tokens": strconv.Itoa(o.maxTokens(task, a, model.id)),
	}
	if a.Effort != "" {
		parts["effort"] = a.Effort
	}
	if s.Schema != nil {
		parts["schema"] = digest(s.Schema)
	}
	return engine.Identity{Model: model.id, Parts: parts}
}

// attach reads the files of a step.
func (o *Orchestrator) attach(ctx context.Context, patterns []string) (engine.Attached, error) {
	files, err := o.files.Read(ctx, patterns, attach.Limits{})
	if err != nil {
		return engine.Attached{}, invalid(err)
	}
	digests := make(map[string]string, len(files))
	for _, f := range files {
		digests[f.Path] = digest([]byte(f.Content))
	}
	return engine.Attached{Text: attach.Text(files), Digests: digests}, nil
}

// mostItems bounds how many files a foreach takes.
const mostItems = 100_000

// glob lists the files that a foreach takes.
func (o *Orchestrator) glob(ctx context.Context, patterns []string) ([]string, error) {
	paths, err := o.files.List(ctx, patterns, attach.Limits{Files: mostItems})
	if err != nil {
		return nil, invalid(err)
	}
	return paths, nil
}

// digest is a short hash of contents, to tell people and journals whether they
// changed.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
