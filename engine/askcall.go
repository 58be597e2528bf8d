package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
)

// errAsked ends an attempt of which a person is asked.
var errAsked = errors.New("a call of a tool waits for approval")

// askedCall is a call that needs approval.
type askedCall struct {
	unit journal.Unit
	call journal.AskedCall
}

// asker asks for one attempt.
type asker struct {
	unit      journal.Unit
	past      *journal.State
	decisions map[journal.Unit]*journal.Decision
	cancel    context.CancelCauseFunc // ends the attempt
	never     bool                    // the answer is no where there is none

	mu      sync.Mutex
	pending *askedCall // the first that has no decision
}

// ask does what [Attempt].Ask says.
func (a *asker) ask(name string, call journal.AskedCall) *journal.Decision {
	id := a.unit.Call(name)
	if d := a.decided(name); d != nil {
		return d
	}
	if a.never {
		return &journal.Decision{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending == nil {
		a.pending = &askedCall{id, call}
		a.cancel(errAsked)
	}
	return nil
}

// decided does what [Attempt].Decided says.
func (a *asker) decided(name string) *journal.Decision {
	id := a.unit.Call(name)
	if d := a.decisions[id]; d != nil {
		return d
	}
	if was := a.past.Unit(id.Step, id.Item); was != nil {
		return was.Decision
	}
	return nil
}

// first returns what ended the attempt; nil if nothing was asked.
func (a *asker) first() *askedCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending
}

// question returns the unit that the answer to a request goes to.
func (u *unit) question() journal.Unit {
	if u.call != nil {
		return u.call.unit
	}
	return u.id()
}

// askCall makes a unit, whose attempt has ended for it, wait for a decision about a
// call. It holds no place meanwhile, and the time does not count for its timeout.
func (r *run) askCall(u *unit, asked *askedCall) {
	now := time.Now()
	u.attemptEnded = now
	u.res.Status = StatusWaiting
	u.res.Attempts-- // the next goes on where this one was
	u.call, u.deadline, u.expired = asked, time.Time{}, false
	u.asked = &journal.ApprovalRequest{Message: fmt.Sprintf("may it call %s with %s in %s? %s", asked.call.Tool, asked.call.Arguments(), asked.call.Cwd, asked.call.Reason), Call: &asked.call}
	r.asking = append(r.asking, u)
	was := r.opts.Past.Unit(asked.unit.Step, asked.unit.Item)
	if was != nil && was.Asked != nil {
		u.asked.Deadline = was.Asked.Deadline // it keeps it however often the run is resumed
	} else if d := r.opts.AskTimeout; d > 0 {
		u.asked.Deadline = now.UTC().Add(d)
	}
	if !u.asked.Deadline.IsZero() {
		left := u.asked.Deadline.Sub(now)
		if d := r.opts.AskTimeout; d > 0 {
			left = min(left, d) // the clock may have been set back since
		}
		u.deadline = now.Add(left)
	}
	if was != nil && was.Asked != nil {
		r.show(u)
	} else {
		wait := r.opts.Log.Append(journal.Event{Type: journal.ApprovalAsked, Step: asked.unit.Step, Item: asked.unit.Item, Detail: journal.Detail(u.asked)})
		r.waiting++
		r.spawn(func(context.Context) report { return report{unit: u, kind: questionKept, fatal: wait()} })
	}
	r.yieldSlot(u)
	r.expire(now)
}

// callDecided continues a unit that waited for a decision about a call.
func (r *run) callDecided(u *unit, d journal.Decision) {
	if u.decisions == nil {
		u.decisions = map[journal.Unit]*journal.Decision{}
	}
	u.decisions[u.call.unit] = &d
	u.call, u.asked, u.deadline, u.expired = nil, nil, time.Time{}, false
	r.observe(u, Event{Attempt: u.res.Attempts + 1})
	r.regainSlot(u)
}
