package engine

import (
	"slices"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/workflow"
)

// parts is what a run has in addition whose attempts are made elsewhere: that of an
// Advance, or of the attempts at one unit.
type parts struct {
	// Of an Advance.
	under     map[journal.Unit]int                // what is under way, with the attempts at once
	questions map[journal.Unit]*journal.UnitState // open questions about calls, by the unit that makes the call
	parked    []*unit                             // leaves to attempt, and those that are being attempted
	wide      []*unit                             // foreach steps to advance apart
	items     *Items                              // those to advance; nil for the whole run

	attempts bool         // it attempts the one unit
	only     journal.Unit // that is attempted, or whose items are advanced
	found    *unit        // of only; nil before it is reached
}

func newParts(past *journal.State, items *Items, under []Under) *parts {
	p := &parts{under: map[journal.Unit]int{}, questions: map[journal.Unit]*journal.UnitState{}, items: items}
	if items != nil {
		p.only = items.Of
	}
	for _, u := range under {
		p.under[u.Unit] = max(u.Most, 1)
	}
	for _, u := range past.Order {
		if caller, ok := u.Caller(); ok && u.Type == journal.ApprovalAsked && u.Decision == nil {
			p.questions[caller] = u
		}
	}
	return p
}

// takes reports whether the parts have taken a unit that is ready: it is the one to
// attempt or whose items are advanced, or is being attempted.
func (r *run) takes(u *unit) bool {
	p := r.parts
	switch {
	case p == nil:
		return false
	case p.attempts && u.id() == p.only && u.attempted(),
		p.items != nil && u.id() == p.only && u.step.Foreach != nil && u.parent == nil:
		p.found = u
		return true
	case p.under[u.id()] > 0 && u.attempted():
		p.parked = append(p.parked, u)
		return true
	}
	return false
}

// spreadsApart reports whether the items of a foreach, which are known, are advanced apart
// from the rest of the run.
func (r *run) spreadsApart(u *unit) bool {
	p := r.parts
	if p == nil || p.attempts || u == p.found || r.rebuilt || r.opts.Wide <= 0 {
		return false
	}
	if p.under[u.id()] == 0 && len(u.fan.order)-u.fan.forced <= r.opts.Wide {
		return false
	}
	p.wide = append(p.wide, u)
	return true
}

// needed returns the steps of a graph, which is the body of around, that are restored. Of the
// graphs that the one attempted unit is in, these are the step that it is or is within, and
// all that this one waits for, directly or not; of all others every step.
func (r *run) needed(around journal.Unit, wf *workflow.Workflow) []*workflow.Step {
	p := r.parts
	if p == nil || !p.attempts || !slices.Contains(slices.Collect(p.only.Items()), around.Item) {
		return wf.Steps
	}
	byID := make(map[string]*workflow.Step, len(wf.Steps))
	replaced := map[string][]string{} // by fallback, the steps it stands in for
	var next []string
	for _, s := range wf.Steps {
		byID[s.ID] = s
		if s.OnFailure == workflow.OnFailureFallback {
			replaced[s.Fallback] = append(replaced[s.Fallback], s.ID)
		}
		if p.only.In(around.Inner(s.ID).Step) {
			next = append(next, s.ID)
		}
	}
	if next == nil {
		return wf.Steps
	}
	need := map[string]bool{}
	for len(next) > 0 {
		id := next[len(next)-1]
		next = next[:len(next)-1]
		s := byID[id]
		if s == nil || need[id] {
			continue
		}
		need[id] = true
		next = append(append(next, s.Dependencies...), replaced[id]...)
		if s.OnFailure == workflow.OnFailureFallback {
			next = append(next, s.Fallback)
		}
	}
	steps := make([]*workflow.Step, 0, len(need))
	for _, s := range wf.Steps {
		if need[s.ID] {
			steps = append(steps, s)
		}
	}
	return steps
}

// attempted reports whether the unit is a leaf that makes attempts.
func (u *unit) attempted() bool { return u.leaf() && !u.computes() }

// omits reports whether an event is not written, since the journal has it or it is of
// another unit than the one that is attempted. The run's own events have no unit.
func (r *run) omits(u *unit, ev journal.Event) bool {
	p := r.parts
	switch {
	case p == nil || u == nil:
		return false
	case p.attempts:
		return u != p.found
	case p.items != nil && (r.rebuilt || u == p.found):
		return true
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

// see sets what a step sees that starts before all that it depends on has ended, and has
// others within it: what it saw when it started, which is returned. It is nil for all other
// units, and where the run makes all attempts itself: then the step starts once.
func (r *run) see(u *unit) []string {
	if r.parts == nil || u.node == nil || !u.step.Hurries() {
		return nil
	}
	if was := r.opts.Past.Unit(u.path, u.item); was != nil && was.StartSeq > 0 {
		u.node.saw = was.Started.Ended
	} else {
		for _, id := range u.step.Dependencies {
			if _, ended := u.frame.env.Steps[id]; ended {
				u.node.saw = append(u.node.saw, id)
			}
		}
	}
	return u.node.saw
}

// itemOrder returns the order in which the items of a foreach start, by their numbers, and how
// many of them start whatever its limit says: those that have ended, and those in which
// something is being attempted. Nil means that of the list.
func (r *run) itemOrder(u *unit, f *fan) (order []int, forced int) {
	p := r.parts
	if p == nil {
		return nil, 0
	}
	if p.only.Step != "" {
		if key, ok := p.only.KeyIn(u.id()); ok {
			i := slices.Index(f.keys, key)
			if i < 0 {
				return []int{}, 0
			}
			return []int{i}, 1
		}
	}
	if r.rebuilt {
		return nil, 0
	}
	from, to := 0, len(f.keys)
	if u == p.found {
		from, to = min(p.items.From, to), min(p.items.To, to)
	}
	under := map[string]bool{}
	for id := range p.under {
		if key, ok := id.KeyIn(u.id()); ok {
			under[key] = true
		}
	}
	var rest []int
	order = make([]int, 0, len(f.keys))
	for i := from; i < to; i++ {
		key := f.keys[i]
		id := u.id().WithItem(key)
		if was := r.opts.Past.Unit(id.Step, id.Item); under[key] || was != nil && was.EndSeq > 0 {
			order = append(order, i)
		} else {
			rest = append(rest, i)
		}
	}
	return append(order, rest...), len(order)
}
