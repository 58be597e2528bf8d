package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// flight is a batch and its local calls.
type flight struct {
	wake    chan struct{} // ends a wait between two looks at it
	quoting sync.Mutex    // held while a call's request is used to word an error

	// The fields below belong to the flight's goroutine.

	items   []llm.BatchItem // what is to be created; nil once it is
	betas   string
	doubt   time.Time       // when it became uncertain whether there is a batch
	checked map[string]bool // batches that are another's
	told    bool            // that it was found, or in doubt
	ended   bool            // that was told

	// The fields below are guarded by the lane's mu.

	rec       Record
	foreign   bool          // another process's, and remembered by that
	adopted   bool          // of a process that has ended
	watched   bool          // has a goroutine
	canceling bool          // because we ask for it
	asked     bool          // to be canceled, and the service knows
	void      bool          // does not exist
	calls     map[int]*call // those that wait, by their index in rec
	over      map[int]bool  // those whose answers were taken
	taken     []int         // of those, what is not noted yet
}

func newFlight(rec Record) *flight {
	f := &flight{
		rec: rec, wake: make(chan struct{}, 1), calls: map[int]*call{}, over: map[int]bool{}, checked: map[string]bool{},
	}
	for i, e := range rec.Calls {
		if e.Ended {
			f.over[i] = true
		}
	}
	return f
}

// finished reports whether nothing more is to be had. The caller holds mu.
func (f *flight) finished() bool {
	return !f.watched && len(f.calls) == 0 && (f.void || f.foreign || len(f.over) == len(f.rec.Calls))
}

// fly sees a batch through, as long as somebody waits for it.
func (l *Lane) fly(ctx context.Context, f *flight) {
	l.announce(f)
	for wait := l.opts.backoff(); ; {
		var err error
		switch {
		case l.unwatch(ctx, f):
			return
		case l.batchID(f) != "":
			err = l.look(ctx, f)
		case l.isForeign(f):
			err = l.follow(f)
		case f.items != nil:
			err = l.create(ctx, f)
		default:
			err = l.search(ctx, f)
		}
		if err == nil {
			wait = l.opts.backoff()
			continue
		}
		pause := wait.take()
		if !errors.Is(err, errNotYet) && ctx.Err() == nil {
			l.tell(Event{Type: BatchTrouble, ID: l.batchID(f), Calls: len(f.rec.Calls), Err: err})
			if e, ok := errors.AsType[*llm.Error](err); ok {
				pause = max(pause, e.RetryAfter)
			}
		}
		if f.sleep(ctx, pause) {
			wait = l.opts.backoff()
		}
	}
}

// announce tells once that a batch was found, and did not begin here.
func (l *Lane) announce(f *flight) {
	l.mu.Lock()
	ev, here := Event{BatchFound, f.rec.BatchID, len(f.rec.Calls), nil}, !f.adopted && !f.foreign
	if ev.ID == "" {
		ev.Type, here = BatchInDoubt, here || f.foreign
	}
	l.mu.Unlock()
	if !here && !f.told {
		f.told = true
		l.tell(ev)
	}
}

// errNotYet is a step of a flight that is to be taken again after a while. Other
// errors say so too, but are worth telling.
var errNotYet = errors.New("not yet")

// sleep waits, and reports whether it was woken.
func (f *flight) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-f.wake:
		return true
	}
	return false
}

// unwatch reports whether the flight's goroutine is to end: the lane is closed,
// or nobody waits.
func (l *Lane) unwatch(ctx context.Context, f *flight) bool {
	l.mu.Lock()
	if ctx.Err() == nil && len(f.calls) > 0 && !f.void {
		l.mu.Unlock()
		return false
	}
	f.watched = false
	scrap := f.items != nil && !f.void // it was never sent
	f.void = f.void || scrap
	l.mu.Unlock()
	if scrap {
		f.items = nil
		if err := l.store.Void(f.rec.Nonce); err != nil {
			l.tell(Event{Type: BatchTrouble, Calls: len(f.rec.Calls), Err: err})
		}
	}
	return true
}

func (l *Lane) batchID(f *flight) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f.rec.BatchID
}

func (l *Lane) isForeign(f *flight) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f.foreign
}

