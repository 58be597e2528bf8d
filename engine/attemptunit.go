package engine

import (
	"context"
	"fmt"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// AttemptUnit makes the attempts at one unit that [Advance] has called ready, with the
// pauses between them, and returns how it ended: completed or failed, waiting if a person
// is asked whether it may call a tool, or interrupted if ctx ended, or the run did. All
// that is known of it is in the journal. A unit that has ended there is not attempted.
//
// opts are those of Advance, and opts.Past is what the journal says, read after opts.Log
// became the only log from which the unit is written. Observe gets the events of the unit
// alone.
func AttemptUnit(ctx context.Context, wf *workflow.Workflow, opts Options, unit journal.Unit) (Status, error) {
	opts.Drain, opts.Control, opts.Rebuild = nil, nil, false
	if past := opts.Past; past != nil && (past.Ended != nil || past.Cancelled || past.Exited != nil) {
		return StatusInterrupted, nil
	}
	own := opts.ownLog()
	ctx, r, end := launch(ctx, wf, opts)
	defer end()
	p := &parts{attempts: true, only: unit}
	r.parts, r.rebuilt = p, true
	r.begin()
	r.loop(ctx)
	u := p.found
	if u == nil {
		return "", llm.NewError(llm.CodeInternal, fmt.Sprintf("step %s cannot be attempted: the run's journal does not have what it needs", unit), nil)
	}
	r.rebuilt = false
	if !r.keepFailure(u) {
		r.lookUp(u)
	}
	r.loop(ctx)
	if r.fatal != nil {
		return "", r.fatal
	}
	status := u.res.Status
	if status != StatusCompleted && status != StatusFailed {
		if status != StatusWaiting {
			status = StatusInterrupted
		}
		if r.leaveUncounted(u); r.uncounted > 0 {
			r.write(u, journal.StepStopped, 0, journal.Stopped{UncountedUSD: r.uncounted})
		}
	}
	if err := own.durable(); err != nil {
		return "", err
	}
	return status, nil
}
