package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
)

const relayEngine = "relay"

// relay runs a plan by Advance and AttemptUnit alone, as an engine does that knows names
// and counts: its processes die at any event, are taken for dead and write all the same,
// and come too late.
type relay struct {
	*watch
	t      *testing.T
	store  *memory.Store
	faults bool
	set    func(*engine.Options)

	under    map[journal.Unit]bool
	ends     chan attemptEnd
	look     chan struct{}
	dead     map[string]bool // units with effects: once that began in a process that died
	asked    map[journal.Unit]bool
	made     map[string]int // attempts of the relay at units
	late     []func()       // to be done by processes that were taken for dead
	advanced int
	deaths   int
	refused  int // writes that came too late
}

type attemptEnd struct {
	unit   journal.Unit
	status engine.Status
	err    error
}

var errDied = errors.New("the process died")

// mortal is a log whose process dies once it has written so many events.
type mortal struct {
	journal.Log
	left int
	die  context.CancelCauseFunc
}

func (m *mortal) Append(events ...journal.Event) func() error {
	if m.left < 0 {
		return m.Log.Append(events...)
	}
	n := min(m.left, len(events))
	wait := m.Log.Append(events[:n]...)
	if n == len(events) {
		m.left -= n
		return wait
	}
	m.left = 0
	m.die(errDied)
	return func() error { return errDied }
}

func (r *relay) state() *journal.State { return past(r.t, r.events()) }

func (r *relay) events() []journal.Event { return (&book{store: r.store}).events(r.t) }

// join joins a part of the run; dies says after how many events its process dies, below 0
// for never.
func (r *relay) join(ctx context.Context, part journal.Unit, dies int) (context.Context, *mortal) {
	log, err := r.store.Join(context.WithoutCancel(ctx), bookID, relayEngine, part)
	if err != nil {
		panic(err)
	}
	ctx, die := context.WithCancelCause(ctx)
	return ctx, &mortal{Log: log, left: dies, die: die}
}

func (r *relay) options(log journal.Log, past *journal.State) engine.Options {
	opts := r.watch.options()
	opts.Log, opts.Past, opts.Observe, opts.Control, opts.Identify = log, past, nil, nil, identityOf(nil)
	if r.set != nil {
		r.set(&opts)
	}
	return opts
}

// dies returns after how many events a process dies; below 0 for never.
func (r *relay) dies(words ...any) int {
	if !r.faults || r.chance(3, append([]any{"dies"}, words...)...) > 0 {
		return -1
	}
	return int(r.chance(6, append([]any{"after"}, words...)...))
}

func (r *relay) advance(ctx context.Context) *engine.Frontier {
	for {
		r.advanced++
		if r.faults && r.advanced > 500 {
			r.fault("no end after %d times", r.advanced)
			return &engine.Frontier{Result: &engine.Result{}}
		}
		if r.faults && r.chance(6, "stale", r.advanced) == 0 {
			// An Advance that has read all, and writes once another one has worked on it.
			ctx, log := r.join(ctx, journal.Unit{}, -1)
			past, under := r.state(), r.underWay()
			r.late = append(r.late, func() {
				before := len(r.events())
				if _, err := engine.Advance(ctx, r.workflow(r.t), r.options(log, past), under); err != nil && !errors.Is(err, journal.ErrLost) {
					r.fault("a late Advance: %v", err)
				} else if err != nil {
					r.refused++
				}
				if after := len(r.events()); after != before {
					r.fault("a late Advance wrote %d events", after-before)
				}
			})
		}
		ctx, log := r.join(ctx, journal.Unit{}, r.dies("advance", r.advanced))
		opts := r.options(log, r.state())
		opts.Observe = r.observe
		f, err := engine.Advance(ctx, r.workflow(r.t), opts, r.underWay())
		if errors.Is(err, errDied) {
			r.deaths++
			continue
		}
		if err != nil {
			r.fault("Advance: %v", err)
			return &engine.Frontier{Result: &engine.Result{}}
		}
		for len(r.late) > 0 {
			r.late[0]()
			r.late = r.late[1:]
		}
		return f
	}
}

func (r *relay) underWay() []journal.Unit {
	var under []journal.Unit
	for u := range r.under {
		under = append(under, u)
	}
	return under
}

