package sqlite

import (
	"errors"
	"sync"
	"time"

	"github.com/claude-force/claude-force/analytics"
)

const (
	// fewCalls is how many calls a process makes without opening the store:
	// they go to the spool file.
	fewCalls = 64
	// linger is how long a call waits for others to be written with.
	linger = 100 * time.Millisecond
	// fullBatch is how many calls do not wait.
	fullBatch = 512
	// mostWaiting is how many calls wait in memory; whoever makes more waits.
	mostWaiting = 8192
	// maxSpool is the size of the spool file at which it is taken in.
	maxSpool = 4 << 20
)

// Recorder takes calls and writes them in groups, off the way of whoever makes
// them. It opens no store for a process that makes few calls: these are appended
// to a file beside it, and added by the next process that opens it. It is safe
// for concurrent use.
type Recorder struct {
	path string
	keep Retention
	told func(error)

	mu      sync.Mutex // guards the fields below
	room    *sync.Cond // that calls were taken from waiting
	waiting []analytics.Call
	spare   []analytics.Call // for waiting, once it was taken
	seen    int
	closed  bool
	ended   chan struct{} // closed when the writer has ended; nil if there was none
	err     error         // of what could not be written, the first

	some, full chan struct{} // say that calls wait, and that they should not any longer

	// The writer's; after it ended, Close's.
	store  *Store
	tidied bool
}

// NewRecorder makes a recorder for the calls in a file, which drops once a day
// what is older than is to be kept. Nothing is opened before it is needed. told is
// called, at most once, when calls could not be written; these are lost. It may be
// nil. Close the recorder when done.
func NewRecorder(path string, keep Retention, told func(error)) *Recorder {
	r := &Recorder{path: path, keep: keep, told: told, some: make(chan struct{}, 1), full: make(chan struct{}, 1)}
	r.room = sync.NewCond(&r.mu)
	return r
}

// Record takes a call. It waits only if so many calls were made that writing
// them has fallen behind. Calls recorded after Close are ignored.
func (r *Recorder) Record(c analytics.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) >= mostWaiting && !r.closed {
		r.room.Wait()
	}
	if r.closed {
		return
	}
	r.waiting = append(r.waiting, c)
	r.seen++
	// A process that does nothing but answer once from the cache does without
	// another goroutine: Close writes.
	if r.ended == nil && (c.Live() || len(r.waiting) >= 16) {
		r.ended = make(chan struct{})
		go r.write(r.ended) // Close waits for it
	}
	if r.ended == nil {
		return
	}
	if len(r.waiting) == fullBatch {
		poke(r.full)
	}
	poke(r.some)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it was told already
	}
}

// write writes what waits until the recorder is closed.
func (r *Recorder) write(ended chan<- struct{}) {
	defer close(ended)
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for {
		<-r.some
		timer.Reset(linger)
		select {
		case <-r.full:
		case <-timer.C:
		}
		if r.flush() {
			return
		}
	}
}

// flush writes what waits, and reports whether the recorder was closed before.
func (r *Recorder) flush() (closed bool) {
	r.mu.Lock()
	calls, seen := r.waiting, r.seen
	r.waiting, r.spare = r.spare[:0], nil
	closed = r.closed
	r.room.Broadcast()
	r.mu.Unlock()
	err := r.put(calls, seen)
	clear(calls)
	r.mu.Lock()
	r.spare = calls
	first := err != nil && r.err == nil
	if first {
		r.err = err
	}
	r.mu.Unlock()
	if first && r.told != nil {
		r.told(err)
	}
	return closed
}

// put writes calls to the store, or to the spool file if they are few, or if
// the store cannot be used.
func (r *Recorder) put(calls []analytics.Call, seen int) error {
	if len(calls) == 0 {
		return nil
	}
	if seen <= fewCalls && r.store == nil {
		size, err := appendSpool(r.path, calls)
		if err != nil || size < maxSpool {
			return err
		}
		calls = nil
	}
	err := r.open()
	for len(calls) > 0 && err == nil {
		n := min(len(calls), maxBatch)
		if err = r.store.add(calls[:n]); err == nil {
			calls = calls[n:]
		}
	}
	if err == nil {
		return r.tidy()
	}
	if len(calls) == 0 {
		return err
	}
	if _, spoolErr := appendSpool(r.path, calls); spoolErr != nil {
		return errors.Join(err, spoolErr)
	}
	return nil // they wait for a process that can open the store
}

// tidy takes in the spool file, and once a day drops what is too old.
func (r *Recorder) tidy() error {
	if err := r.store.add(nil); err != nil || r.tidied {
		return err
	}
	r.tidied = true
	now := time.Now()
	due, err := r.store.due(now)
	if err == nil && due {
		_, err = r.store.prune(r.keep, now, func() error { return nil })
	}
	return err
}

func (r *Recorder) open() (err error) {
	if r.store == nil {
		r.store, err = Open(r.path)
	}
	return err
}

// Close writes what waits, and gives the first error of all writes. Afterwards
// it does nothing.
func (r *Recorder) Close() error {
	r.mu.Lock()
	closed, ended := r.closed, r.ended
	r.closed = true
	r.room.Broadcast()
	r.mu.Unlock()
	if closed {
		return nil
	}
	if ended != nil {
		poke(r.full)
		poke(r.some)
		<-ended
	}
	r.flush()
	if r.store != nil {
		r.err = errors.Join(r.err, r.store.Close())
	}
	return r.err
}
