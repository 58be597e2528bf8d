package engine

import (
	"errors"
	"fmt"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// errExited is why attempts end once a step has ended the run.
var errExited = errors.New("the run exited")

// leave ends the run by a step that does so. Like a value it needs no slot.
func (r *run) leave(u *unit) {
	if r.stopping {
		return // stays pending
	}
	env := u.env()
	message, err := u.step.Exit.Message.Render(env)
	started := r.startComputed(u, env)
	if err != nil {
		r.failComputed(u, started, invalid("filling in the message of step "+u.path, err))
		return
	}
	status := journal.StatusCompleted
	if u.step.Exit.Status == workflow.ExitFailed {
		status = journal.StatusFailed
	}
	end := journal.Exit{Status: status, Message: message, Code: u.step.Exit.Code}
	r.finishComputed(u, started, message, &end)
	r.exit(u, end)
}

// exit stops the run as a whole: attempts under way are stopped, and nothing more
// starts. Outputs of steps that have finished are still saved.
func (r *run) exit(u *unit, end journal.Exit) {
	if r.opts.Stay {
		return
	}
	r.exited = &journal.Exited{Step: u.path, Item: u.item, Exit: end}
	r.rebuilt = true // what has finished in an earlier process is kept, and nothing runs
	r.stop()
	r.stopAttempts(errExited)
}

// leavesOut reports whether a unit does not start because the run is stopping. If a step
// has ended the run, what an earlier process started does, to restore what has finished.
func (r *run) leavesOut(id journal.Unit) bool {
	if r.exited != nil {
		return !r.wasStarted(id)
	}
	return r.stopping
}

// leaveUndone gives the result of what the run left undone its status.
func (r *run) leaveUndone(res *StepResult) {
	res.Status = StatusInterrupted
	if r.exited != nil {
		res.Status, res.Error = StatusSkipped, new(fmt.Sprintf("the run exited at %s", r.exited.Step))
	}
}
