package claudeforce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// EngineTemporal is the engine of runs that workers of Temporal work on.
const EngineTemporal = "temporal"

// Engines returns the names of the engines that can own runs of a store which the settings
// name: none for a store that workers on other machines cannot share.
func Engines(cfg *config.Config, store journal.Store) []string {
	if _, ok := store.(journal.Joiner); !ok || cfg.Store == "" {
		return nil
	}
	return []string{EngineTemporal}
}

// checkEngine returns an error if an engine cannot own runs of the store.
func (o *Orchestrator) checkEngine(store journal.Store, name string) error {
	switch {
	case name == "" || slices.Contains(Engines(o.config, store), name):
		return nil
	case name != EngineTemporal:
		return invalid(fmt.Errorf("there is no engine %q; leave it out, or name %s", name, EngineTemporal))
	default:
		return invalid(fmt.Errorf("the engine %s needs a store that its workers share: set store to the URL of a PostgreSQL database", name))
	}
}

// JoinedRun is a run that an engine owns, and of which this process does parts, as other
// processes do. It is safe for concurrent use.
type JoinedRun struct {
	o        *Orchestrator
	store    journal.Store
	joiner   journal.Joiner
	engine   string
	run      *pendingRun
	previous *runs.Previous
	kept     *reuse
	replica  *journal.Replica
	memo     engine.Memo

	uncancelled context.Context // ends when the run is cancelled
	cancel      context.CancelFunc

	releases sync.WaitGroup // of parts, which are under way

	mu       sync.Mutex // guards the fields below
	attempts int        // under way
	unlisten func()     // nil without attempts
}

// UnfitError says that a run cannot be worked on here: its agents or environment differ, or
// its workflow or settings cannot be read.
type UnfitError struct {
	Run string
	Err error
}

func (e *UnfitError) Error() string {
	return fmt.Sprintf("run %s cannot be worked on here: %v", e.Run, e.Err)
}
func (e *UnfitError) Unwrap() error { return e.Err }

