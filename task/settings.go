package task

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
)

// configureModel adds the thinking and the temperature of a task to a request.
func (r *Runner) configureModel(req *llm.Request, t Task) error {
	if err := r.checkSettings(t, req.Model, req.MaxTokens); err != nil {
		return err
	}
	req.Thinking = t.Thinking
	if t.Temperature == nil || !r.samples(req.Model) {
		return nil
	}
	value, err := json.Marshal(*t.Temperature)
	if err != nil {
		return fmt.Errorf("encoding the temperature of the task for %s: %w", t.Agent, err)
	}
	req.Extra = map[string]json.RawMessage{"temperature": value}
	return nil
}

// samples reports whether a model may take a temperature: also if it is not known.
func (r *Runner) samples(model string) bool {
	info, _ := r.Prices.Info(model)
	return info.Temperature || info.Thinking == nil
}

// checkSettings returns an error for a setting of a task that its model does not take,
// as far as that is known.
func (r *Runner) checkSettings(t Task, model string, maxTokens int) error {
	info, _ := r.Prices.Info(model)
	known := info.Thinking != nil
	var thinking struct {
		Type   string `json:"type"`
		Budget int    `json:"budget_tokens"`
	}
	if t.Thinking != nil {
		if err := json.Unmarshal(t.Thinking, &thinking); err != nil {
			return fault.Input(fmt.Errorf("reading the thinking of the task for %s: %w", t.Agent, err))
		}
	}
	var problem string
	switch {
	case known && t.Effort != "" && !slices.Contains(info.Efforts, t.Effort):
		problem = fmt.Sprintf("takes no effort %s; %s", t.Effort, takes(info.Efforts, "it takes none"))
	case known && thinking.Type != "" && !slices.Contains(info.Thinking, thinking.Type):
		kinds := slices.Clone(info.Thinking)
		if i := slices.Index(kinds, "enabled"); i >= 0 {
			kinds[i] = "a number of tokens"
		}
		asked := thinking.Type
		if asked == "enabled" {
			asked = fmt.Sprintf("%d (a number of tokens)", thinking.Budget)
		}
		problem = fmt.Sprintf("does not take thinking: %s; %s", asked, takes(kinds, "it takes none"))
	case thinking.Budget > 0 && thinking.Budget >= maxTokens:
		problem = fmt.Sprintf("is to think with %d tokens, which leaves no room for an answer within max_tokens %d; raise max_tokens", thinking.Budget, maxTokens)
	case t.Temperature != nil && *t.Temperature != 1 && !r.samples(model):
		problem = "takes no temperature; remove it, say with effort how much work it does, or name one that takes it: " + strings.Join(r.sampling(), ", ")
	case t.Temperature != nil && r.samples(model) && t.Batch:
		problem = "takes no temperature in a message batch; remove one of them"
	default:
		return nil
	}
	return fault.Input(fmt.Errorf("model %s %s", model, problem))
}

// takes says what a model takes of a kind.
func takes(known []string, none string) string {
	if len(known) == 0 {
		return none
	}
	return "it takes " + strings.Join(known, ", ")
}

// sampling lists the models that take a temperature.
func (r *Runner) sampling() (ids []string) {
	for _, m := range r.Prices.Models {
		if m.Temperature {
			ids = append(ids, m.ID)
		}
	}
	return ids
}
