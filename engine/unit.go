package engine

import (
	"cmp"
	"container/heap"
	"maps"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// unit is one piece of work: a step (then node is set), an item of its foreach
// or an iteration of its loop (then parent is).
type unit struct {
	frame  *frame
	step   *workflow.Step
	node   *node // set for a step itself
	parent *unit // the foreach or loop it belongs to; nil for a step itself
	path   string
	item   string // chain of item keys
	label  string // the items that it is for, the outermost first, for people
	value  any    // the item
	loop   *workflow.LoopEnv
	index  int // among the parent's items, or of the iteration

	chosen       *workflow.Step // the step with its agent and model; nil until that is known
	res          *StepResult
	began        time.Time      // by this process, with its monotonic clock; zero if it did not begin it
	attemptEnded time.Time      // the last that is to be followed by another
	fan          *fan           // of a foreach under way
	reckoned     bool           // what it took is in [run.uncounted]
	talk         *Conversation  // of a step that another continues, once it has completed
	turns        *journal.Turns // of a leaf that has been attempted; nil without a journal
	body         *frame         // of a step with steps of its own, under way
	live         map[*unit]bool // items or iterations that have started and not ended
	restored     bool           // its result is from a journal
	reuse        bool           // its results are taken from an earlier run, where it has them

	remaining time.Duration // longest path from here to the end
	serial    int           // orders units with equal paths
	level     int           // how many of the limits around it have let it in
	asked     *journal.ApprovalRequest
	deadline  time.Time // of asked, by the monotonic clock; zero for none
	expired   bool      // the deadline has passed

	call      *askedCall                         // that the unit waits for; nil if asked is the unit's own question
	decisions map[journal.Unit]*journal.Decision // of its calls, made in this process
}

// outcome is the end of a unit.
type outcome struct {
	unit   *unit
	status Status // completed, failed, skipped or interrupted
	output string
	json   any
	err    error
	reason string // of a skip
	saved  bool   // its output was saved, or could not be
}

func (r *run) newUnit(f *frame, s *workflow.Step, id journal.Unit) *unit {
	r.created++
	return &unit{
		frame: f, step: s, path: id.Step, item: id.Item, serial: r.created,
		res: &StepResult{Status: StatusPending, Agent: agentOf(s), Outcome: llm.Outcome{CostUSD: new(float64)}},
	}
}

// agentOf returns the agent of a step; empty if it is not known before the step runs.
func agentOf(s *workflow.Step) string {
	if s.AgentFrom != nil {
		return ""
	}
	return s.Agent
}

// id returns the name that the journal knows the unit by.
func (u *unit) id() journal.Unit { return journal.Unit{Step: u.path, Item: u.item} }

// child returns an item or an iteration of u.
func (r *run) child(u *unit, id journal.Unit) *unit {
	c := r.newUnit(u.frame, u.step, id)
	if u.live == nil {
		u.live = map[*unit]bool{}
	}
	u.live[c] = true
	c.parent, c.reuse, c.remaining, c.label = u, u.reuse, u.remaining, u.label
	return c
}

// env returns what the unit's expressions see.
func (u *unit) env() workflow.Env {
	env := u.frame.env
	switch {
	case u.parent == nil:
	case u.step.Foreach != nil:
		env.Item = u.value
		name := u.step.Foreach.Name
		if name != "" {
			env.Items = maps.Clone(env.Items)
			if env.Items == nil {
				env.Items = map[string]any{}
			}
			env.Items[name] = u.value
		}
		if id := env.Origin(u.step.Foreach.Items); id != "" {
			env.Origins = maps.Clone(env.Origins)
			if env.Origins == nil {
				env.Origins = map[string]string{}
			}
			env.Origins["item"] = id
			if name != "" {
				env.Origins["item."+name] = id
			}
		}
	default:
		env.Loop = u.loop
	}
	if u.step.Hurries() || len(u.frame.replaces[u.step.ID]) > 0 {
		env.Steps = u.frame.seen(u.step)
	}
	return env
}

// start starts a unit that is ready.
func (r *run) start(u *unit) {
	s := u.step
	switch {
	case r.takes(u):
	case r.keepFailure(u):
	case s.Foreach != nil && u.parent == nil:
		r.expand(u)
	case s.Loop != nil && u.parent == nil:
		r.startLoop(u)
	case s.Approval != nil:
		r.ask(u)
	case s.Body != nil:
		r.startBody(u)
	default:
		r.lookUp(u)
	}
}

// begin notes that the unit begins now.
func (u *unit) begin() {
	u.began = time.Now()
	u.res.StartedAt = new(u.began.UTC())
}

// took returns how long the unit has taken, in seconds. It is measured by the
// monotonic clock. Of a unit that another process began, only the time of day is
// known: it may have been set back, but no time is below 0.
func (u *unit) took() float64 {
	switch {
	case u.res.StartedAt == nil:
		return 0
	case u.began.IsZero():
		return max(time.Since(*u.res.StartedAt), 0).Seconds()
	}
	return time.Since(u.began).Seconds()
}

// markStarted records the start of a unit that has others within it.
func (r *run) markStarted(u *unit) {
	u.begin()
	started := journal.Started{Agent: agentOf(u.step), Label: u.label, Ended: r.see(u)}
	if was := r.opts.Past.Unit(u.path, u.item); was != nil && (r.rebuilt || r.parts != nil && was.StartSeq > 0) {
		u.res.StartedAt, u.began = new(was.StartedAt.UTC()), time.Time{}
		u.res.DurationSeconds = cmp.Or(was.Finished.DurationSeconds, was.Failed.DurationSeconds)
	}
	u.res.Status, u.res.Attempts = StatusRunning, 1
	if u.node != nil && u.frame == r.root {
		r.recordStart(u.step.ID)
	}
	r.write(u, journal.StepStarted, 1, started)
	r.observe(u, Event{Attempt: 1})
}

// lookUp completes a leaf from a journal if that has its end. Any other leaf is
// computed, or queued for a slot.
func (r *run) lookUp(u *unit) {
	if was := r.opts.Past.Unit(u.path, u.item); was != nil {
		if r.rebuilt && was.Type != journal.StepFinished {
			r.rebuild(u, was)
			return
		}
		if was.Answered() && !r.opts.Changed && !(u.forgot(was) && !r.rebuilt) {
			r.restore(u, was)
			return
		}
		started := !was.Answered() && !was.StartedAt.IsZero()
		if started && u.step.Effects == workflow.EffectsOnce && !r.opts.Again[u.step.ID] && was.Uncertain() {
			r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusFailed, err: uncertain(u, was)})
			return
		}
	}
	if u.reuse && u.step.Exit == nil { // an exit is decided again
		if was := r.opts.Earlier.Unit(u.path, u.item); was != nil && was.Type == journal.StepFinished && !u.forgot(was) {
			r.reuse(u, was)
			return
		}
	}
	if r.rebuilt {
		return // it never started
	}
	switch {
	case u.step.Value != nil:
		r.compute(u, r.opts.Past.Unit(u.path, u.item))
		return
	case u.step.Exit != nil:
		r.leave(u)
		return
	}
	r.admit(u)
}

