package runs

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
)

const (
	// maxRead is how many runs a [Reader] keeps, and maxReadBytes the bytes of their events,
	// unless the one that was read last has more.
	maxRead      = 16
	maxReadBytes = 64 << 20

	// readShare is the share of the time that [Reader.LoadRecent] spends with reading a run
	// that is in progress.
	readShare = 4
)

// Reader reads runs, and keeps those that were read last: to read one again costs what
// has happened since, however many want it. It is safe for concurrent use.
type Reader struct {
	store journal.Store

	mu    sync.Mutex // guards the fields below
	known map[string]*reading
	uses  int64 // counts the reads
	bytes int64 // of the events of all that are known
}

// reading is a run as it was read last.
type reading struct {
	id string

	used  int64 // what Reader.uses was then; guarded by Reader.mu
	bytes int64 // of its events; guarded by Reader.mu

	turn   chan struct{} // holds one element while the fields below are read or written
	detail *Detail       // never changed; nil if it could not be read
	last   journal.Event // that the detail has, without its output and details
	size   int64         // bytes of events
	at     time.Time     // when it was read
	took   time.Duration // to read what was new
}

// NewReader returns a reader of a store's runs.
func NewReader(store journal.Store) *Reader {
	return &Reader{store: store, known: map[string]*reading{}}
}

// Load returns what [Load] does. Others have the same value: it must not be changed.
func (r *Reader) Load(ctx context.Context, id string) (*Detail, error) {
	run, err := Find(ctx, r.store, id)
	if err != nil {
		return nil, err
	}
	return r.LoadFound(ctx, run)
}

// LoadFound returns what Load does for a run that [Find] has returned.
func (r *Reader) LoadFound(ctx context.Context, run journal.Run) (*Detail, error) {
	return r.load(ctx, run, 0)
}

// LoadRecent returns what Load does. What it says of a run that is in progress may be as
// old as reading takes, a few times over.
func (r *Reader) LoadRecent(ctx context.Context, id string) (*Detail, error) {
	run, err := Find(ctx, r.store, id)
	if err != nil {
		return nil, err
	}
	return r.load(ctx, run, readShare)
}

// load returns a run, of which what is known may be so many times as old as reading took.
func (r *Reader) load(ctx context.Context, run journal.Run, age time.Duration) (*Detail, error) {
	e := r.entry(run.ID)
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.turn }()
	if d := e.detail; d != nil && age > 0 && time.Since(e.at) < age*e.took {
		same := d.Run.Status == run.Status && d.Run.FinishedAt.Equal(run.FinishedAt) && StatusOf(d.Run) == StatusOf(run)
		if same && d.Run.StartedAt.Equal(run.StartedAt) {
			return d, nil
		}
	}
	start := time.Now()
	changed, err := e.read(ctx, r.store, run)
	if err != nil {
		return nil, err
	}
	if e.at = time.Now(); changed {
		e.took = e.at.Sub(start)
		r.weigh(e)
	}
	return e.detail, nil
}

// entry returns what is known of a run.
func (r *Reader) entry(id string) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known[id]
	if e == nil {
		e = &reading{id: id, turn: make(chan struct{}, 1)}
		r.known[id] = e
	}
	r.uses++
	e.used = r.uses
	r.forget(e)
	return e
}

// weigh notes the size of a run that has been read.
func (r *Reader) weigh(e *reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[e.id] != e {
		return // it was forgotten meanwhile
	}
	r.bytes += e.size - e.bytes
	e.bytes = e.size
	r.forget(e)
}

// forget drops the runs that were used longest ago, but for one, while there are too
// many. The caller holds mu.
func (r *Reader) forget(kept *reading) {
	for len(r.known) > 1 && (len(r.known) > maxRead || r.bytes > maxReadBytes) {
		var oldest *reading
		for _, e := range r.known {
			if e != kept && (oldest == nil || e.used < oldest.used) {
				oldest = e
			}
		}
		r.bytes -= oldest.bytes
		delete(r.known, oldest.id)
	}
}

// read brings the run up to date, and reports whether it has changed. The caller has the
// turn.
func (e *reading) read(ctx context.Context, store journal.Store, run journal.Run) (changed bool, err error) {
	if e.detail == nil || !e.detail.Run.StartedAt.Equal(run.StartedAt) || !bytes.Equal(e.detail.Run.Spec, run.Spec) {
		return true, e.readAll(ctx, store, run)
	}
	var events []journal.Event
	follows := false
	for ev, err := range store.Events(ctx, run.ID, e.last.Seq-1) {
		if err != nil {
			return false, fmt.Errorf("reading run %s: %w", run.ID, err)
		}
		if !follows { // it must be the one that was read last
			if follows = sameEvent(&ev, &e.last); !follows {
				break
			}
			continue
		}
		events = append(events, ev)
	}
	switch {
	case !follows: // it was removed, and another began with its id
		return true, e.readAll(ctx, store, run)
	case len(events) == 0 && reflect.DeepEqual(run, e.detail.Run):
		return false, nil
	}
	next, err := e.detail.after(ctx, run, events)
	if err != nil {
		return false, err
	}
	for i := range events {
		e.note(&events[i])
	}
	e.detail = next
	return true, nil
}

// readAll reads the whole run.
func (e *reading) readAll(ctx context.Context, store journal.Store, run journal.Run) error {
	e.detail, e.size, e.last = nil, 0, journal.Event{}
	d := &Detail{Run: run}
	if err := d.read(func(yield func(journal.Event, error) bool) {
		for ev, err := range store.Events(ctx, run.ID, 0) {
			if err == nil {
				e.note(&ev)
			}
			if !yield(ev, err) {
				return
			}
		}
	}); err != nil {
		return err
	}
	if err := d.rebuild(ctx); err != nil {
		return err
	}
	e.detail = d
	return nil
}

// note notes an event that the detail has.
func (e *reading) note(ev *journal.Event) {
	e.size += int64(len(ev.Output) + len(ev.Detail))
	e.last = *ev
	e.last.Output, e.last.Detail = "", nil
}

// sameEvent reports whether an event is one that was noted.
func sameEvent(ev, noted *journal.Event) bool {
	return ev.Seq == noted.Seq && ev.Type == noted.Type && ev.Time.Equal(noted.Time) && ev.Step == noted.Step && ev.Item == noted.Item
}

// after returns the run as it is after further events. It does not change d.
func (d *Detail) after(ctx context.Context, run journal.Run, events []journal.Event) (*Detail, error) {
	next := *d
	next.Run = run
	if len(events) > 0 {
		next.State, next.loops = d.State.Fork(), d.loops.fork()
		for _, ev := range events {
			err := next.loops.add(ev)
			if err == nil {
				err = next.State.Add(ev)
			}
			if err != nil {
				return nil, fmt.Errorf("reading run %s: %w", run.ID, err)
			}
		}
		next.Loops = next.loops.list
	}
	if !bytes.Equal(next.State.Spec, d.State.Spec) {
		if err := next.parse(); err != nil {
			return nil, err
		}
	}
	if err := next.rebuild(ctx); err != nil {
		return nil, err
	}
	return &next, nil
}
