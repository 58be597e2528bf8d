package engine

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// Run runs wf to its end and gives its result, which tells of failed steps;
// the result is complete whatever happened. A run that is stopped, by ctx or
// by Drain, has the status StatusInterrupted.
//
// The error is for a journal that cannot be written: work was stopped then,
// since it would be lost.
//
// Every goroutine that Run starts has ended when it returns.
func Run(ctx context.Context, wf *workflow.Workflow, opts Options) (*Result, error) {
	ctx, r, end := launch(ctx, wf, opts)
	defer end()
	r.begin()
	r.loop(ctx)
	return r.finish(ctx)
}

// launch makes a run, and its context. The function it returns waits until every goroutine
// of the run has ended.
func launch(caller context.Context, wf *workflow.Workflow, opts Options) (context.Context, *run, func()) {
	ctx, cancel := context.WithCancelCause(caller)
	r := newRun(wf, opts)
	r.cancel = cancel
	if opts.Observe != nil {
		r.notify = func(ev Event) { opts.Observe(caller, ev) }
	}
	r.attempts, r.stopAttempts = context.WithCancelCause(ctx)
	r.spawn = func(do func(context.Context) report) {
		r.tasks.Go(func() { r.reports <- do(ctx) })
	}
	return ctx, r, func() {
		cancel(nil) // before waiting
		r.tasks.Wait()
		r.stopAttempts(nil)
	}
}

// loop runs the run until there is nothing left to do.
func (r *run) loop(ctx context.Context) {
	for {
		r.checkStop(ctx)
		r.work(ctx)
		if r.idle() {
			return
		}
		select {
		case rep := <-r.reports:
			r.take(ctx, rep)
		case ev, open := <-r.control:
			if !open {
				r.control = nil
				continue
			}
			r.decide(ev)
		case <-r.alarm.C:
			r.expire(time.Now())
		case <-r.drain:
			r.stop()
		case <-r.done(ctx):
			r.stop()
		}
	}
}

var errCancelled = errors.New("the run was cancelled")

// run is the state of one Run. Only Run's goroutine touches it, but for what
// attempts and pauses read: opts and stopped.
type run struct {
	wf      *workflow.Workflow
	opts    Options
	notify  func(Event) // passes an event to Options.Observe; nil if no one observes
	started time.Time
	root    *frame
	order   []string        // ids of the top level as they started
	ordered map[string]bool // those in order
	created int             // units so far, which orders equals
	known   map[*workflow.Step]Identity
	changes map[journal.ChangesSince][]string // changed files that the run knows of

	samples samples

	ready     heapOf // leaves that wait for a slot
	slots     int
	running   int       // attempts under way
	uncounted float64   // what interrupted units took, in US dollars, and no event of theirs says
	waiting   int       // pauses between two attempts, searches for items, and questions that are being written down
	outcomes  []outcome // ends of units that complete has not handled
	asking    []*unit   // approvals that wait for a person
	alarm     *time.Timer

	files   []SavedFile      // of the result
	claimed map[string]claim // who saves a file, by its path as [workflow.SameFile] has it

	notes []string        // of the result
	noted map[string]bool // ids of the steps in notes

	parts *parts // nil where the run makes all of its attempts itself

	exited       *journal.Exited         // the step that has ended the run
	rebuilt      bool                    // nothing runs any more: the result is made from the journal
	attempts     context.Context         // of attempts: it ends once a step has ended the run
	stopAttempts context.CancelCauseFunc // ends attempts

	refused   error // why the run could not start
	stopping  bool
	cancelled bool
	fatal     error // the journal failed
	cancel    context.CancelCauseFunc
	drain     <-chan struct{}
	control   <-chan journal.Event
	stopped   chan struct{} // closed once the run stops; ends pauses
	reports   chan report
	tasks     sync.WaitGroup
	spawn     func(do func(context.Context) report) // runs do beside the loop, which takes in what it returns
}

// report is the end of something that ran beside the loop.
type report struct {
	unit    *unit
	kind    reportKind
	outcome llm.Outcome
	talk    *Conversation // of a step that another continues
	err     error
	fatal   error              // the journal failed
	paths   []string           // what a glob found
	was     *journal.UnitState // its end in this run's journal
	before  *journal.UnitState // its end in the run before, which is taken

	decision *journal.Decision // of an approval whose deadline has passed; nil for none
	asked    *askedCall        // what ended the attempt; nil if nothing was asked
	saved    *savedOutput      // with saveEnded
}

type reportKind int

const (
	attemptEnded reportKind = iota
	pauseEnded
	globEnded
	questionKept
	deadlinePassed
	saveEnded
)

func newRun(wf *workflow.Workflow, opts Options) *run {
	if opts.Duration == nil {
		opts.Duration = func(*workflow.Step) time.Duration { return time.Second }
	}
	if opts.Past == nil {
		opts.Past = &journal.State{}
	}
	if opts.Memo == nil {
		opts.Memo = &Memo{}
	}
	r := &run{
		wf: wf, opts: opts, started: time.Now(),
		ordered: map[string]bool{},
		noted:   map[string]bool{},
		known:   map[*workflow.Step]Identity{},
		changes: map[journal.ChangesSince][]string{},
		slots:   DefaultParallel,
		drain:   opts.Drain,
		control: opts.Control,
		stopped: make(chan struct{}),
		reports: make(chan report, 64),
		alarm:   time.NewTimer(time.Hour),
	}
	if past := opts.Past; past.Exited != nil && !opts.Changed {
		r.exited = past.Exited // by an earlier process, which may have died before the run had ended
	}
	r.rebuilt = opts.Rebuild || r.exited != nil
	r.alarm.Stop()
	if opts.MaxParallel > 0 {
		r.slots = opts.MaxParallel
	} else if wf.MaxParallel > 0 {
		r.slots = wf.MaxParallel
	}
	return r
}