// rebuild completes a leaf that has not finished with what its journal says.
func (r *run) rebuild(u *unit, was *journal.UnitState) {
	r.fill(u, was)
	if u.node != nil && u.frame == r.root {
		r.recordStart(u.step.ID)
	}
	if was.Type == journal.StepFailed {
		r.restoreFailure(u, was)
		return
	}
	r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusInterrupted})
}

// EffectsError reports a step with effects "once" that may have had its effects
// already, so it does not run again unless [Options.Again] names it.
type EffectsError struct {
	Step string // its id
	err  error
}

func (e *EffectsError) Error() string { return e.err.Error() }

// Unwrap returns an [llm.Error] with the code [llm.CodeInvalid].
func (e *EffectsError) Unwrap() error { return e.err }

func uncertain(u *unit, was *journal.UnitState) error {
	what := "started before and may have had its effects"
	switch was.Type {
	case journal.StepFailed:
		what = "failed before and may have had effects"
	case journal.StepFinished:
		what = "was done before, and is asked something else now"
	}
	return &EffectsError{u.step.ID, llm.NewError(llm.CodeInvalid, "step "+u.path+" "+what+"; check whether it had, then allow it to run again", nil)}
}

// restore completes a unit with its result in this run's journal.
func (r *run) restore(u *unit, was *journal.UnitState) {
	r.fill(u, was)
	u.restored = true
	u.res.Reason = was.Decision.Reason()
	if u.node != nil && u.frame == r.root {
		r.recordStart(u.step.ID)
	}
	if err := u.remember(was); err != nil && !r.rebuilt {
		r.fail(u, err)
		return
	}
	r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusCompleted, output: was.Output, json: r.parsePast(u, was)})
	if end := was.Finished.Exit; end != nil && r.exited == nil {
		r.exit(u, *end)
	}
}

