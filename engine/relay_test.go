package engine_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	wide   int // see engine.Options

	lock     sync.Mutex // guards the fields below
	looks    []chan struct{}
	dead     map[string]bool // units with effects: once that began in a process that died
	asked    map[journal.Unit]bool
	made     map[string]int // attempts of the relay at units
	advanced int
	deaths   int
	refused  int // writes that came too late
	children int
	reads    int
	replicas []*journal.Replica
	memo     engine.Memo
}

// flow is what advances a run, or some items of a foreach.
type flow struct {
	*relay
	items *engine.Items
	under map[journal.Unit]int
	ends  chan attemptEnd
	look  chan struct{}
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
	last int64 // of the run's events, when its part was joined
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

// state returns what the journal says to who has joined with a log, as one of two processes
// reads it.
func (r *relay) state(log *mortal) *journal.State {
	state, err := r.replicas[r.count(&r.reads)%len(r.replicas)].StateAt(context.Background(), log.last)
	if err != nil {
		panic(err)
	}
	return state
}

func (r *relay) events() []journal.Event { return (&book{store: r.store}).events(r.t) }

// join joins a part of the run; dies says after how many events its process dies, below 0
// for never.
func (r *relay) join(ctx context.Context, part journal.Unit, dies int) (context.Context, *mortal) {
	log, last, err := r.store.Join(context.WithoutCancel(ctx), bookID, relayEngine, part)
	if err != nil {
		panic(err)
	}
	ctx, die := context.WithCancelCause(ctx)
	return ctx, &mortal{Log: log, last: last, left: dies, die: die}
}

func (r *relay) options(log journal.Log, past *journal.State) engine.Options {
	r.lock.Lock()
	opts := r.watch.options()
	r.lock.Unlock()
	opts.Log, opts.Past, opts.Observe, opts.Control, opts.Identify, opts.Wide = log, past, nil, nil, identityOf(nil), r.wide
	opts.Memo = &r.memo
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

// count counts something, and returns the number.
func (r *relay) count(n *int) int {
	r.lock.Lock()
	defer r.lock.Unlock()
	*n++
	return *n
}

func (r *relay) faulty(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault(format, args...)
}

// part returns the part of the journal that the flow writes.
func (f *flow) part() journal.Unit {
	if f.items == nil {
		return journal.Unit{}
	}
	return f.items.Part()
}

func (f *flow) advanceOnce(ctx context.Context, opts engine.Options, under []engine.Under) (*engine.Frontier, error) {
	if f.items == nil {
		return engine.Advance(ctx, f.workflow(f.t), opts, under)
	}
	return engine.AdvanceItems(ctx, f.workflow(f.t), opts, *f.items, under)
}

func (f *flow) advance(ctx context.Context) *engine.Frontier {
	for {
		n := f.count(&f.advanced)
		if n > 2000 {
			f.faulty("no end after %d times", n)
			return nil
		}
		var late func()
		if f.faults && f.chance(6, "stale", n) == 0 {
			// An Advance that has read all, and writes once another one has written.
			ctx, log := f.join(ctx, f.part(), -1)
			past, under := f.state(log), f.underWay()
			late = func() {
				_, err := f.advanceOnce(ctx, f.options(log, past), under)
				switch {
				case errors.Is(err, journal.ErrLost):
					f.count(&f.refused)
				case err != nil:
					f.faulty("a late Advance: %v", err)
				}
			}
		}
		ctx, log := f.join(ctx, f.part(), f.dies("advance", n))
		opts := f.options(log, f.state(log))
		opts.Observe = f.observe
		front, err := f.advanceOnce(ctx, opts, f.underWay())
		if late != nil {
			late()
		}
		switch {
		case errors.Is(err, errDied):
			f.count(&f.deaths)
		case err != nil && f.items != nil && (ctx.Err() != nil || errors.Is(err, journal.ErrLost)): // the run has ended
			return &engine.Frontier{Stop: true, Done: len(f.under) == 0}
		case err != nil:
			f.faulty("Advance: %v", err)
			return nil
		default:
			return front
		}
	}
}

func (f *flow) underWay() []engine.Under {
	var under []engine.Under
	for u, most := range f.under {
		under = append(under, engine.Under{Unit: u, Most: most})
	}
	return under
}

// observe takes an event in that it has not seen yet: each Advance reports them all.
func (r *relay) observe(ctx context.Context, ev engine.Event) {
	r.lock.Lock()
	defer r.lock.Unlock()
	id := journal.Unit{Step: ev.Path, Item: ev.Item}
	if ev.Asked != nil && !r.asked[id] {
		r.asked[id] = true
		if after, d, answers := r.decide(ev.Path, ev.Item); answers {
			time.AfterFunc(after, func() {
				if r.store.Signal(context.Background(), journal.Event{Run: bookID, Type: journal.ApprovalGiven, Step: ev.Path, Item: ev.Item, Detail: journal.Detail(d)}) == nil {
					r.lookAll()
				}
			})
		}
	}
	r.mu.Lock()
	seen := len(r.ended[unitName(ev.Path, ev.Item)]) > 0
	r.mu.Unlock()
	if !seen {
		r.watch.observe(ctx, engine.Event{Step: ev.Step, Path: ev.Path, Item: ev.Item, Status: ev.Status})
	}
}

// lookAll makes each flow look at the journal.
func (r *relay) lookAll() {
	r.lock.Lock()
	defer r.lock.Unlock()
	for _, look := range r.looks {
		select {
		case look <- struct{}{}:
		default:
		}
	}
}

// attempt makes the attempts at a unit, again if its process dies.
func (r *relay) attempt(ctx context.Context, unit journal.Unit, ends chan attemptEnd) {
	name := unitName(unit.Step, unit.Item)
	for {
		if ctx.Err() != nil {
			ends <- attemptEnd{unit, engine.StatusInterrupted, nil}
			return
		}
		n := 0
		r.lock.Lock()
		r.made[name]++
		n = r.made[name]
		r.lock.Unlock()
		ctx, log := r.join(ctx, unit, r.dies("attempt", name, n))
		opts := r.options(log, r.state(log))
		was := opts.Past.Unit(unit.Step, unit.Item)
		if was != nil && was.Type == journal.StepStarted && r.stepOf(name).once {
			r.lock.Lock()
			r.dead[name] = true
			r.lock.Unlock()
		}
		ended := was != nil && (was.Type == journal.StepFinished || was.Type == journal.StepFailed)
		opts.Execute = func(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
			if ended {
				r.faulty("%s had ended and was attempted", unit)
			}
			return r.world.execute(ctx, a)
		}
		status, err := engine.AttemptUnit(ctx, r.workflow(r.t), opts, unit)
		if errors.Is(err, errDied) || errors.Is(context.Cause(ctx), errDied) {
			r.count(&r.deaths)
			continue
		}
		ends <- attemptEnd{unit, status, err}
		return
	}
}

// zombie attempts a unit in a process that is taken for dead meanwhile: it must not write
// once another process has joined for the unit.
func (r *relay) zombie(ctx context.Context, unit journal.Unit) {
	ctx, log := r.join(ctx, unit, -1)
	opts := r.options(log, r.state(log))
	elsewhere := &world{takes: r.takes, answer: r.answer(nil)}
	opts.Execute = elsewhere.execute
	opts.Save = nil
	begun := make(chan struct{})
	go func() {
		close(begun)
		_, err := engine.AttemptUnit(ctx, r.workflow(r.t), opts, unit)
		switch {
		case errors.Is(err, journal.ErrLost):
			r.count(&r.refused)
		case err != nil && ctx.Err() == nil:
			r.faulty("a process that was taken for dead: %v", err)
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
	res := r.flow(nil).run(ctx)
	if res == nil {
		return &engine.Result{}
	}
	return res
}

func (r *relay) flow(items *engine.Items) *flow {
	f := &flow{relay: r, items: items, under: map[journal.Unit]int{}, ends: make(chan attemptEnd, 100), look: make(chan struct{}, 1)}
	r.lock.Lock()
	defer r.lock.Unlock()
	r.looks = append(r.looks, f.look)
	return f
}

// run advances the flow to its end. The result is that of the run; nil for that of items.
func (f *flow) run(ctx context.Context) *engine.Result {
	attempts, stop := context.WithCancel(ctx)
	defer stop()
	for {
		var front *engine.Frontier
		switch {
		case ctx.Err() == nil:
			front = f.advance(ctx)
		case len(f.under) == 0:
			return nil
		default:
			front = &engine.Frontier{Stop: true}
		}
		if front != nil && front.Stop && f.items != nil {
			f.lookAll() // what is under way elsewhere is to be stopped
		}
		switch {
		case front == nil:
			return nil
		case front.Result != nil || front.Done:
			if n := len(f.under); n > 0 {
				f.faulty("the end with %d under way", n)
			}
			return front.Result
		case front.Stop:
			stop()
		}
		for _, wide := range front.Wide {
			f.under[wide.Unit] = wide.Most
			f.count(&f.children)
			go f.spread(attempts, wide)
		}
		for _, ready := range front.Ready {
			if f.under[ready.Unit] > 0 {
				f.faulty("%s is under way, and ready", ready.Unit)
			}
			f.under[ready.Unit] = 1
			go func() {
				if f.faults && f.chance(5, "zombie", ready.Unit.Step, ready.Unit.Item) == 0 {
					f.zombie(attempts, ready.Unit)
				}
				f.attempt(attempts, ready.Unit, f.ends)
			}()
		}
		if len(f.under) == 0 && !front.Stop && !front.Asking {
			f.faulty("nothing is under way and nothing is asked")
			return nil
		}
		if !f.wait(ctx, attempts, front.Wake) {
			return nil
		}
	}
}

// wait waits until there is something to do, and reports whether the flow continues.
func (f *flow) wait(ctx, attempts context.Context, wake time.Time) bool {
	var alarm <-chan time.Time
	if !wake.IsZero() {
		alarm = time.After(time.Until(wake))
	}
	var done <-chan struct{}
	if len(f.under) == 0 {
		done = ctx.Done()
	}
	select {
	case end := <-f.ends:
		delete(f.under, end.unit)
		if attempts.Err() != nil || end.status == "wide" {
			return true
		}
		if end.err != nil || end.status == engine.StatusInterrupted {
			f.faulty("attempting %s: %s, %v", end.unit, end.status, end.err)
			return false
		}
		if f.faults && f.chance(4, "twice", end.unit.Step, end.unit.Item) == 0 {
			again := make(chan attemptEnd, 1)
			f.attempt(attempts, end.unit, again)
			if twice := <-again; twice != end && attempts.Err() == nil {
				f.faulty("%v, and then %v", end, twice)
			}
		}
	case <-f.look:
	case <-alarm:
	case <-done:
	}
	return true
}

// spread advances the items of a foreach by two flows at a time.
func (f *flow) spread(ctx context.Context, wide engine.Wide) {
	const size = 2
	flows := min(2, wide.Most)
	var all sync.WaitGroup
	for first := range flows {
		all.Go(func() {
			for from := first * size; from < wide.Items; from += flows * size {
				f.flow(&engine.Items{Of: wide.Unit, From: from, To: from + size, Most: wide.Most / flows}).run(ctx)
			}
		})
	}
	all.Wait()
	f.ends <- attemptEnd{wide.Unit, "wide", nil}
}

func newRelay(t *testing.T, p *plan, faults bool, wide int) *relay {
	store := memory.New()
	return &relay{watch: newWatch(p, nil), t: t, store: store, faults: faults, wide: wide,
		replicas: []*journal.Replica{journal.NewReplica(store, bookID), journal.NewReplica(store, bookID)},
		dead:     map[string]bool{}, asked: map[journal.Unit]bool{}, made: map[string]int{}}
}

// checkRelays runs random workflows of a size in parts, so many unless the command line says
// otherwise, and calls check at the end of each.
func checkRelays(t *testing.T, n, size int, faults bool, check func(*testing.T, *relay, *engine.Result)) {
	t.Helper()
	checks(t, n)
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPlan(rt, size, "exit")
		p.plain = true
		wide := rapid.IntRange(0, 2).Draw(rt, "wide")
		var w *watch
		synctest.Test(t, func(t *testing.T) {
			r := newRelay(t, p, faults, wide)
			res := r.run(t.Context())
			synctest.Wait()
			w = r.watch
			check(t, r, res)
		})
		w.check(rt)
	})
}