// observe takes an event in that it has not seen yet: each Advance tells them all.
func (r *relay) observe(ctx context.Context, ev engine.Event) {
	id := journal.Unit{Step: ev.Path, Item: ev.Item}
	if ev.Asked != nil && !r.asked[id] {
		r.asked[id] = true
		if after, d, answers := r.decide(ev.Path, ev.Item); answers {
			time.AfterFunc(after, func() {
				if r.store.Signal(context.Background(), journal.Event{Run: bookID, Type: journal.ApprovalGiven, Step: ev.Path, Item: ev.Item, Detail: journal.Detail(d)}) == nil {
					r.look <- struct{}{}
				}
			})
		}
	}
	if len(r.ended[unitName(ev.Path, ev.Item)]) == 0 {
		r.watch.observe(ctx, engine.Event{Step: ev.Step, Path: ev.Path, Item: ev.Item, Status: ev.Status})
	}
}

// attempt makes the attempts at a unit, again if its process dies.
func (r *relay) attempt(ctx context.Context, unit journal.Unit) {
	name := unitName(unit.Step, unit.Item)
	for {
		if ctx.Err() != nil {
			r.ends <- attemptEnd{unit, engine.StatusInterrupted, nil}
			return
		}
		r.mu.Lock()
		r.made[name]++
		n := r.made[name]
		if was := r.state().Unit(unit.Step, unit.Item); was != nil && was.Type == journal.StepStarted && r.stepOf(name).once {
			r.dead[name] = true
		}
		r.mu.Unlock()
		ctx, log := r.join(ctx, unit, r.dies("attempt", name, n))
		opts := r.options(log, r.state())
		finished := opts.Past.Unit(unit.Step, unit.Item)
		calls := 0
		opts.Execute = func(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
			calls++
			return r.world.execute(ctx, a)
		}
		status, err := engine.AttemptUnit(ctx, r.workflow(r.t), opts, unit)
		r.mu.Lock()
		if calls > 0 && finished != nil && (finished.Type == journal.StepFinished || finished.Type == journal.StepFailed) {
			r.fault("%s had ended and was attempted", unit)
		}
		died := errors.Is(err, errDied) || errors.Is(context.Cause(ctx), errDied)
		if died {
			r.deaths++
		}
		r.mu.Unlock()
		if died {
			continue
		}
		r.ends <- attemptEnd{unit, status, err}
		return
	}
}

// zombie attempts a unit in a process that is taken for dead meanwhile: it must not write
// once another process has joined for the unit.
func (r *relay) zombie(ctx context.Context, unit journal.Unit) {
	ctx, log := r.join(ctx, unit, -1)
	opts := r.options(log, r.state())
	elsewhere := &world{takes: r.takes, answer: r.answer(nil)}
	opts.Execute = elsewhere.execute
	opts.Save = nil
	begun := make(chan struct{})
	go func() {
		close(begun)
		_, err := engine.AttemptUnit(ctx, r.workflow(r.t), opts, unit)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case errors.Is(err, journal.ErrLost):
			r.refused++
		case err != nil && ctx.Err() == nil:
			r.fault("a process that was taken for dead: %v", err)
		}
	}()
	<-begun
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(r.chance(2e9, "taken for dead", unit.Step, unit.Item))):
	}
}

