package runs

import (
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// Failure is a step, or an item of one, that failed.
type Failure struct {
	Step      string `json:"step"`          // its path
	Item      string `json:"item,omitzero"` // for people
	Key       string `json:"key,omitzero"`  // of the item
	Code      string `json:"code"`          // an [llm.Code] as text
	Message   string `json:"message"`
	Attempts  int    `json:"attempts"`
	Tolerated bool   `json:"tolerated"` // the run went on as if it had not failed
}

// Failures returns what failed in a run, in the order in which it started. A step
// that failed since something within it did is not listed: what is within it is.
func (d *Detail) Failures() []Failure {
	var failed []*journal.UnitState
	outer := map[journal.Unit]bool{} // those with a failure within them
	there := d.present()
	for _, u := range d.State.Order {
		if u.Type != journal.StepFailed || !there[journal.Unit{Step: u.Plain(), Item: u.Item}] {
			continue
		}
		failed = append(failed, u)
		for o := range u.Outer() {
			outer[o] = true
		}
	}
	list := []Failure{}
	for _, u := range failed {
		if outer[u.Unit] {
			continue
		}
		list = append(list, Failure{
			Step: u.Step, Item: d.itemLabel(u), Key: u.Item, Code: u.Failed.Code, Message: u.Failed.Message,
			Attempts: u.Attempts, Tolerated: d.tolerated(u.Unit),
		})
	}
	return list
}

// itemLabel returns the text by which people know the item of a unit, which a step
// within an item has from the item.
func (d *Detail) itemLabel(u *journal.UnitState) string {
	for outer := range u.Outer() {
		if was := d.State.Units[outer]; u.Started.Label == "" && was != nil && was.Item == u.Item && was.Started.Label != "" {
			return was.Started.Label
		}
	}
	return ItemLabel(u)
}

// tolerated reports whether a step of the workflow that a failed unit is, or is
// within, counts as done.
func (d *Detail) tolerated(u journal.Unit) bool {
	s, res := d.Workflow.Step(u.Top()), d.Result.Steps[u.Top()]
	return s != nil && res != nil && Tolerated(s, res)
}

// Tolerated reports whether a step counts as done for the run although it, or something
// within it, may have failed.
func Tolerated(s *workflow.Step, res *engine.StepResult) bool {
	if res.Status == engine.StatusFailed && res.Fallback == "" {
		return s.OnFailure == workflow.OnFailureSkip || s.OnFailure == workflow.OnFailureContinue && s.Foreach == nil
	}
	return res.Status == engine.StatusFailed || res.Status == engine.StatusCompleted
}

// present returns the units of the result, without the numbers of iterations. The
// journal also has those that the workflow had before changes were accepted.
func (d *Detail) present() map[journal.Unit]bool {
	there := map[journal.Unit]bool{}
	var visit func(u journal.Unit, res *engine.StepResult)
	within := func(u journal.Unit, steps map[string]*engine.StepResult) {
		for id, res := range steps {
			visit(u.Inner(id), res)
		}
	}
	visit = func(u journal.Unit, res *engine.StepResult) {
		there[u] = true
		within(u, res.Steps)
		for _, item := range res.Items {
			visit(u.WithItem(item.Key), item.StepResult)
		}
	}
	within(journal.Unit{}, d.Result.Steps)
	return there
}
