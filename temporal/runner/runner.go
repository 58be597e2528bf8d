// Package runner does the work of [relay.Engine] with orchestrators: it opens, for each run,
// what the process that submitted it had.
package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/temporal/relay"
)

// Open opens an orchestrator for the folder and the settings of a run.
type Open func(ctx context.Context, dir string, settings runs.Settings) (*claudeforce.Orchestrator, error)

// Runner works on the runs that an engine owns. It is safe for concurrent use.
type Runner struct {
	store  journal.Store
	engine string
	open   Open
	log    *slog.Logger

	mu            sync.Mutex               // guards the fields below
	runs          map[string]*run          // by id
	orchestrators map[string]*orchestrator // by folder and settings
}

var _ relay.Engine = (*Runner)(nil)

// New returns a runner of the runs of a store that an engine owns. Close it when done.
func New(store journal.Store, engineName string, open Open, log *slog.Logger) *Runner {
	return &Runner{store: store, engine: engineName, open: open, log: log, runs: map[string]*run{}, orchestrators: map[string]*orchestrator{}}
}

// keptRuns is how many runs that nothing is done in are kept open, and keepFor for how long.
const (
	keptRuns = 32
	keepFor  = 5 * time.Minute
)

// run is one that this process has joined.
type run struct {
	ready  sync.Once
	joined *claudeforce.JoinedRun
	err    error // of joining

	orchestrator *orchestrator
	users        int
	used         time.Time // last
}

// orchestrator is one that several runs use.
type orchestrator struct {
	*claudeforce.Orchestrator
	key  string
	runs int
}

// use calls do with a run that is joined.
func (r *Runner) use(ctx context.Context, id string, do func(*claudeforce.JoinedRun) error) error {
	r.mu.Lock()
	j := r.runs[id]
	if j == nil {
		j = &run{}
		r.runs[id] = j
	}
	j.users++
	r.mu.Unlock()
	j.ready.Do(func() { j.joined, j.orchestrator, j.err = r.join(ctx, id) })
	err := j.err
	if err == nil {
		err = do(j.joined)
	}
	lost := errors.Is(err, journal.ErrLost) || errors.Is(err, journal.ErrNotFound)
	if _, owned := errors.AsType[*journal.OwnedError](err); owned {
		lost = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j.users--
	j.used = time.Now()
	if (j.err != nil || lost) && r.runs[id] == j {
		delete(r.runs, id) // what is joined next is another one
	}
	if j.users == 0 && r.runs[id] != j {
		r.leave(j)
	}
	r.sweep()
	return err
}

// sweep leaves runs that nothing has been done in for a while, and the least used of too many.
// It is called with the lock.
func (r *Runner) sweep() {
	idle := 0
	var oldest *run
	var oldestID string
	for id, j := range r.runs {
		if j.users > 0 {
			continue
		}
		if time.Since(j.used) > keepFor {
			delete(r.runs, id)
			r.leave(j)
			continue
		}
		if idle++; oldest == nil || j.used.Before(oldest.used) {
			oldest, oldestID = j, id
		}
	}
	if idle > keptRuns {
		delete(r.runs, oldestID)
		r.leave(oldest)
	}
}

// leave closes what a run uses. It is called with the lock.
func (r *Runner) leave(j *run) {
	if j.joined != nil {
		j.joined.Close()
	}
	o := j.orchestrator
	if o == nil {
		return
	}
	if o.runs--; o.runs > 0 {
		return
	}
	delete(r.orchestrators, o.key)
	if err := o.Close(); err != nil {
		r.log.Error("closing an orchestrator", "err", err)
	}
}

// join joins a run.
func (r *Runner) join(ctx context.Context, id string) (*claudeforce.JoinedRun, *orchestrator, error) {
	ctx = context.WithoutCancel(ctx) // others wait for it too
	found, err := r.store.Find(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("finding run %s: %w", id, err)
	}
	spec, err := runs.ReadSpec(found)
	if err != nil {
		return nil, nil, err
	}
	settings, err := json.Marshal(spec.Settings)
	if err != nil {
		return nil, nil, err
	}
	key := spec.Dir + "\n" + string(settings)
	r.mu.Lock()
	o := r.orchestrators[key]
	if o == nil {
		opened, err := r.open(ctx, spec.Dir, spec.Settings)
		if err != nil {
			r.mu.Unlock()
			return nil, nil, err
		}
		o = &orchestrator{Orchestrator: opened, key: key}
		r.orchestrators[key] = o
	}
	o.runs++
	r.mu.Unlock()
	joined, err := o.JoinRun(ctx, id, r.engine)
	return joined, o, err
}

// Close closes all that is open. What is done in runs must have ended.
func (r *Runner) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, j := range r.runs {
		delete(r.runs, id)
		r.leave(j)
	}
}