// run runs the plan to its end.
func (r *relay) run(ctx context.Context) *engine.Result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log, err := r.store.Create(ctx, journal.Run{ID: bookID, Engine: relayEngine})
	if err != nil {
		panic(err)
	}
	if err := log.Release(); err != nil {
		panic(err)
	}
	attempts, stop := context.WithCancel(ctx)
	defer stop()
	for {
		f := r.advance(ctx)
		if f.Result != nil {
			if n := len(r.under); n > 0 {
				r.fault("the run has ended with %d attempts under way", n)
			}
			return f.Result
		}
		if f.Stop {
			stop()
		}
		for _, ready := range f.Ready {
			if r.under[ready.Unit] {
				r.fault("%s is under way, and ready", ready.Unit)
			}
			r.under[ready.Unit] = true
			go func() {
				if r.faults && r.chance(5, "zombie", ready.Unit.Step, ready.Unit.Item) == 0 {
					r.zombie(attempts, ready.Unit)
				}
				r.attempt(attempts, ready.Unit)
			}()
		}
		if len(r.under) == 0 && !f.Asking {
			r.fault("nothing is under way and nothing is asked")
			return &engine.Result{}
		}
		var wake <-chan time.Time
		if !f.Wake.IsZero() {
			wake = time.After(time.Until(f.Wake))
		}
		select {
		case end := <-r.ends:
			delete(r.under, end.unit)
			if end.err != nil && attempts.Err() == nil {
				r.fault("attempting %s: %v", end.unit, end.err)
				return &engine.Result{}
			}
			if end.status == engine.StatusInterrupted && attempts.Err() == nil {
				r.fault("%s was interrupted", end.unit)
				return &engine.Result{}
			}
			if r.faults && r.chance(4, "twice", end.unit.Step, end.unit.Item) == 0 && attempts.Err() == nil {
				go r.attempt(ctx, end.unit)
				if twice := <-r.ends; twice != end {
					r.fault("%v, and then %v", end, twice)
				}
			}
		case <-r.look:
		case <-wake:
		}
	}
}

func newRelay(t *testing.T, p *plan, faults bool) *relay {
	return &relay{watch: newWatch(p, nil), t: t, store: memory.New(), faults: faults, under: map[journal.Unit]bool{}, ends: make(chan attemptEnd, 1000),
		look: make(chan struct{}, mostAnswers), dead: map[string]bool{}, asked: map[journal.Unit]bool{}, made: map[string]int{}}
}

// TestAdvanceAnyWorkflow runs random workflows in parts: each ends as in one process, to
// the last number, with the limits held.
func TestAdvanceAnyWorkflow(t *testing.T) {
	checks(t, 300)
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, 8, "exit")
		p.plain = true
		var w *watch
		synctest.Test(t, func(t *testing.T) {
			r := newRelay(t, p, false)
			res := r.run(t.Context())
			synctest.Wait()
			w = r.watch
			m := r.compare(res, nil)
			if len(m.exits) > 0 || p.joins {
				return
			}
			whole := p.goOn(t, nil, nil, false)
			if diff := cmp.Diff(bareResult(whole.res), bareResult(res)); diff != "" {
				r.fault("another result than in one process: %s", diff)
			}
		})
		w.check(rt)
	})
}

// bareResult returns a result as JSON values, without times and what follows from them.
func bareResult(res *engine.Result) any {
	data, err := json.Marshal(res)
	var v map[string]any
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		panic(err)
	}
	delete(v, "execution_order")
	delete(v, "notes") // which step was the first to be missing depends on time
	return strip(v)
}

func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range []string{"total_time_seconds", "started_at", "duration_seconds", "waited_seconds", "ran_seconds"} {
			delete(v, name)
		}
		for name, inner := range v {
			if f, ok := inner.(float64); ok {
				v[name] = fmt.Sprintf("%.6f", f)
				continue
			}
			v[name] = strip(inner)
		}
	case []any:
		for i := range v {
			v[i] = strip(v[i])
		}
	}
	return v
}

// TestAdvanceThroughFaults runs random workflows in parts, by processes that die at any
// event, write when they were taken for dead, attempt what has ended and advance what
// others have advanced: each step ends as a model says that knows none of this, nothing
// that has finished is attempted, and the limits hold.
//
//	go test ./engine -run TestAdvanceThroughFaults -rapid.checks 100000 -timeout 3h
func TestAdvanceThroughFaults(t *testing.T) {
	checks(t, 400)
	deaths, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, 6, "exit")
		p.plain = true
		var w *watch
		synctest.Test(t, func(t *testing.T) {
			r := newRelay(t, p, true)
			res := r.run(t.Context())
			synctest.Wait()
			w = r.watch
			r.compare(res, r.dead)
			events := r.events()
			if i := slices.IndexFunc(events, func(ev journal.Event) bool { return ev.Type == journal.RunFinished }); i != len(events)-1 {
				r.fault("the end of the run is event %d of %d", i+1, len(events))
			}
			deaths, refused = deaths+r.deaths, refused+r.refused
		})
		w.check(rt)
	})
	if t.Logf("%d processes died, %d came too late", deaths, refused); deaths == 0 || refused == 0 {
		t.Error("the faults were none")
	}
}
