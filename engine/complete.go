package engine

import (
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// complete records the end of a unit, then continues what waited for it.
func (r *run) complete(o outcome) {
	u := o.unit
	if p := r.parts; p != nil && p.found == u { // what follows from it is another's
		u.finish(o)
		r.writeEnd(o)
		r.observe(u, Event{Attempt: u.res.Attempts, Err: o.err, Restored: u.restored})
		return
	}
	if o.status == StatusCompleted && !o.saved && u.saves() && !r.save(&o) {
		return // it is completed once its file is written
	}
	u.finish(o)
	r.writeEnd(o)
	r.observe(u, Event{Attempt: u.res.Attempts, Err: o.err, Restored: u.restored})
	if u.parent != nil && o.status != StatusInterrupted {
		delete(u.parent.live, u)
	}
	switch {
	case u.parent != nil && u.parent.fan != nil:
		r.itemEnded(u, o)
	case u.parent != nil:
		r.iterationEnded(u, o)
	default:
		r.nodeEnded(u.node, o)
	}
}

// finish sets the unit's result.
func (u *unit) finish(o outcome) {
	u.res.Status, u.res.Output = o.status, o.output
	switch {
	case o.err != nil:
		u.res.Error, u.res.code, u.res.ceiling = new(o.err.Error()), llm.CodeOf(o.err), llm.CeilingOf(o.err)
	case o.reason != "":
		u.res.Error = new(o.reason)
	}
	if u.res.StartedAt != nil && u.res.DurationSeconds == 0 {
		u.res.DurationSeconds = u.took()
	}
}

// nodeEnded continues the frame after one of its steps has ended.
func (r *run) nodeEnded(n *node, o outcome) {
	f, id := n.frame, n.step.ID
	switch {
	case o.status == StatusCompleted:
		f.env.Steps[id] = workflow.StepResult{Output: o.output, Status: string(o.status), JSON: o.json}
	case o.status == StatusFailed && n.step.OnFailure == workflow.OnFailureFallback:
		n.failure = &workflow.StepResult{Status: string(o.status), Output: n.res.Output, Error: n.why(), Reason: n.res.Reason}
		if r.fallBack(n) {
			return
		}
	}
	r.propagate(n, o.status)
}

// fallBack starts the fallback step of n, which failed. It reports false if the
// fallback has failed or was skipped already.
func (r *run) fallBack(n *node) bool {
	substitute := n.frame.nodes[n.step.Fallback]
	switch {
	case substitute == nil:
		return false
	case substitute.counts == StatusCompleted:
		r.replace(n, substitute)
		return true
	case substitute.counts != "":
		return false
	}
	substitute.fallbackFor = append(substitute.fallbackFor, n)
	if !substitute.wanted {
		substitute.wanted = true
		n.frame.left++
		r.startIfReady(substitute)
	}
	return true
}

// replace sets the result of n to that of its fallback step.
func (r *run) replace(n, substitute *node) {
	n.res.Fallback, n.res.Output = substitute.step.ID, substitute.res.Output
	result := n.frame.env.Steps[substitute.step.ID]
	result.Reason = n.res.Reason // a person gave it to this step
	n.frame.env.Steps[n.step.ID] = result
	r.propagate(n, StatusCompleted)
}

// propagate passes the end of n on to its dependents and its frame. status is
// what n counts as, which differs from its own after a fallback.
func (r *run) propagate(n *node, status Status) {
	f := n.frame
	satisfied := status == StatusCompleted
	switch status {
	case StatusFailed:
		switch {
		case n.step.OnFailure == workflow.OnFailureContinue && n.fan == nil: // what a foreach tolerates is no failure
			satisfied = true
		case n.step.OnFailure == workflow.OnFailureSkip:
		default:
			if f.failed == nil || n.position < f.failed.position { // not the first in time, which a resumed run does not know
				f.failed = n
			}
		}
		f.env.Steps[n.step.ID] = workflow.StepResult{Status: string(StatusFailed), Output: n.kept(), Error: n.why(), Reason: n.res.Reason}
	case StatusSkipped:
		f.env.Steps[n.step.ID] = workflow.StepResult{Status: string(StatusSkipped), Error: n.why()}
	case StatusInterrupted:
		return // the run is stopping; what follows stays pending
	}
	n.counts, n.ended, n.lets = status, true, satisfied
	for _, stood := range n.fallbackFor {
		if status == StatusCompleted {
			r.replace(stood, n)
		} else {
			r.propagate(stood, StatusFailed)
		}
	}
	n.fallbackFor = nil
	for _, d := range n.dependents {
		if d.count.open--; satisfied {
			d.count.met++
		}
		r.startIfReady(d.node)
	}
	if f.left--; f.left == 0 {
		r.finishFrame(f)
	}
}

// why returns why the step failed or was skipped.
func (n *node) why() string {
	if n.res.Error == nil {
		return ""
	}
	return *n.res.Error
}

// kept returns the text of a failed step that its dependents are given: that of an
// answer that is not what was asked for, if the step lets the run continue.
func (n *node) kept() string {
	if n.step.OnFailure != workflow.OnFailureContinue {
		return ""
	}
	return n.res.Output
}

// finishFrame ends the unit that f is the body of.
func (r *run) finishFrame(f *frame) {
	u := f.owner
	if u == nil {
		return
	}
	u.res.Steps = f.results()
	for _, n := range f.list { // in order: sums of fractions depend on it
		u.add(n.res)
		n.talk = nil // no step is left that could continue it
	}
	o := outcome{unit: u, status: StatusCompleted}
	var err error
	switch {
	case f.failed != nil:
		o.status = StatusFailed
		o.err = llm.NewError(f.failed.res.code, "step "+f.failed.path+" failed: "+*f.failed.res.Error, nil)
	default:
		if o.output, err = f.output(); err != nil {
			o.status, o.err = StatusFailed, invalid("filling in the output of step "+u.path, err)
			break
		}
		switch _, reason, err := f.verdict(); {
		case err != nil:
			o.status, o.err = StatusFailed, invalid("step "+u.path, err)
		case reason != "":
			o.status, o.err = StatusFailed, llm.NewError(llm.CodeInvalid, reason, nil)
		}
	}
	o.json = parseJSON(o.output)
	r.outcomes = append(r.outcomes, o)
}

// writeEnd journals the end of a unit, unless that was done with its answer.
func (r *run) writeEnd(o outcome) {
	u := o.unit
	switch o.status {
	case StatusCompleted:
		if u.leaf() || u.step.Approval != nil {
			return
		}
		r.write(u, journal.StepFinished, 0, journal.Finished{Outcome: llm.Outcome{CostUSD: new(float64), Degraded: u.res.Degraded}, DurationSeconds: u.res.DurationSeconds, Within: r.within(u)})
	case StatusFailed:
		if u.restored && !o.saved {
			return // it is in the journal
		}
		failed := u.failure(o.err)
		failed.Unsaved, failed.Within = o.saved, r.within(u)
		if o.saved && u.answers() { // what it took was counted with its answer
			failed.Usage, failed.CostUSD, failed.Timing, failed.PaidInTurns = llm.Usage{}, nil, llm.Timing{}, nil
			failed.Calls = 0
		}
		r.append(u, journal.Event{Type: journal.StepFailed, Attempt: u.res.Attempts, Output: o.output, Detail: journal.Detail(failed)})
	case StatusInterrupted:
		r.leaveUncounted(u)
	case StatusSkipped:
		r.write(u, journal.StepSkipped, 0, journal.Skipped{Reason: o.reason})
	}
}

// leaveUncounted adds what an interrupted unit took to what the end of the run
// counts, since no event of its own does.
func (r *run) leaveUncounted(u *unit) {
	if !u.leaf() || u.reckoned || u.began.IsZero() || u.res.CostUSD == nil {
		return
	}
	u.reckoned = true
	r.uncounted += *u.res.CostUSD
	if p := paidIn(u.turns); p != nil {
		r.uncounted -= *p.CostUSD
	}
}

func (u *unit) failure(err error) journal.Failed {
	f := journal.Failed{Code: llm.CodeOf(err).String(), Ceiling: llm.CeilingOf(err), Message: err.Error(), DurationSeconds: u.res.DurationSeconds}
	if u.leaf() {
		f.Usage, f.CostUSD, f.Timing, f.PaidInTurns = u.res.Usage, u.res.CostUSD, u.res.Timing, paidIn(u.turns)
		f.Calls = u.res.Calls
	}
	return f
}

// leaf reports whether the unit has no others within it and asks no person: it makes
// attempts, or computes a value.
func (u *unit) leaf() bool {
	return u.step.Body == nil && u.step.Approval == nil && u.fan == nil && (u.parent != nil || u.step.Foreach == nil && u.step.Loop == nil)
}