// reuse completes a unit with its result in an earlier run's journal, at no cost
// to this run.
func (r *run) reuse(u *unit, was *journal.UnitState) {
	r.fill(u, was)
	u.restored = true
	u.res.Source, u.res.CostUSD, u.res.Timing = llm.SourceJournal, new(float64), llm.Timing{} // this run was not served
	if u.node != nil && u.frame == r.root {
		r.recordStart(u.step.ID)
	}
	if err := u.remember(was); err != nil {
		r.fail(u, err)
		return
	}
	if r.opts.Log != nil {
		done := was.Finished
		done.Source, done.CostUSD, done.Timing, done.PaidInTurns = u.res.Source, u.res.CostUSD, u.res.Timing, nil
		events := []journal.Event{{Type: journal.StepStarted, Step: u.path, Item: u.item, Attempt: 1, Detail: journal.Detail(was.Started)}}
		if u.talk != nil {
			events = append(events, u.talk.event(u.path, u.item))
		}
		r.opts.Log.Append(append(events,
			journal.Event{Type: journal.StepFinished, Step: u.path, Item: u.item, Key: was.Key, Output: was.Output, Detail: journal.Detail(done)})...)
	}
	r.outcomes = append(r.outcomes, outcome{unit: u, status: StatusCompleted, output: was.Output, json: u.parse(was.Output)})
}

// fill sets the unit's result from a journal.
func (r *run) fill(u *unit, was *journal.UnitState) {
	if was.Answered() && u.leaf() {
		r.samples.number(u.repeated(), u.path, was.Key)
	}
	if u.step.AgentFrom != nil && u.leaf() {
		u.res.Agent = was.Started.Agent
	}
	u.res.Outcome = was.Finished.Outcome
	u.res.StartedAt = new(was.StartedAt.UTC())
	u.res.Attempts = was.Attempts
	u.res.DurationSeconds = was.Finished.DurationSeconds
	u.res.Inputs = was.Started.Inputs
}

// limit caps how many leaves within a frame hold a slot.
type limit struct {
	most, used int
	held       heapOf // leaves that wait to be let in
}

// admit lets a leaf through the limits around it, innermost first, to where it
// waits for a slot. A leaf that meets a full limit waits there.
func (r *run) admit(u *unit) {
	if r.parts != nil && !r.parts.attempts {
		r.park(u)
		return
	}
	for ; u.level < len(u.frame.limits); u.level++ {
		l := u.frame.limits[u.level]
		if l.used >= l.most {
			l.held.push(u)
			return
		}
		l.used++
	}
	r.ready.push(u)
}

// release gives back what a leaf held, and lets in who waited for it.
func (r *run) release(u *unit) {
	u.level = 0
	for _, l := range u.frame.limits {
		l.used--
		if len(l.held) > 0 {
			next := l.held.pop()
			l.used++
			next.level++
			r.admit(next)
		}
	}
}

// heapOf orders units: the longest remaining path first, then as they came.
type heapOf []*unit

func (h *heapOf) push(u *unit) { heap.Push(h, u) }
func (h *heapOf) pop() *unit   { return heap.Pop(h).(*unit) }

func (h heapOf) Len() int { return len(h) }
func (h heapOf) Less(i, j int) bool {
	if h[i].remaining != h[j].remaining {
		return h[i].remaining > h[j].remaining
	}
	return h[i].serial < h[j].serial
}
func (h heapOf) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop are for container/heap only.
func (h *heapOf) Push(x any) { *h = append(*h, x.(*unit)) }

// Pop removes the last element.
func (h *heapOf) Pop() any {
	old := *h
	u := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return u
}
