package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
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

// AdvanceItems is [Advance] for some of the items of a foreach that Advance has called
// wide, and all within them. opts.Log is that of the part that items names, and under is
// what is under way within them.
func AdvanceItems(ctx context.Context, wf *workflow.Workflow, opts Options, items Items, under []Under) (*Frontier, error) {
	return advance(ctx, wf, opts, &items, under)
}

func advance(ctx context.Context, wf *workflow.Workflow, opts Options, items *Items, under []Under) (*Frontier, error) {
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
	status := u.res.Status
	if status != StatusCompleted && status != StatusFailed {
		if status != StatusWaiting {
			status = StatusInterrupted
		}
		if r.leaveUncounted(u); r.uncounted > 0 {
			r.write(u, journal.StepStopped, 0, journal.Stopped{UncountedUSD: r.uncounted})
		}
	}
	if opts.Log != nil {
		if err := opts.Log.Append()(); err != nil {
			return "", err
		}
	}
	return status, nil
}

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
	slices.SortFunc(rest, func(a, b *unit) int {
		if (heapOf{a, b}).Less(0, 1) {
			return -1
		}
		return 1
	})
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
		if key, ok := keyWithin(u, p.only); ok {
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
		if key, ok := keyWithin(u, id); ok {
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

// Lists knows the names of the items of one run's foreach steps, which stay as they are
// once the journal has them, and the values of long outputs, such as the lists themselves.
// The zero value is ready; nil knows none. It is safe for concurrent use.
type Lists struct {
	mu     sync.Mutex
	known  map[journal.Unit]itemNames
	values map[journal.Unit]outputValue
}

type itemNames struct{ keys, labels []string }

type outputValue struct {
	end   int64 // the number of the event that has the output
	value any
}

// longOutput is the number of bytes from which the value of an output is kept.
const longOutput = 1 << 10

// parsePast returns the value of the output that a unit has in the journal; see
// [ParseOutput].
func (r *run) parsePast(u *unit, was *journal.UnitState) any {
	l := r.opts.Lists
	if l == nil || u.item != "" || len(was.Output) < longOutput { // of items there may be very many
		return u.parse(was.Output)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	known, ok := l.values[u.id()]
	if !ok || known.end != was.EndSeq {
		known = outputValue{was.EndSeq, u.parse(was.Output)}
		if l.values == nil {
			l.values = map[journal.Unit]outputValue{}
		}
		l.values[u.id()] = known
	}
	return known.value
}

// identifyItems returns the keys and the labels of the items of a foreach; see [identify].
func (r *run) identifyItems(u *unit, items []any) (keys, labels []string) {
	l := r.opts.Lists
	if was := r.opts.Past.Unit(u.path, u.item); l == nil || was == nil || was.Expanded == nil {
		return identify(items)
	}
	l.mu.Lock()
	known, ok := l.known[u.id()]
	l.mu.Unlock()
	if ok && len(known.keys) == len(items) {
		return known.keys, known.labels
	}
	keys, labels = identify(items)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[journal.Unit]itemNames{}
	}
	l.known[u.id()] = itemNames{keys, labels}
	return keys, labels
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
