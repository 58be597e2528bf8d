package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// Frontier is what is to be done next in a run whose attempts are made elsewhere.
type Frontier struct {
	Ready  []Ready   // what is to be attempted, the longest remaining path first
	Asking bool      // the run waits for a person, whatever else is under way
	Wake   time.Time // the nearest deadline of a question, by which to call Advance; zero for none

	// Stop says that the run has been cancelled or a step has ended it: what is under way
	// is to be stopped, and Advance to be called once nothing is.
	Stop bool

	Result *Result // of a run that has ended; nil before
}

// Ready is a unit that is to be attempted.
type Ready struct {
	Unit     journal.Unit
	Agent    string        // empty if it has none, or none is chosen yet
	Priority time.Duration // the longest path from here to the end of the run
	Once     bool          // it has effects that must not happen twice
}

// Advance does what a run has to do that needs no attempt, and returns what to attempt
// next with [AttemptUnit]. It is for an engine that makes the attempts of a run in several
// processes; [Run] does all of it in one. The run's journal is its only state: under are
// the units that are being attempted, which take their part of the limits of the run.
//
// opts.Past is what the journal says, read after opts.Log became the only log from which
// Advance writes: see [journal.Joiner]. Decisions and the cancelling of the run are taken
// from there, and Drain and Control are not used. What the journal has decided stays: the
// start of a step, a condition, a failure, a question.
//
// If ctx ends, the run does not: the error is its cause, and another Advance continues.
func Advance(ctx context.Context, wf *workflow.Workflow, opts Options, under []journal.Unit) (*Frontier, error) {
	caller := ctx
	opts.Drain, opts.Control = nil, nil
	opts.Rebuild = opts.Past != nil && opts.Past.Ended != nil
	ctx, r, end := launch(ctx, wf, opts)
	defer end()
	if opts.Rebuild {
		r.opts.Log = nil
		r.begin()
		r.loop(ctx)
		res, err := r.finish(ctx)
		return &Frontier{Result: res}, err
	}
	p := &parts{under: map[journal.Unit]bool{}, questions: map[journal.Unit]*journal.UnitState{}}
	for _, u := range under {
		p.under[u] = true
	}
	for _, u := range r.opts.Past.Order {
		if caller, ok := u.Caller(); ok && u.Type == journal.ApprovalAsked && u.Decision == nil {
			p.questions[caller] = u
		}
	}
	r.parts = p
	r.rebuilt = r.rebuilt || r.opts.Past.Cancelled
	r.begin()
	r.loop(ctx)
	switch {
	case r.fatal != nil:
		return nil, r.fatal
	case caller.Err() != nil:
		return nil, context.Cause(caller)
	case r.refused != nil && len(r.opts.Past.Order) > 0: // it began where this was no error
		return nil, fmt.Errorf("continuing the run: %w", r.refused)
	}
	if r.opts.Past.Cancelled && r.exited == nil {
		r.cancelled = true
		r.stop()
	}
	f := &Frontier{Stop: r.stopping && len(under) > 0, Asking: len(r.asking) > 0}
	if len(under) == 0 && (r.stopping || len(r.asking)+len(p.parked) == 0) {
		res := r.result(ctx)
		if caller.Err() != nil {
			return nil, context.Cause(caller)
		}
		f.Result = res
		return f, r.writeResult(res)
	}
	if !r.stopping {
		f.Ready, f.Wake = r.choosing(), r.nextDeadline()
	}
	if r.opts.Log == nil {
		return f, nil
	}
	return f, r.opts.Log.Append()() // what was written is durable before anything follows from it
}

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
	if opts.Log != nil {
		if err := opts.Log.Append()(); err != nil {
			return "", err
		}
	}
	switch status := u.res.Status; status {
	case StatusCompleted, StatusFailed, StatusWaiting:
		return status, nil
	}
	return StatusInterrupted, nil
}

// parts is what a run has in addition whose attempts are made elsewhere: that of an
// Advance, or of the attempts at one unit.
type parts struct {
	// Of an Advance.
	under     map[journal.Unit]bool               // units that are being attempted
	questions map[journal.Unit]*journal.UnitState // open questions about calls, by the unit that makes the call
	parked    []*unit                             // leaves to attempt, and those that are being attempted

	// Of attempts.
	attempts bool
	only     journal.Unit
	found    *unit // of only; nil before it is reached
}

// takes reports whether the parts have taken a unit that is ready: it is the one to
// attempt, or is being attempted.
func (r *run) takes(u *unit) bool {
	p := r.parts
	switch {
	case p == nil:
		return false
	case p.attempts && u.id() == p.only && u.attempted():
		p.found = u
		return true
	case p.under[u.id()] && u.attempted():
		p.parked = append(p.parked, u)
		return true
	}
	return false
}

// attempted reports whether the unit is a leaf that makes attempts.
func (u *unit) attempted() bool { return u.leaf() && !u.computes() }

