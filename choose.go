package claudeforce

import (
	"fmt"
	"os"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/choice"
	"github.com/claude-force/claude-force/config"
)

// LoadRules is the rules by which models are chosen: the built-in ones, or those
// of the file that the configuration names.
func LoadRules(cfg *config.Config) (*choice.Rules, error) {
	if cfg.AutoSelect.Rules == "" {
		return choice.Default(), nil
	}
	const hint = "correct the file, or the setting auto_select.rules"
	data, err := os.ReadFile(cfg.AutoSelect.Rules)
	if err != nil {
		return nil, &config.Error{File: cfg.AutoSelect.Rules, Message: fmt.Sprintf("the rules cannot be read: %v", err), Hint: hint}
	}
	prices, err := LoadPrices(cfg)
	if err != nil {
		return nil, err
	}
	rules, err := choice.Parse(data, prices)
	if err != nil {
		return nil, &config.Error{File: cfg.AutoSelect.Rules, Message: err.Error(), Hint: hint}
	}
	return rules, nil
}

// pick is the model for a task.
type pick struct {
	id     string
	reason string // why it was chosen; empty if it was named
	// insteadOf is the id of the model that the task would be given if none were
	// chosen; empty if the model was named, or nothing names another.
	insteadOf string
}

// modelOf is the model for a task that is given shared material. The same task is
// given the same model every time.
func (o *Orchestrator) modelOf(task Task, a *agent.Agent, shared []string) (pick, error) {
	prices := o.priceTable()
	name := o.modelName(task, a)
	if name != choice.Auto {
		id, notice := prices.Resolve(name)
		o.notice(notice)
		return pick{id: id}, nil
	}
	rules, err := o.rules()
	if err != nil {
		return pick{}, invalid(err)
	}
	t := choice.Task{
		Agent: a.Name, MaxTokens: task.MaxTokens, Effort: a.Effort, Schema: task.Schema != nil,
		Tools:  !a.AllTools && len(a.Tools) > 0,
		Prompt: choice.Tokens(prices, a.Prompt, task.Text, string(task.Schema)) + choice.Tokens(prices, shared...),
		Floor:  choice.Bound{Model: a.ModelFloor, Why: "the agent's floor"},
	}
	if t.MaxTokens == 0 {
		t.MaxTokens = a.MaxTokens
	}
	p := pick{insteadOf: o.unchosen(task, a)}
	var named bool
	t.Ceiling, named = ceiling(task, a)
	if named && !rules.Knows(prices, t.Ceiling.Model) {
		id, notice := prices.Resolve(t.Ceiling.Model)
		o.notice(notice)
		p.id, p.reason = id, t.Ceiling.Why+", which is none of the models to choose from"
		return p, nil
	}
	chosen, err := rules.Choose(prices, t)
	if err != nil {
		return pick{}, invalid(fmt.Errorf("choosing a model for %s: %w", a.Name, err))
	}
	p.id, p.reason = chosen.Model, chosen.Reason
	return p, nil
}

// unchosen is the id of the model that a task would be given if none were chosen:
// the one it came with, else its agent's, else the configured; empty if none of
// them names one.
func (o *Orchestrator) unchosen(task Task, a *agent.Agent) string {
	for _, name := range []string{task.Ceiling, a.Model, o.config.Model} {
		if name != "" && name != inherit && name != choice.Auto {
			id, _ := o.priceTable().Resolve(name)
			return id
		}
	}
	return ""
}

// ceiling is the strongest model that may be chosen for a task, and whether it is
// one that the task would be given if none were chosen: who names a model has
// said that this one is enough.
func ceiling(task Task, a *agent.Agent) (b choice.Bound, named bool) {
	switch {
	case task.Ceiling != "" && task.Ceiling != inherit:
		return choice.Bound{Model: task.Ceiling, Why: "the task's model"}, true
	case a.ModelCeiling != "":
		return choice.Bound{Model: a.ModelCeiling, Why: "the agent's ceiling"}, false
	case a.Model != "" && a.Model != choice.Auto:
		return choice.Bound{Model: a.Model, Why: "the agent's model"}, true
	}
	return choice.Bound{}, false
}
