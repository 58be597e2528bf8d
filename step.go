package claudeforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/promptcache"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/workflow"
)

// stepTask returns the task of a step, without its prompt.
func stepTask(s *workflow.Step, opts *RunOptions) Task {
	policy := opts.cachePolicy()
	switch s.Effects {
	case workflow.EffectsIdempotent, workflow.EffectsOnce:
		policy = llm.PolicyOff // a remembered answer would have no effects
	}
	model, ceiling := cmp.Or(opts.Model, s.Model), ""
	if model == modelselect.Auto && s.Model != modelselect.Auto {
		ceiling = s.Model
	}
	return Task{
		ID: s.ID, Agent: s.Agent, Definition: inlineAgent(s), Model: model, Ceiling: ceiling, Policy: policy,
		Effort: s.Effort, Thinking: thinking(s.Thinking), Temperature: s.Temperature,
		MaxTokens: s.MaxTokens, MaxTurns: s.MaxTurns, Allow: s.Allow, Reads: s.CommandReads, Timeout: s.Timeout, Schema: s.Schema, NoRetry: s.Effects == workflow.EffectsOnce,
		Batch: opts.Batch || s.Latency == workflow.LatencyBatch, Isolation: string(s.Isolation),
		Runner: cmp.Or(opts.Runner, string(s.Runner)),
	}
}

// inlineAgent returns the agent of a step if the workflow's file defines it; else nil.
func inlineAgent(s *workflow.Step) *agent.Agent {
	a := s.Inline
	if a == nil {
		return nil
	}
	return &agent.Agent{Name: s.Agent, Description: a.Description, Prompt: a.Prompt, Tools: a.Tools, AllTools: a.AllTools}
}

// ThinkingOf returns the thinking of a step as [Task] has it; nil if it says nothing of it.
func ThinkingOf(s *workflow.Step) json.RawMessage { return thinking(s.Thinking) }

// thinking returns the thinking of a step as the service has it.
func thinking(t *workflow.Thinking) json.RawMessage {
	switch {
	case t == nil:
		return nil
	case t.Type == workflow.ThinkingEnabled:
		return fmt.Appendf(nil, `{"type":%q,"budget_tokens":%d}`, t.Type, t.Budget)
	}
	return fmt.Appendf(nil, `{"type":%q}`, t.Type)
}

// attempt makes one attempt at a step.
func (o *Orchestrator) attempt(ctx context.Context, a engine.Attempt, opts *RunOptions) (llm.Outcome, error) {
	if a.Act != nil {
		return o.act(ctx, a)
	}
	t := stepTask(a.Step, opts)
	t.Prompt, t.Base, t.Sample = a.Task, a.Base, a.Sample
	t.Turns, t.Keep = a.Turns, a.Keep
	opts.give(&t, a)
	ctx = withAsk(telemetry.Step(ctx, a.Path, a.Item), a)
	if a.Siblings > 1 && (len(t.SharedContext) > a.Own || len(t.Media) > a.OwnMedia || len(t.Conversation) > 0) {
		ctx = o.group(a).Join(ctx)
	}
	if err := o.checkSize(ctx, t); err != nil {
		return llm.Outcome{CostUSD: new(float64)}, err
	}
	res := o.tasks.Run(ctx, t, nil)
	return res.Outcome, res.Err
}

// shared returns the material that an attempt is given, the run's own first.
func (o *RunOptions) shared(a engine.Attempt) []string {
	if o.Attached == "" {
		return a.Shared
	}
	return append([]string{o.Attached}, a.Shared...)
}

// give gives a task the material of an attempt.
func (o *RunOptions) give(t *Task, a engine.Attempt) {
	t.SharedContext, t.Own, t.Media, t.OwnMedia = o.shared(a), a.Own, a.Media, a.OwnMedia
	if c := a.Continues; c != nil {
		t.Conversation, t.Model, t.Ceiling = c.Messages, cmp.Or(c.Model, t.Model), ""
		t.SharedContext = a.Shared // the run's own is in the conversation
	}
}

// group returns the items of a foreach, which are given the same material.
func (o *Orchestrator) group(a engine.Attempt) *promptcache.Group {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := o.groups[a.Step]
	if g == nil {
		g = promptcache.NewGroup(promptcache.Plan{Calls: a.Siblings})
		o.groups[a.Step] = g
	}
	return g
}

// forget drops what was kept for the steps of a run.
func (o *Orchestrator) forget(wf *workflow.Workflow) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range allVariants(wf) {
		delete(o.groups, s)
	}
}

// identify returns the model that a step calls, and what of its agent and
// settings changes its answers.
func (o *Orchestrator) identify(ctx context.Context, s *workflow.Step, opts *RunOptions) engine.Identity {
	if s.Action() != nil {
		return engine.Identity{} // the command is all there is
	}
	t := stepTask(s, opts)
	id, err := o.tasks.Identity(ctx, t)
	if err != nil {
		return engine.Identity{} // the error is reported when the step runs
	}
	found := engine.Identity{Model: id.Model, Parts: opts.parts(id)}
	if id.Varies {
		found.Of = func(a engine.Attempt) engine.Identity {
			t := t
			t.Prompt = a.Task
			opts.give(&t, a)
			id, err := o.tasks.Identity(ctx, t)
			if err != nil {
				return engine.Identity{}
			}
			return engine.Identity{Model: id.Model, Parts: opts.parts(id)}
		}
	}
	return found
}

// parts returns the parts of an identity with what the run gives to every step.
func (o *RunOptions) parts(id task.Identity) map[string]string {
	if o.Attached != "" {
		id.Parts["attached"] = task.Digest([]byte(o.Attached))
	}
	return id.Parts
}

// attach reads the files of a step.
func (o *Orchestrator) attach(ctx context.Context, patterns []string) (engine.Attached, error) {
	files, err := o.files.Read(ctx, patterns, attach.Limits{Media: true, OnNote: func(text string) { o.notice(ctx, text) }})
	if err != nil {
		return engine.Attached{}, invalid(err)
	}
	digests := make(map[string]string, len(files))
	for _, f := range files {
		digests[f.Path] = task.Digest(f.Bytes())
	}
	return engine.Attached{Text: attach.Text(files), Media: attach.Blocks(files), Digests: digests}, nil
}

// maxItems bounds how many files a foreach takes.
const maxItems = 100_000

// glob lists the files that a foreach takes. A pattern that matches none gives no
// items: an empty list is one, wherever it comes from.
func (o *Orchestrator) glob(ctx context.Context, patterns []string) ([]string, error) {
	names := map[string]bool{}
	for _, pattern := range patterns {
		paths, err := o.files.List(ctx, []string{pattern}, attach.Limits{Files: maxItems, OnNote: func(text string) { o.notice(ctx, text) }})
		switch {
		case errors.Is(err, attach.ErrNoMatch):
			o.notice(ctx, fmt.Sprintf("no file matches %s, so that a foreach has no items of it", pattern))
		case err != nil:
			return nil, invalid(err)
		}
		for _, path := range paths {
			names[path] = true
		}
	}
	if len(names) > maxItems {
		return nil, invalid(fmt.Errorf("the patterns of a foreach match more than %d files", maxItems))
	}
	return slices.Sorted(maps.Keys(names)), nil
}