// create makes the batch.
func (l *Lane) create(ctx context.Context, f *flight) error {
	l.mu.Lock()
	canceled := f.canceling
	l.mu.Unlock()
	if canceled {
		return l.scrap(f, errCanceled)
	}
	var betas []string
	if f.betas != "" {
		betas = strings.Split(f.betas, ",")
	}
	made, err := l.client.Create(ctx, f.items, betas)
	switch {
	case err == nil:
		f.items = nil
		return l.submitted(f, made.ID, BatchSubmitted)
	case !llm.Unbilled(err): // a batch may have been created
		f.items, f.told, f.doubt = nil, true, time.Now()
		l.tell(Event{Type: BatchInDoubt, Calls: len(f.rec.Calls), Err: err})
		return errNotYet
	case llm.CodeOf(err).Transient():
		return err
	}
	return l.scrap(f, err)
}

// submitted notes which batch an intent has become.
func (l *Lane) submitted(f *flight, id string, how EventType) error {
	l.mu.Lock()
	f.rec.BatchID = id
	l.mu.Unlock()
	l.tell(Event{Type: how, ID: id, Calls: len(f.rec.Calls)})
	if err := l.store.Submitted(f.rec.Nonce, id); err != nil {
		// After a crash it would be searched for, as if nobody had heard of it.
		l.tell(Event{Type: BatchTrouble, ID: id, Calls: len(f.rec.Calls), Err: err})
	}
	return errNotYet
}

// scrap ends a flight whose batch does not exist, and never will.
func (l *Lane) scrap(f *flight, cause error) error {
	err := l.store.Void(f.rec.Nonce)
	f.items = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	f.void = true
	for _, c := range l.disembark(f) {
		l.land(c, nil, cause)
	}
	return err
}

// resubmit ends a flight whose batch does not exist: its calls go into another.
func (l *Lane) resubmit(f *flight) error {
	l.mu.Lock()
	canceled := f.canceling
	l.mu.Unlock()
	if canceled {
		return l.scrap(f, errCanceled)
	}
	if err := l.store.Void(f.rec.Nonce); err != nil {
		return err
	}
	l.tell(Event{Type: BatchVoid, Calls: len(f.rec.Calls)})
	l.mu.Lock()
	f.void = true
	calls := l.disembark(f)
	l.mu.Unlock()
	return l.again(calls)
}

// disembark takes all calls out of a flight. The caller holds mu.
func (l *Lane) disembark(f *flight) (calls []*call) {
	for i, c := range f.calls {
		delete(f.calls, i)
		c.flight = nil
		calls = append(calls, c)
	}
	return calls
}

// again lets calls wait for another batch.
func (l *Lane) again(calls []*call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range calls {
		if c.readers == 0 {
			continue
		}
		params, err := l.client.Params(c.req)
		if err != nil {
			l.land(c, nil, err)
			continue
		}
		c.params = params
		l.wait(c)
	}
	return nil
}

// follow looks whether another process has submitted its batch.
func (l *Lane) follow(f *flight) error {
	rec, alive, err := l.store.Get(f.rec.Nonce)
	switch {
	case err != nil:
		return err
	case rec.Nonce == "": // it came to nothing
		l.mu.Lock()
		f.void = true
		calls := l.disembark(f)
		l.mu.Unlock()
		return l.again(calls)
	case rec.BatchID != "" || alive:
		l.mu.Lock()
		f.rec.BatchID = rec.BatchID
		l.mu.Unlock()
		return errNotYet
	}
	records, err := l.store.Adopt()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		l.adopt(r)
	}
	return errNotYet
}

// look asks how the batch is doing, and takes its answers once it has ended.
func (l *Lane) look(ctx context.Context, f *flight) error {
	if err := l.cancelFlight(ctx, f); err != nil {
		return err
	}
	id := l.batchID(f)
	b, err := l.client.Get(ctx, id)
	if err == nil && !b.Ended {
		return errNotYet
	}
	if err == nil {
		err = l.read(ctx, f)
	}
	code := llm.CodeOf(err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || code.Transient() || code == llm.CodeTimeout:
		return err
	case code == llm.CodeNotFound && l.isAdopted(f):
		return l.resubmit(f) // deleted long ago, perhaps
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveUp(f, fmt.Errorf("looking at batch %s: %w", id, err))
	return nil
}

// isAdopted reports whether a flight is of a process that has ended.
func (l *Lane) isAdopted(f *flight) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f.adopted
}