// park keeps a leaf that is ready for the frontier, or for the answer to the question
// about a call that it waits for. In the latter case it holds no place, as where it asked.
func (r *run) park(u *unit) {
	q := r.parts.questions[u.id()]
	if q == nil || !r.opts.AskCalls || u.decisions[q.Unit] != nil {
		r.parts.parked = append(r.parts.parked, u)
		return
	}
	now := time.Now()
	u.res.Status = StatusWaiting
	u.call, u.asked, u.expired = &askedCall{unit: q.Unit, call: *q.Asked.Call}, q.Asked, false
	u.deadline = time.Time{}
	if !q.Asked.Deadline.IsZero() {
		u.deadline = now.Add(q.Asked.Deadline.Sub(now))
	}
	r.asking = append(r.asking, u)
	if u.parent != nil && u.parent.fan != nil {
		u.parent.fan.active-- // the caller starts others
	}
	r.expire(now)
}

// choosing returns the parked leaves that the limits have room for beside those that are
// being attempted.
func (r *run) choosing() []Ready {
	p := r.parts
	slots := r.slots - len(p.under)
	var rest heapOf
	for _, u := range p.parked {
		if !p.under[u.id()] {
			rest = append(rest, u)
			continue
		}
		for _, l := range u.frame.limits {
			l.used++
		}
	}
	slices.SortFunc(rest, func(a, b *unit) int {
		if (heapOf{a, b}).Less(0, 1) {
			return -1
		}
		return 1
	})
	var ready []Ready
	for _, u := range rest {
		if len(ready) >= slots {
			break
		}
		if slices.ContainsFunc(u.frame.limits, func(l *limit) bool { return l.used >= l.most }) {
			continue
		}
		for _, l := range u.frame.limits {
			l.used++
		}
		ready = append(ready, Ready{Unit: u.id(), Agent: agentOf(u.step), Priority: u.remaining, Once: u.step.Effects == workflow.EffectsOnce})
	}
	return ready
}

// nextDeadline returns the nearest deadline of a question; zero for none.
func (r *run) nextDeadline() (next time.Time) {
	for _, u := range r.asking {
		if at := u.asked.Deadline; !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// omits reports whether an event is not written, since the journal has it or it is of
// another unit than the one that is attempted. The run's own events have no unit.
func (r *run) omits(u *unit, ev journal.Event) bool {
	p := r.parts
	switch {
	case p == nil || u == nil:
		return false
	case p.attempts:
		return u != p.found
	}
	was := r.opts.Past.Unit(u.path, u.item)
	if was == nil {
		return false
	}
	switch ev.Type {
	case journal.StepStarted:
		return was.StartSeq > 0
	case journal.StepExpanded:
		return was.Expanded != nil
	case journal.StepFinished, journal.StepFailed, journal.StepSkipped:
		return was.Type == ev.Type
	}
	return false
}

// decided reports what the journal says about whether a step runs whose time has come, and
// the reason if it was skipped. What the condition sees may have changed since, if the step
// need not wait for all that it depends on.
func (r *run) decided(n *node) (starts, known bool, reason string) {
	if r.parts == nil {
		return false, false, ""
	}
	was := r.opts.Past.Unit(n.path, n.item)
	switch {
	case was == nil:
		return false, false, ""
	case was.StartSeq > 0:
		return true, true, ""
	case was.Type == journal.StepSkipped:
		return false, true, was.Skipped.Reason
	}
	return false, false, ""
}

// itemOrder returns the order in which the items of a foreach start, by their numbers, and how
// many of them start whatever its limit says: those that have ended, and those in which
// something is being attempted. Nil means that of the list.
func (r *run) itemOrder(u *unit, f *fan) (order []int, forced int) {
	p := r.parts
	if p == nil {
		return nil, 0
	}
	if p.attempts {
		if key, ok := keyWithin(u, p.only); ok {
			i := slices.Index(f.keys, key)
			if i < 0 {
				return []int{}, 0
			}
			return []int{i}, 1
		}
		return nil, 0
	}
	under := map[string]bool{}
	for id := range p.under {
		if key, ok := keyWithin(u, id); ok {
			under[key] = true
		}
	}
	var rest []int
	order = make([]int, 0, len(f.keys))
	for i, key := range f.keys {
		id := u.id().WithItem(key)
		if was := r.opts.Past.Unit(id.Step, id.Item); under[key] || was != nil && was.EndSeq > 0 {
			order = append(order, i)
		} else {
			rest = append(rest, i)
		}
	}
	return append(order, rest...), len(order)
}

// keyWithin returns the key of the item of the foreach u that a unit is, or is within.
func keyWithin(u *unit, id journal.Unit) (string, bool) {
	if !id.In(u.path) {
		return "", false
	}
	rest := id.Item
	if u.item != "" {
		if len(rest) <= len(u.item) || rest[:len(u.item)] != u.item || rest[len(u.item)] != '/' {
			return "", false
		}
		rest = rest[len(u.item)+1:]
	}
	for i := range len(rest) {
		if rest[i] == '/' {
			return rest[:i], true
		}
	}
	return rest, rest != ""
}
