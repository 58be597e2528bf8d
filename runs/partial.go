package runs

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/workflow"
)

// Part limits a run to a part of its workflow. The zero value is the whole. At
// most one field is set.
type Part struct {
	// From takes the results of all steps but this one and those that depend on
	// it from an earlier run.
	From string

	// Only takes the results of what the step depends on from an earlier run,
	// runs the step, and leaves out the rest.
	Only string
}

// Whole reports whether the run has all of its workflow.
func (p Part) Whole() bool { return p.From == "" && p.Only == "" }

// Check reports whether the step exists, as a [fault.InputError].
func (p Part) Check(wf *workflow.Workflow) error {
	if p.From != "" && p.Only != "" {
		return fault.Input(errors.New("a run starts from a step or has only one step, not both; give one of the two"))
	}
	if id := p.From + p.Only; id != "" && wf.Step(id) == nil {
		return NoStep(id, slices.Values(wf.Steps))
	}
	return nil
}

// NoStep returns the [fault.InputError] for a step that does not exist. It lists
// those that do.
func NoStep(id string, steps iter.Seq[*workflow.Step]) error {
	var ids []string
	for s := range steps {
		ids = append(ids, s.ID)
	}
	return fault.Input(fmt.Errorf("there is no step %q; there are: %s", id, strings.Join(ids, ", ")))
}

// Choose returns what the run does with each step. It returns nil if the run has
// all of its workflow.
func (p Part) Choose(wf *workflow.Workflow) func(*workflow.Step) engine.Choice {
	if p.Whole() {
		return nil
	}
	id := p.From + p.Only
	before, after := related(wf, id)
	return func(s *workflow.Step) engine.Choice {
		switch {
		case s.ID == id || p.From != "" && after[s.ID]:
			return engine.ChooseRun
		case p.Only != "" && !before[s.ID]:
			return engine.ChooseLeave
		}
		return engine.ChooseReuse
	}
}

// related returns the steps that id depends on, directly or not, and those that
// depend on it.
func related(wf *workflow.Workflow, id string) (before, after map[string]bool) {
	before, after = map[string]bool{}, map[string]bool{}
	var up func(id string)
	up = func(id string) {
		for _, d := range wf.Step(id).Dependencies {
			if !before[d] {
				before[d] = true
				up(d)
			}
		}
	}
	up(id)
	for grown := true; grown; {
		grown = false
		for _, s := range wf.Steps {
			if !after[s.ID] && slices.ContainsFunc(s.Dependencies, func(d string) bool { return d == id || after[d] }) {
				after[s.ID], grown = true, true
			}
		}
	}
	return before, after
}