// begin creates the frame of the workflow and starts it.
func (r *run) begin() {
	for _, c := range r.opts.Past.Changes {
		r.changes[c.ChangesSince] = c.Files
	}
	env, err := r.wf.WithVars(workflow.Env{
		Params: r.opts.Params,
		Steps:  make(map[string]workflow.StepResult, len(r.wf.Steps)),
		Run:    map[string]any{"id": r.opts.RunID},
		Env:    r.opts.Env,

		ChangedFiles: r.changedFiles,
	})
	r.root = r.newFrame(nil, r.wf, env)
	if err != nil && !r.rebuilt {
		r.refuse(err)
		return
	}
	for _, u := range r.opts.Past.Order { // in the order in which an earlier process started them
		n := r.root.nodes[u.Step]
		if n == nil || u.Item != "" {
			continue
		}
		if r.parts != nil && u.StartSeq > 0 || u.Type == journal.StepFinished || u.Type == journal.StepFailed && u.StartSeq > 0 && !r.opts.Changed && !r.opts.Failed && r.actedOn(n.unit) {
			r.recordStart(u.Step)
		}
	}
	r.startFrame(r.root)
}

// refuse starts nothing. What has finished in the journal is kept: the run may be resumed
// once the cause is gone.
func (r *run) refuse(err error) {
	r.refused, r.outcomes = err, nil
	r.stop()
}

// recordStart adds a step of the top level to the order.
func (r *run) recordStart(id string) {
	if !r.ordered[id] {
		r.ordered[id] = true
		r.order = append(r.order, id)
	}
}

// work completes what has ended and starts what can start.
func (r *run) work(ctx context.Context) {
	for {
		for len(r.outcomes) > 0 {
			// A queue and not a recursion: a chain may be as long as the file.
			o := r.outcomes[0]
			if r.outcomes = r.outcomes[1:]; len(r.outcomes) == 0 {
				r.outcomes = nil // free the backing array
			}
			if r.complete(o); o.unit.computes() { // many may follow one another
				r.checkStop(ctx)
			}
		}
		if r.stopping || r.running >= r.slots || len(r.ready) == 0 {
			return
		}
		r.attempt(r.ready.pop())
	}
}

func (r *run) idle() bool {
	if r.parts != nil {
		return r.running == 0 && r.waiting == 0
	}
	return r.opts.Rebuild || r.running == 0 && r.waiting == 0 && (r.stopping || len(r.asking) == 0)
}

// take handles a report.
func (r *run) take(ctx context.Context, rep report) {
	if rep.fatal != nil && r.fatal == nil {
		r.fatal = rep.fatal
		r.stop()
		r.cancel(rep.fatal)
	}
	switch rep.kind {
	case pauseEnded:
		r.waiting--
		r.regainSlot(rep.unit)
	case globEnded:
		r.waiting--
		r.globbed(rep)
	case questionKept:
		r.waiting--
		r.show(rep.unit)
	case saveEnded:
		r.waiting--
		r.saveEnded(ctx, rep)
	case deadlinePassed:
		r.waiting--
		r.expired(rep)
	default:
		r.running--
		r.release(rep.unit)
		r.ended(r.attempts, rep)
	}
}

// checkStop stops the run if that was requested, before anything more starts: what
// else has happened at the same time must not come first by chance.
func (r *run) checkStop(ctx context.Context) {
	select {
	case <-r.drain:
		r.stop()
	case <-r.done(ctx):
		r.stop()
	default:
	}
}

// stop starts nothing more.
func (r *run) stop() {
	if !r.stopping {
		r.stopping, r.drain = true, nil
		close(r.stopped)
	}
}

// done returns ctx's end, or nothing once the run knows of it.
func (r *run) done(ctx context.Context) <-chan struct{} {
	if r.stopping && ctx.Err() != nil {
		return nil
	}
	return ctx.Done()
}

// write adds an event to the journal without waiting for it.
func (r *run) write(u *unit, typ journal.EventType, attempt int, detail any) {
	ev := journal.Event{Type: typ, Attempt: attempt}
	if detail != nil && r.opts.Log != nil {
		ev.Detail = journal.Detail(detail)
	}
	r.append(u, ev)
}

// append adds an event of a unit to the journal without waiting for it. A nil unit
// is the run itself.
func (r *run) append(u *unit, ev journal.Event) {
	if r.opts.Log == nil || r.omits(u, ev) {
		return
	}
	if u != nil {
		ev.Step, ev.Item = u.path, u.item
	}
	r.opts.Log.Append(ev)
}

func (r *run) observe(u *unit, ev Event) {
	if r.notify == nil || r.parts != nil && r.parts.attempts && u != r.parts.found {
		return
	}
	ev.Step, ev.Path, ev.Item, ev.Index, ev.Label, ev.Result = cmp.Or(u.chosen, u.step), u.path, u.item, u.index, u.label, u.res
	ev.Inner = u.parent != nil || u.frame.owner != nil
	if ev.Status == "" {
		ev.Status = u.res.Status
	}
	r.notify(ev)
}