// JoinRun returns a run that an engine owns. It is as it was when it was submitted, whatever
// has become of the workflow's file. If its agents or environment differ here, or are missing,
// the error is an [*UnfitError]. That of a run which the engine does not own, or no longer, is
// as in [journal.Joiner]. Close it when done.
func (o *Orchestrator) JoinRun(ctx context.Context, id, engineName string) (*JoinedRun, error) {
	store, err := o.history(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.checkEngine(store, engineName); err != nil {
		return nil, err
	}
	run, err := store.Find(ctx, id)
	if err == nil {
		err = run.CheckJoin(engineName)
	}
	if err != nil {
		return nil, fmt.Errorf("joining run %s: %w", id, err)
	}
	replica := journal.NewReplica(store, id)
	past, err := replica.State(ctx)
	if err != nil {
		return nil, err
	}
	r, err := o.joinable(ctx, run, past)
	if err != nil {
		return nil, &UnfitError{id, err}
	}
	r.changed = past.Spec != nil
	r.files = newChangedFiles(o, past)
	if err := o.checkLedger(r); err != nil {
		return nil, err
	}
	j := &JoinedRun{o: o, store: store, joiner: store.(journal.Joiner), engine: engineName, run: r, replica: replica}
	j.kept = newReuse(o, &r.opts)
	if j.previous, err = runs.LoadPrevious(ctx, store, id, r.spec, r.wf); err != nil {
		return nil, err
	}
	j.uncancelled, j.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return j, nil
}

// joinable reads a run that is to be joined, and checks that it may be.
func (o *Orchestrator) joinable(ctx context.Context, run journal.Run, past *journal.State) (*pendingRun, error) {
	spec, err := runs.SpecOf(run, past)
	if err != nil {
		return nil, err
	}
	wf, err := spec.Recorded(o.CheckAgent)
	if err != nil {
		return nil, err
	}
	r, err := restored(run, spec, wf)
	if err != nil {
		return nil, err
	}
	r.opts.AskCalls, r.opts.AskTimeout = spec.Settings.Approvals == runs.ApprovalsDurable, spec.Settings.AskFor
	if changes := o.changedDigests(ctx, r); len(changes) > 0 {
		return nil, &ChangedError{Run: run.ID, Changes: changes}
	}
	return r, nil
}

// Close frees what is kept for the run. Its attempts must have ended.
func (j *JoinedRun) Close() {
	j.cancel()
	j.releases.Wait()
	j.o.forget(j.run.wf)
}

// Advance does what the run can do without attempts, as [engine.Advance] does. The run of a
// frontier with a Result has ended.
func (j *JoinedRun) Advance(ctx context.Context, under []engine.Under) (f *engine.Frontier, err error) {
	err = j.advance(ctx, journal.Unit{}, func(options engine.Options) (err error) {
		f, err = engine.Advance(ctx, j.run.wf, options, under)
		return err
	})
	if err == nil && f.Result != nil {
		j.o.tell.RunEnded(ctx, j.run.id, string(f.Result.Status), time.Since(j.run.started))
	}
	return f, err
}

// AdvanceItems does what some items of a wide foreach can do without attempts, as
// [engine.AdvanceItems] does.
func (j *JoinedRun) AdvanceItems(ctx context.Context, items engine.Items, under []engine.Under) (f *engine.Frontier, err error) {
	err = j.advance(ctx, items.Part(), func(options engine.Options) (err error) {
		f, err = engine.AdvanceItems(ctx, j.run.wf, options, items, under)
		return err
	})
	return f, err
}

// wideItems is the number of open items of a foreach above which they are advanced apart.
const wideItems = 200

// errRunCancelled ends the attempts of a run that a person cancels.
var errRunCancelled = errors.New("the run is cancelled")

// Attempt makes the attempts at a unit until it has ended, as [engine.AttemptUnit] does. They
// stop soon after the run is cancelled.
func (j *JoinedRun) Attempt(ctx context.Context, unit journal.Unit) (status engine.Status, err error) {
	err = j.with(ctx, unit, func(options engine.Options) (err error) {
		ctx, end := j.listen(ctx, options.Past.LastSeq)
		defer end()
		status, err = engine.AttemptUnit(ctx, j.run.wf, options, unit)
		return err
	})
	return status, err
}

// advance calls do as with does, but joins the part only if do writes to it. Mostly it does
// not, and then no other process has to be kept from writing it.
func (j *JoinedRun) advance(ctx context.Context, part journal.Unit, do func(engine.Options) error) error {
	past, err := j.replica.State(ctx)
	if err != nil {
		return err
	}
	if past.Ended != nil || past.Resumes > 0 { // the run is not the engine's any more, as joining it says
		return j.with(ctx, part, do)
	}
	log := &unwritten{}
	var ends []func()
	options := j.options(ctx, log, past)
	if options.Save != nil {
		options.Save = func(context.Context, engine.File) error { return log.refuse() }
	}
	options.Observe = func(ctx context.Context, ev engine.Event) {
		ends = append(ends, func() { j.count(ctx, ev, past) })
	}
	if err = do(options); log.asked.Load() {
		return j.with(ctx, part, do)
	}
	for _, count := range ends {
		count()
	}
	return err
}

// unwritten is a log that takes nothing, and knows whether it was asked to.
type unwritten struct{ asked atomic.Bool }

var errUnwritten = errors.New("the part of the run is not joined")

// Append fails, unless there is nothing to add.
func (l *unwritten) Append(events ...journal.Event) (wait func() error) {
	if len(events) == 0 {
		return func() error { return nil }
	}
	err := l.refuse()
	return func() error { return err }
}

// refuse notes that something is to be written.
func (l *unwritten) refuse() error {
	l.asked.Store(true)
	return errUnwritten
}

// Release does nothing.
func (*unwritten) Release() error { return nil }

// with calls do with the options for a part of the run, which this process is the only one
// to write meanwhile.
func (j *JoinedRun) with(ctx context.Context, part journal.Unit, do func(engine.Options) error) (err error) {
	log, last, err := j.joiner.Join(ctx, j.run.id, j.engine, part)
	if err != nil {
		return fmt.Errorf("joining run %s: %w", j.run.id, err)
	}
	// What was appended is durable by then, unless do has failed: the caller need not wait.
	defer j.releases.Go(func() { _ = log.Release() })
	past, err := j.replica.StateAt(ctx, last)
	if err != nil {
		return err
	}
	options := j.options(ctx, log, past)
	options.Observe = func(ctx context.Context, ev engine.Event) { j.count(ctx, ev, past) }
	return do(options)
}

// options returns the options for a part of the run that log writes.
func (j *JoinedRun) options(ctx context.Context, log journal.Log, past *journal.State) engine.Options {
	options := j.o.engineOptions(ctx, j.run, j.store, j.previous, j.kept)
	options.Log, options.Past, options.Changed = log, past, j.run.changed
	options.Wide, options.Memo = wideItems, &j.memo
	options.Uncounted = func(ctx context.Context) float64 { return j.o.uncounted(ctx, j.store, j.run.id) }
	return options
}

// count counts the end of a step unless the journal had it. A step that is skipped is skipped
// again with each part of the run that is done.
func (j *JoinedRun) count(ctx context.Context, ev engine.Event, past *journal.State) {
	was := past.Units[journal.Unit{Step: ev.Path, Item: ev.Item}]
	switch {
	case ev.Status == engine.StatusPending, ev.Status == engine.StatusRunning, ev.Status == engine.StatusWaiting:
	case ev.Restored, was != nil && was.Type == journal.StepSkipped:
	default:
		j.o.tell.StepEnded(ctx, string(ev.Status))
	}
}

// listen returns a context that ends when the run is cancelled. All attempts share one
// listener. The function it returns ends the attempt.
func (j *JoinedRun) listen(ctx context.Context, after int64) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(j.uncancelled, func() { cancel(errRunCancelled) })
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.attempts++; j.unlisten == nil {
		j.unlisten = j.follow(context.WithoutCancel(ctx), after)
	}
	return ctx, func() {
		stop()
		cancel(nil)
		j.mu.Lock()
		var unlisten func()
		if j.attempts--; j.attempts == 0 {
			unlisten, j.unlisten = j.unlisten, nil
		}
		j.mu.Unlock()
		if unlisten != nil {
			unlisten()
		}
	}
}

// follow has the attempts end when the run is cancelled, until the function that it returns
// is called.
func (j *JoinedRun) follow(ctx context.Context, after int64) (stop func()) {
	control, unlisten := j.o.listen(ctx, j.store, j.run.id, after)
	done := make(chan struct{})
	go func() { // ends with stop
		for {
			select {
			case ev := <-control:
				if ev.Type == journal.CancelAsked {
					j.cancel()
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		unlisten()
	}
}
