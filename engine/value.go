package engine

import (
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
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
	r.startComputed(u, env)
	if err != nil {
		r.fail(u, invalid("computing the value of step "+u.path, err))
		return
	}
	r.finishComputed(u, output, nil)
}

// startComputed records the only attempt of a unit that ends without one.
func (r *run) startComputed(u *unit, env workflow.Env) {
	u.begin()
	if u.node != nil && u.frame == r.root {
		r.recordStart(u.step.ID)
	}
	u.res.Attempts, u.res.Status = 1, StatusRunning
	r.observe(u, Event{Attempt: 1})
	if r.opts.Log != nil {
		u.res.Inputs = fingerprint(u.frame, u.step, env, Identity{})
		r.append(u, journal.Event{Type: journal.StepStarted, Attempt: 1, Detail: journal.Detail(journal.Started{Label: u.label, Inputs: u.res.Inputs})})
	}
}

// finishComputed records the end of such a unit. What follows is in the journal behind
// it: no one waits until it is durable.
func (r *run) finishComputed(u *unit, output string, exit *journal.Exit) {
	if r.opts.Log != nil {
		r.append(u, journal.Event{Type: journal.StepFinished, Output: output,
			Detail: journal.Detail(journal.Finished{Outcome: llm.Outcome{CostUSD: new(float64)}, DurationSeconds: u.took(), Exit: exit})})
	}
	r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusCompleted, output: output, json: u.parse(output)})
}

// computes reports whether a unit ends without an attempt.
func (u *unit) computes() bool { return (u.step.Value != nil || u.step.Exit != nil) && u.leaf() }
