package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Lane collects calls into batches. Make one with [New]. It is safe for
// concurrent use.
type Lane struct {
	client Client
	store  Store
	opts   Options

	collecting chan struct{} // wakes the collector
	wg         sync.WaitGroup

	mu        sync.Mutex // guards the fields below, and what flights and calls say it does
	ctx       context.Context
	stop      context.CancelFunc // nil before the first call
	closed    bool
	flush     bool                // what waits goes now
	cancels   int                 // calls of Cancel
	open      map[llm.Key]*call   // those that an identical call may join
	abandoned map[llm.Key][]place // answers to come that nobody waits for
	flights   map[string]*flight  // by nonce
	waiting   []*call             // for the next batch
	bytes     int                 // of their bodies
	firstCame time.Time           // the first of them
	lastCame  time.Time
}

// place is a call of a flight.
type place struct {
	flight *flight
	index  int
}

// New returns a lane whose batches client makes and store remembers. It opens
// nothing and starts nothing: that waits for the first call. Close it when done,
// before the store.
func New(client Client, store Store, opts Options) *Lane {
	return &Lane{
		client: client, store: store, opts: opts.withDefaults(), collecting: make(chan struct{}, 1),
		open: map[llm.Key]*call{}, abandoned: map[llm.Key][]place{}, flights: map[string]*flight{},
	}
}

// start does what waits for the first call. The caller holds mu.
func (l *Lane) start(ctx context.Context) error {
	switch {
	case l.closed:
		return errClosed
	case l.stop != nil:
		return nil
	}
	records, err := l.store.Adopt()
	if err != nil {
		return storeError(err)
	}
	for _, rec := range records {
		l.adopt(rec)
	}
	// The lane's work outlasts the call that happened to be the first.
	l.ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.wg.Go(l.collect)
	return nil
}

var errClosed = llm.NewError(llm.CodeCanceled, "the batch lane was closed: batches that were submitted go on, and their answers are found when the calls are made again", nil)

func storeError(err error) error {
	return llm.NewError(llm.CodeInternal, "batches cannot be remembered, so none is made: "+err.Error(), err)
}

// adopt takes in a batch of a process that has ended. The caller holds mu.
func (l *Lane) adopt(rec Record) *flight {
	f := l.flights[rec.Nonce]
	switch {
	case f == nil:
		f = newFlight(rec)
		l.flights[rec.Nonce] = f
	case !f.foreign:
		return f
	}
	f.adopted, f.foreign = true, false
	for i, e := range rec.Calls {
		switch {
		case f.over[i] && !e.Ended:
			f.taken = append(f.taken, i) // while it was another's
		case !f.over[i] && f.calls[i] == nil:
			l.abandoned[e.Key] = append(l.abandoned[e.Key], place{f, i})
		}
	}
	return f
}

// left takes an answer to come that nobody waits for. The caller holds mu.
func (l *Lane) left(key llm.Key) (place, bool) {
	for list := l.abandoned[key]; len(list) > 0; list = l.abandoned[key] {
		p := list[0]
		if len(list) == 1 {
			delete(l.abandoned, key)
		} else {
			l.abandoned[key] = list[1:]
		}
		if !p.flight.void && !p.flight.over[p.index] && p.flight.calls[p.index] == nil {
			return p, true
		}
	}
	return place{}, false
}

// board puts a call into a flight, and sees that somebody watches it. The caller
// holds mu.
func (l *Lane) board(c *call, f *flight, index int) {
	c.flight, c.index, c.params = f, index, nil
	f.calls[index] = c
	l.watch(f)
}

// watch starts the goroutine of a flight that has none. The caller holds mu.
func (l *Lane) watch(f *flight) {
	if f.watched || l.closed {
		return
	}
	f.watched = true
	l.wg.Go(func() { l.fly(l.ctx, f) })
}

// Flush says that nothing more is coming: what waits is submitted at once.
func (l *Lane) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush = len(l.waiting) > 0
	wake(l.collecting)
}

// Cancel ends what is under way: calls that wait fail, and batches are
// canceled. What a batch has answered by then is still given, as soon as it has
// ended, and costs money; the rest fails with [llm.CodeCanceled]. A batch whose
// creation nobody heard of is not known before it has ended, so it is not
// canceled. Calls made later are not affected. The error is of batches that
// could not be canceled so far; it is tried again as long as somebody waits for
// them.
func (l *Lane) Cancel(ctx context.Context) error {
	l.mu.Lock()
	l.cancels++
	for _, c := range l.waiting {
		l.land(c, nil, errCanceled)
	}
	l.waiting, l.bytes = nil, 0
	var running []*flight
	for _, f := range l.flights {
		switch {
		case f.foreign: // not ours to cancel
			l.giveUp(f, errCanceled)
		case len(f.calls) == 0 || f.canceling:
		default:
			f.canceling = true
			if f.rec.BatchID != "" {
				running = append(running, f)
			}
		}
	}
	l.mu.Unlock()
	var errs []error
	for _, f := range running {
		errs = append(errs, l.cancelFlight(ctx, f))
	}
	return errors.Join(errs...)
}

var errCanceled = llm.NewError(llm.CodeCanceled, "the batch was canceled before the call's turn", nil)

// cancelFlight cancels a flight's batch, if that is still to be done.
func (l *Lane) cancelFlight(ctx context.Context, f *flight) error {
	l.mu.Lock()
	id, due := f.rec.BatchID, f.canceling && !f.asked
	l.mu.Unlock()
	if !due {
		return nil
	}
	err := l.client.Cancel(ctx, id)
	switch llm.CodeOf(err) {
	case 0, llm.CodeNotFound, llm.CodeInvalid: // the last two: it has ended
	default:
		return fmt.Errorf("canceling batch %s: %w", id, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.asked = true
	wake(f.wake)
	return nil
}

// Close ends the lane. Calls that wait fail with [llm.CodeCanceled]; batches
// that were submitted go on, and whoever opens the store next finds them. It
// returns when everything has stopped.
func (l *Lane) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	if l.stop != nil {
		l.stop()
	}
	l.mu.Unlock()
	l.wg.Wait()
	l.mu.Lock()
	for _, c := range l.waiting {
		l.land(c, nil, errClosed)
	}
	for _, f := range l.flights {
		l.giveUp(f, errClosed)
	}
	l.mu.Unlock()
	return l.settle()
}

// giveUp fails the calls of a flight whose results will not be had here; whoever
// asks again may find them. The caller holds mu.
func (l *Lane) giveUp(f *flight, err error) {
	for _, c := range f.calls {
		c.unknown = true
		l.land(c, nil, err)
	}
}

// wake lets a goroutine that waits on ch go on, now or when it next waits.
func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func (l *Lane) tell(ev Event) {
	if l.opts.OnBatch != nil {
		l.opts.OnBatch(ev)
	}
}
