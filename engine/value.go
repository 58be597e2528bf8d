package engine

import (
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// compute ends a leaf that computes a value. It needs no slot and no goroutine, since an
// evaluation is bounded and calls no one. Its result is the text of the value alone, so
// that a run that takes it from the journal goes on with the same.
func (r *run) compute(u *unit, was *journal.UnitState) {
	if r.stopping {
		return // stays pending
	}
	env := u.env()
	output, err := u.step.Value.Text(env)
	if err == nil && was != nil && was.Type == journal.StepFinished && was.Output == output {
		r.restore(u, was)
		return
	}
	started := r.startComputed(u, env)
	if err != nil {
		r.failComputed(u, started, invalid("computing the value of step "+u.path, err))
		return
	}
	r.finishComputed(u, started, output, nil)
}

// startComputed starts the only attempt of a unit that ends without one, and returns what
// the journal keeps of that with its end.
func (r *run) startComputed(u *unit, env workflow.Env) *journal.Started {
	u.begin()
	if u.node != nil && u.frame == r.root {
		r.recordStart(u.step.ID)
	}
	u.res.Attempts, u.res.Status = 1, StatusRunning
	r.observe(u, Event{Attempt: 1})
	if r.opts.Log != nil {
		u.res.Inputs = fingerprint(u.frame, u.step, env, Identity{})
	}
	return &journal.Started{Label: u.label, Inputs: u.res.Inputs}
}

// failComputed records the start of such a unit, which could not be computed, and ends it.
func (r *run) failComputed(u *unit, started *journal.Started, err error) {
	r.write(u, journal.StepStarted, 1, started)
	r.fail(u, err)
}

// finishComputed records the start and the end of such a unit. What follows is in the
// journal behind it: no one waits until it is durable.
func (r *run) finishComputed(u *unit, started *journal.Started, output string, exit *journal.Exit) {
	if r.opts.Log != nil {
		r.append(u, journal.Event{Type: journal.StepFinished, Attempt: 1, Output: output,
			Detail: journal.Detail(journal.Computed{DurationSeconds: u.took(), Exit: exit, Started: started})})
	}
	r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusCompleted, output: output, json: u.parse(output)})
}

// computes reports whether a unit ends without an attempt.
func (u *unit) computes() bool { return (u.step.Value != nil || u.step.Exit != nil) && u.leaf() }