// refused reports whether an error says that this worker cannot work on the run.
func refused(err error) bool {
	_, unfit := errors.AsType[*claudeforce.UnfitError](err)
	return unfit
}

// Advance does what a run can do without attempts. See [relay.Engine].
func (r *Runner) Advance(ctx context.Context, id string, items *relay.Items, under []relay.Under) (out *relay.Frontier, err error) {
	err = r.use(ctx, id, func(j *claudeforce.JoinedRun) error {
		var f *engine.Frontier
		var err error
		if items == nil {
			f, err = j.Advance(ctx, underWay(under))
		} else {
			part := engine.Items{Of: journal.Unit{Step: items.Step, Item: items.Item}, From: items.From, To: items.To, Most: items.Most}
			f, err = j.AdvanceItems(ctx, part, underWay(under))
		}
		if err == nil {
			out = frontier(f)
		}
		return err
	})
	if err == nil {
		return out, nil
	}
	if err = gone(err); errors.Is(err, relay.ErrGone) {
		return nil, err
	}
	if refused(err) {
		r.log.Error("run interrupted", "run", id, "err", err)
		return &relay.Frontier{Ended: string(journal.StatusInterrupted)}, gone(r.interrupt(ctx, id, err))
	}
	r.log.Error("run not advanced", "run", id, "err", err)
	return nil, err
}

// underWay returns what is under way as the engine has it.
func underWay(under []relay.Under) []engine.Under {
	list := make([]engine.Under, len(under))
	for i, u := range under {
		list[i] = engine.Under{Unit: u.Unit, Most: u.Most}
	}
	return list
}

// interrupt ends the engine's work on a run that it cannot continue.
func (r *Runner) interrupt(ctx context.Context, id string, why error) error {
	joiner, ok := r.store.(journal.Joiner)
	if !ok {
		return why
	}
	log, _, err := joiner.Join(ctx, id, r.engine, journal.Unit{})
	if err != nil {
		return err
	}
	wait := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusInterrupted, Error: why.Error()})})
	return errors.Join(wait(), log.Release())
}

// gone returns an error as [relay.ErrGone] if it says that the run is not the engine's.
func gone(err error) error {
	_, owned := errors.AsType[*journal.OwnedError](err)
	if owned || errors.Is(err, journal.ErrNotFound) || errors.Is(err, journal.ErrLost) {
		return errors.Join(relay.ErrGone, err)
	}
	return err
}

// frontier returns a frontier in the form of the relay.
func frontier(f *engine.Frontier) *relay.Frontier {
	switch {
	case f.Result != nil:
		return &relay.Frontier{Ended: string(f.Result.Status)}
	case f.Done:
		return &relay.Frontier{Ended: "items"}
	}
	out := &relay.Frontier{Wake: f.Wake, Stop: f.Stop}
	longest := time.Duration(1)
	for _, u := range f.Ready {
		longest = max(longest, u.Priority)
	}
	for _, u := range f.Ready {
		out.Ready = append(out.Ready, relay.Ready{Step: u.Unit.Step, Item: u.Unit.Item, Priority: urgency(u.Priority, longest)})
	}
	for _, w := range f.Wide {
		out.Wide = append(out.Wide, relay.Wide{Step: w.Unit.Step, Item: w.Unit.Item, Count: w.Items, Most: w.Most})
	}
	return out
}

// urgency returns the priority, from 1 to 5, of what has so much of the longest path left.
func urgency(left, longest time.Duration) int {
	return min(5, 1+int(4*(longest-left)/longest))
}

// Attempt makes the attempts at a unit. See [relay.Engine].
func (r *Runner) Attempt(ctx context.Context, id string, unit journal.Unit) error {
	err := r.use(ctx, id, func(j *claudeforce.JoinedRun) error {
		status, err := j.Attempt(ctx, unit)
		if err == nil && status == engine.StatusInterrupted {
			return context.Cause(ctx) // nil if the run itself was stopped, which the next look tells
		}
		return err
	})
	switch err = gone(err); {
	case errors.Is(err, relay.ErrGone), ctx.Err() != nil:
	case refused(err):
		r.log.Error("unit not attempted", "run", id, "step", unit.Step, "err", err)
		return nil // the next look ends the run, or has the unit attempted by another worker
	case err != nil:
		r.log.Error("unit not attempted", "run", id, "step", unit.Step, "err", err)
	}
	return err
}

// Cancel writes to the journal that a run is to stop for good. See [relay.Engine].
func (r *Runner) Cancel(ctx context.Context, id string) error {
	return gone(r.store.Signal(ctx, journal.Event{Run: id, Type: journal.CancelAsked}))
}
