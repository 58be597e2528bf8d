package claudeforce

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

// checkPart checks the step that a run is limited to.
func checkPart(wf *workflow.Workflow, opts RunOptions) error {
	if opts.From != "" && opts.Only != "" {
		return errors.New("--from and --only cannot be combined; give one of them")
	}
	if id := opts.From + opts.Only; id != "" && wf.Step(id) == nil {
		return noStep(id, slices.Values(wf.Steps))
	}
	return nil
}

// noStep says that a step does not exist, and which do.
func noStep(id string, steps iter.Seq[*workflow.Step]) error {
	var ids []string
	for s := range steps {
		ids = append(ids, s.ID)
	}
	return fmt.Errorf("there is no step %q; there are: %s", id, strings.Join(ids, ", "))
}

// choices is what a run that is limited to a part of its workflow does with each
// step; nil if it is not.
func choices(wf *workflow.Workflow, opts RunOptions) func(*workflow.Step) engine.Choice {
	id := opts.From + opts.Only
	if id == "" {
		return nil
	}
	before, after := related(wf, id)
	return func(s *workflow.Step) engine.Choice {
		switch {
		case s.ID == id || opts.From != "" && after[s.ID]:
			return engine.ChooseRun
		case opts.Only != "" && !before[s.ID]:
			return engine.ChooseLeave
		}
		return engine.ChooseReuse
	}
}

// related are the steps that id depends on, directly or not, and those that
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
