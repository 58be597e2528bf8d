package runs

import (
	"slices"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

// OutputValue returns what a run is for: the value of its only output, or of each step
// that no other uses, by id.
func OutputValue(wf *workflow.Workflow, res *engine.Result, all bool) any {
	if OutputAlone(wf, res) && !all {
		return ParsedOutput(&workflow.Step{}, res.Output)
	}
	ids := LastSteps(wf, res)
	if len(ids) == 1 && !all {
		return StepValue(wf.Step(ids[0]), res.Steps[ids[0]])
	}
	values := map[string]any{}
	for _, s := range wf.Steps {
		if step := res.Steps[s.ID]; step.Output != "" && (all || slices.Contains(ids, s.ID)) {
			values[s.ID] = StepValue(s, step)
		}
	}
	return values
}

// StepValue returns the output of a step as JSON: of a foreach the list of its items, of a
// matrix an object of them.
func StepValue(s *workflow.Step, res *engine.StepResult) any {
	if s.Foreach == nil || len(res.Items) == 0 {
		return ParsedOutput(s, res.Output)
	}
	list, named := make([]any, len(res.Items)), map[string]any{}
	for i, item := range res.Items {
		if item.Status == engine.StatusCompleted {
			list[i] = ParsedOutput(s, item.Output)
		}
		if i < len(s.Foreach.Keys) {
			named[s.Foreach.Keys[i]] = list[i]
		}
	}
	if s.Foreach.Matrix && len(named) == len(list) {
		return named
	}
	return list
}

// ParsedOutput returns an output of a step as JSON: its value, or a text.
func ParsedOutput(s *workflow.Step, output string) any {
	if v := engine.ParseOutput(s, output); v != nil {
		return v
	}
	return output
}
