package engine

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// Frontier is what is to be done next in a run whose attempts are made elsewhere.
type Frontier struct {
	Ready  []Ready   // what is to be attempted, the longest remaining path first
	Wide   []Wide    // foreach steps whose items are to be advanced apart
	Asking bool      // the run waits for a person, whatever else is under way
	Wake   time.Time // the nearest deadline of a question, by which to call Advance; zero for none

	// Stop says that the run has been cancelled or a step has ended it: what is under way,
	// in all of the run, is to be stopped, and Advance to be called once nothing is.
	Stop bool

	Done   bool    // of AdvanceItems: all items have ended
	Result *Result // of a run that has ended; nil before
}

// Ready is a unit that is to be attempted.
type Ready struct {
	Unit     journal.Unit
	Agent    string        // empty if it has none, or none is chosen yet
	Priority time.Duration // the longest path from here to the end of the run
	Once     bool          // it has effects that must not happen twice
}

// Wide is a foreach with very many items, which [AdvanceItems] advances in parts.
type Wide struct {
	Unit  journal.Unit
	Items int // of its list
	Most  int // attempts at once, in all of its parts
}

// Under is what is under way.
type Under struct {
	Unit journal.Unit // of a Ready or a Wide
	Most int          // as in Wide; 0 for a unit that is attempted
}

// Items are some of the items of a foreach, by their numbers in its list.
type Items struct {
	Of       journal.Unit
	From, To int // from From to before To
	Most     int // attempts at once
}

// Part returns the name of the part of the journal that [AdvanceItems] writes.
func (i Items) Part() journal.Unit {
	return i.Of.Inner(fmt.Sprintf("items:%d-%d", i.From, i.To))
}

// Advance does what a run has to do that needs no attempt, and returns what to attempt
// next with [AttemptUnit]. It is for an engine that makes the attempts of a run in several
// processes; [Run] does all of it in one. The run's journal is its only state: under is
// what is being attempted, which takes its part of the limits of the run. A unit that
// waits for its next attempt is being attempted.
//
// opts.Past is what the journal says, read after opts.Log was joined for the zero Unit,
// see [journal.Joiner]. Decisions and the cancelling of the run are taken from there, and
// Drain and Control are not used. What the journal has decided stays: the start of a step,
// a condition, a failure, a question.
//
// If ctx ends, the run does not: the error is its cause, and another Advance continues.
func Advance(ctx context.Context, wf *workflow.Workflow, opts Options, under []Under) (*Frontier, error) {
	return advance(ctx, wf, opts, nil, under)
}

// AdvanceItems advances, as [Advance] does, some of the items of a foreach that Advance has called
// wide, and all within them. opts.Log is that of the part that items names, and under is
// what is under way within them.
func AdvanceItems(ctx context.Context, wf *workflow.Workflow, opts Options, items Items, under []Under) (*Frontier, error) {
	return advance(ctx, wf, opts, &items, under)
}

func advance(ctx context.Context, wf *workflow.Workflow, opts Options, items *Items, under []Under) (*Frontier, error) {
	caller := ctx
	opts.Drain, opts.Control = nil, nil
	own := opts.ownLog()
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
	stopped := r.exited != nil || r.opts.Past.Cancelled
	if items != nil && stopped {
		return &Frontier{Stop: true, Done: len(under) == 0}, nil
	}
	p := newParts(r.opts.Past, items, under)
	r.parts, r.rebuilt = p, items != nil || stopped
	if items != nil {
		r.slots = min(r.slots, items.Most)
	}
	r.begin()
	r.loop(ctx)
	if items != nil {
		if p.found == nil {
			return nil, fmt.Errorf("advancing the items of step %s: the run's journal does not have its start", items.Of)
		}
		r.rebuilt = false
		r.expand(p.found)
		r.loop(ctx)
	}
	switch {
	case r.fatal != nil:
		return nil, r.fatal
	case caller.Err() != nil:
		return nil, context.Cause(caller)
	case r.refused != nil && len(r.opts.Past.Order) > 0: // it began where this was no error
		return nil, fmt.Errorf("continuing the run: %w", r.refused)
	}
	if stopped {
		r.cancelled = r.exited == nil
		r.stop()
	}
	f := &Frontier{Stop: r.stopping, Asking: len(r.asking) > 0}
	if len(under) == 0 && (r.stopping || len(r.asking)+len(p.parked)+len(p.wide) == 0) {
		if f.Done = items != nil; !f.Done {
			res := r.result(ctx)
			if caller.Err() != nil {
				return nil, context.Cause(caller)
			}
			f.Result, f.Stop = res, false
			if opts.Uncounted != nil {
				r.uncounted = opts.Uncounted(ctx)
			}
			return f, r.writeResult(res)
		}
	}
	if !r.stopping {
		r.choosing(f)
		f.Wake = r.nextDeadline()
	}
	return f, own.durable() // what was written is durable before anything follows from it
}

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

// choosing adds what the limits have room for beside what is under way.
func (r *run) choosing(f *Frontier) {
	p := r.parts
	slots := r.slots
	for _, most := range p.under {
		slots -= most
	}
	var rest heapOf
	for _, u := range slices.Concat(p.parked, p.wide) {
		if most := p.under[u.id()]; most > 0 {
			u.take(most)
		} else {
			rest = append(rest, u)
		}
	}
	sort.Sort(&rest)
	for _, u := range rest {
		room := slots
		for _, l := range u.frame.limits {
			room = min(room, l.most-l.used)
		}
		if room <= 0 {
			continue
		}
		if u.fan == nil {
			room = 1
			r.listChanges(u)
			f.Ready = append(f.Ready, Ready{Unit: u.id(), Agent: agentOf(u.step), Priority: u.remaining, Once: u.step.Effects == workflow.EffectsOnce})
		} else {
			room = min(room, u.fan.most)
			f.Wide = append(f.Wide, Wide{Unit: u.id(), Items: len(u.fan.items), Most: room})
		}
		u.take(room)
		slots -= room
	}
}

// listChanges lists the changed files that a leaf asks for, so that they are in the journal
// before several processes attempt leaves that ask for the same.
func (r *run) listChanges(u *unit) {
	if r.opts.ChangedFiles != nil && r.wf.ListsChanges() && u.choose() == nil {
		_, _ = r.draft(u) // an error is that of its attempt
	}
}

// take takes room for so many attempts from the limits around the unit.
func (u *unit) take(attempts int) {
	for _, l := range u.frame.limits {
		l.used += attempts
	}
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
