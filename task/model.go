package task

import (
	"cmp"
	"context"
	"fmt"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/modelselect"
)

// Selection is the model of a task, and how it was found.
type Selection struct {
	ID     string
	Reason string // why it was selected; empty if it was named

	// InsteadOf is the id of the model that the task would have without a
	// selection. It is empty if the model was named, or nothing names another.
	InsteadOf string
}

// inherit is a model name that names none, in agent files and steps.
const inherit = "inherit"

// modelName returns the model name that wins: the task's, the agent's, the
// default.
func (r *Runner) modelName(t Task, a *agent.Agent) string {
	for _, name := range []string{t.Model, a.Model} {
		if name != "" && name != inherit {
			return name
		}
	}
	return r.Defaults.Model
}

// CheckModel reports what is wrong with the model of a task and its settings, as far as
// it can be known before its prompt is.
func (r *Runner) CheckModel(ctx context.Context, t Task) error {
	a, err := r.agent(ctx, t)
	if err != nil {
		return err
	}
	model, err := r.selectModel(ctx, t, a, nil)
	if err != nil {
		return err
	}
	if err := r.checkExists(t, a, model.ID); err != nil {
		return err
	}
	if len(t.Media) > 0 {
		if err := r.checkMedia(model.ID); err != nil {
			return err
		}
	}
	return r.checkSettings(t, model.ID, r.maxTokens(t, a, model.ID))
}

// checkExists returns an [fault.InputError] if there is no model with an id. Other programs
// have names of their own.
func (r *Runner) checkExists(t Task, a *agent.Agent, id string) error {
	if r.MayExist == nil || runnerOf(t, a) != RunnerBuiltin || r.MayExist(id) {
		return nil
	}
	return fault.Input(fmt.Errorf("no model is named %q; use an alias such as haiku, sonnet or opus, or a model's id", id))
}

// selectModel returns the model for a task that is given shared context. The same
// task has the same model every time.
func (r *Runner) selectModel(ctx context.Context, t Task, a *agent.Agent, shared []string) (Selection, error) {
	name := r.modelName(t, a)
	if name != modelselect.Auto {
		return Selection{ID: r.resolve(ctx, name)}, nil
	}
	rules := modelselect.Default()
	if r.Rules != nil {
		var err error
		if rules, err = r.Rules(); err != nil {
			return Selection{}, fault.Input(err)
		}
	}
	features := modelselect.Task{
		Agent: a.Name, MaxTokens: t.MaxTokens, Effort: cmp.Or(t.Effort, a.Effort), Schema: t.Schema != nil,
		Tools:  r.Tools != nil && !a.AllTools && len(a.Tools) > 0,
		Prompt: modelselect.Tokens(r.Prices, a.Prompt, t.Prompt, string(t.Schema)) + modelselect.Tokens(r.Prices, shared...),
		Floor:  modelselect.Bound{Model: a.ModelFloor, Why: "the agent's floor"},
	}
	if features.MaxTokens == 0 {
		features.MaxTokens = a.MaxTokens
	}
	selection := Selection{InsteadOf: r.withoutSelection(t, a)}
	var named bool
	features.Ceiling, named = ceiling(t, a)
	if named && !rules.Knows(r.Prices, features.Ceiling.Model) {
		selection.ID = r.resolve(ctx, features.Ceiling.Model)
		selection.Reason = features.Ceiling.Why + ", which is not one of the models to choose from"
		return selection, nil
	}
	chosen, err := rules.Choose(r.Prices, features)
	if err != nil {
		return Selection{}, fault.Input(fmt.Errorf("selecting a model for %s: %w", a.Name, err))
	}
	selection.ID = chosen.Model
	selection.Reason = chosen.Reason
	return selection, nil
}

// resolve returns the id of the model that a name stands for, and passes the
// table's notice on.
func (r *Runner) resolve(ctx context.Context, name string) string {
	id, notice := r.Prices.Resolve(name)
	r.notice(ctx, notice)
	return id
}

// withoutSelection returns the id of the model that a task would have without a
// selection: the one it came with, else its agent's, else the default. It returns
// an empty string if none of them names one.
func (r *Runner) withoutSelection(t Task, a *agent.Agent) string {
	for _, name := range []string{t.Ceiling, a.Model, r.Defaults.Model} {
		if name != "" && name != inherit && name != modelselect.Auto {
			id, _ := r.Prices.Resolve(name)
			return id
		}
	}
	return ""
}

// ceiling returns the strongest model that may be selected for a task, and
// whether it is one that the task would have without a selection: who names a
// model has said that this one is enough.
func ceiling(t Task, a *agent.Agent) (bound modelselect.Bound, named bool) {
	switch {
	case t.Ceiling != "" && t.Ceiling != inherit:
		return modelselect.Bound{Model: t.Ceiling, Why: "the task's model"}, true
	case a.ModelCeiling != "":
		return modelselect.Bound{Model: a.ModelCeiling, Why: "the agent's ceiling"}, false
	case a.Model != "" && a.Model != modelselect.Auto:
		return modelselect.Bound{Model: a.Model, Why: "the agent's model"}, true
	}
	return modelselect.Bound{}, false
}
