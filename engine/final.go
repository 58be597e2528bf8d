package engine

import (
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// keepFailure completes a unit with its failure in the journal if the run has
// acted on that failure: a fallback ran instead, or dependents ran without the
// result. To run the unit again would contradict what they did. It reports
// whether it has completed the unit.
func (r *run) keepFailure(u *unit) bool {
	was := r.opts.Past.Unit(u.path, u.item)
	if was == nil || was.Type != journal.StepFailed || r.opts.Changed || r.opts.Failed || r.rebuilt {
		return false
	}
	// Of other units the parts are restored one by one.
	whole := u.leaf() || u.step.Approval != nil || u.parent == nil && u.step.Foreach != nil && was.Expanded == nil
	if !whole || r.parts == nil && !r.actedOn(u) {
		return false
	}
	r.restoreFailure(u, was)
	return true
}

// restoreFailure completes a unit with its failure in this run's journal.
func (r *run) restoreFailure(u *unit, was *journal.UnitState) {
	r.fill(u, was)
	u.restored = true
	u.res.Reason = was.Decision.Reason()
	if !was.Answered() {
		u.res.DurationSeconds, u.res.Usage, u.res.CostUSD, u.res.Timing = was.Failed.DurationSeconds, was.Failed.Usage, was.Failed.CostUSD, was.Failed.Timing
		u.res.Calls = was.Failed.Calls
		if !u.leaf() {
			u.res.CostUSD = new(float64) // that a person was asked costs nothing
		}
	}
	if u.node != nil && u.frame == r.root && !was.StartedAt.IsZero() {
		r.recordStart(u.step.ID)
	}
	r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusFailed, output: was.Output, err: failureOf(was)})
}

// pastError is a failure from the journal. Its message has the code already.
type pastError struct {
	message string
	cause   *llm.Error
}

func (e *pastError) Error() string { return e.message }
func (e *pastError) Unwrap() error { return e.cause }

func failureOf(was *journal.UnitState) error {
	var cause error
	if was.Failed.Ceiling != nil {
		cause = was.Failed.Ceiling
	}
	return &pastError{was.Failed.Message, llm.NewError(llm.ParseCode(was.Failed.Code), was.Failed.Message, cause)}
}

// actedOn reports whether an earlier process of the run started something because
// of how u ended, or how what u is within ended.
func (r *run) actedOn(u *unit) bool {
	if u.parent != nil {
		if u.loop != nil && r.wasStarted(u.parent.id().Iteration(u.index+1)) {
			return true
		}
		return r.actedOn(u.parent)
	}
	if fallback := u.frame.nodes[u.step.Fallback]; fallback != nil && r.wasStarted(fallback.id()) {
		return true
	}
	return r.hasFollowers(u.node) || u.frame.owner != nil && r.actedOn(u.frame.owner)
}

// wasStarted reports whether an earlier process started a unit.
func (r *run) wasStarted(id journal.Unit) bool {
	was := r.opts.Past.Unit(id.Step, id.Item)
	return was != nil && was.StartSeq > 0
}

// hasFollowers reports whether an earlier process started a dependent of n after
// the end of n, or a dependent of one that was skipped.
func (r *run) hasFollowers(n *node) bool {
	end := int64(0)
	if was := r.opts.Past.Unit(n.path, n.item); was != nil {
		end = was.EndSeq
	}
	for _, d := range n.dependents {
		was := r.opts.Past.Unit(d.path, d.item)
		switch {
		case was == nil:
		case was.StartSeq > end && (end > 0 || !d.before):
			return true
		case was.Type == journal.StepSkipped && r.hasFollowers(d.node):
			return true
		}
	}
	return false
}
