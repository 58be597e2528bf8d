package callsdb

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
	// maxWaiting is how many calls wait in memory; whoever makes more waits.
	maxWaiting = 8192
	// maxSpool is the size of the spool file at which it is taken in.
	maxSpool = 4 << 20
)

// Recorder takes calls and writes them in groups, in the background. It opens no
// store for a process that makes few calls: these are appended to a file beside
// it, the spool, and added by the next process that opens the store.
//
// A call that was paid for is in the spool before Record returns, so that a
// process that is killed afterwards does not lose it. It is safe for concurrent
// use.
type Recorder struct {
	path   string
	keep   analytics.Retention
	onLost func(error)

	mu      sync.Mutex // guards the fields below
	room    *sync.Cond // that calls were taken from waiting
	waiting []entry
	spare   []entry // for waiting, once it was taken
	seen    int
	closed  bool
	ended   chan struct{} // closed when the writer has ended; nil if there was none
	err     error         // of what could not be written, the first

	spooled bool // calls were appended to the spool that this process has not added

	some, full chan struct{} // request a write: soon, and now

	// The writer's; after it ended, Close's.
	store  *Store
	tidied bool
}

// NewRecorder makes a recorder for the calls in a file, which drops once a day
// what is older than is to be kept. Nothing is opened before it is needed. onLost
// is called, at most once, when calls could not be written; these are lost. It may
// be nil. Close the recorder when done.
func NewRecorder(path string, keep analytics.Retention, onLost func(error)) *Recorder {
	r := &Recorder{path: path, keep: keep, onLost: onLost, some: make(chan struct{}, 1), full: make(chan struct{}, 1)}
	r.room = sync.NewCond(&r.mu)
	return r
}

// Record takes a call. It waits only if so many calls were made that writing
// them has fallen behind. Calls recorded after Close are ignored. Record reports whether
// the call is in the spool, so that it stays if this process is killed.
func (r *Recorder) Record(c analytics.Call) (kept bool) {
	return r.record(entry{call: c}, c.Cost > 0 || c.Live() || len(c.Tries) > 0, c.Live())
}

// RecordTool takes a call of a tool, which is in the spool before it returns.
func (r *Recorder) RecordTool(c analytics.ToolCall) { r.record(entry{tool: &c}, true, true) }

// RecordTask takes a task of an agent with tools, as RecordTool does a call of a tool.
func (r *Recorder) RecordTask(t analytics.ToolTask) { r.record(entry{task: &t}, true, true) }

// record takes what is to be recorded. What cannot happen again for nothing, such as
// a call that was paid for, is kept at once; what took the process a while starts the
// writer.
func (r *Recorder) record(e entry, keep, long bool) (kept bool) {
	var size int64
	keep = keep && !r.isClosed()
	if keep {
		var err error
		size, err = appendSpool(r.path, []entry{e})
		keep = err == nil // else it is written with the others
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if size >= maxSpool {
		r.seen = max(r.seen, fewCalls) // the store takes it in
	}
	for len(r.waiting) >= maxWaiting && !r.closed {
		r.room.Wait()
	}
	if r.closed {
		return keep
	}
	if keep {
		r.spooled = true
	} else {
		r.waiting = append(r.waiting, e)
	}
	r.seen++
	// A process that does nothing but answer once from the cache does without
	// another goroutine: Close writes.
	if r.ended == nil && (long || len(r.waiting) >= 16) {
		r.ended = make(chan struct{})
		go r.write(r.ended) // Close waits for it
	}
	if r.ended == nil {
		return keep
	}
	if len(r.waiting) == fullBatch {
		poke(r.full)
	}
	poke(r.some)
	return keep
}

func (r *Recorder) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a write is requested already
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
	calls, seen, spooled := r.waiting, r.seen, r.spooled
	r.spooled = false
	r.waiting, r.spare = r.spare[:0], nil
	closed = r.closed
	r.room.Broadcast()
	r.mu.Unlock()
	rest, err := r.put(calls, seen, spooled)
	r.mu.Lock()
	if len(rest) > 0 && !closed && len(rest)+len(r.waiting) < maxWaiting/2 {
		// They wait in memory for the next write, or for Close: another moment may
		// have the room, or the file descriptor, that this one lacks.
		r.waiting = append(r.waiting, rest...)
		err = nil
	}
	clear(calls)
	r.spare = calls
	first := err != nil && r.err == nil
	if first {
		r.err = err
	}
	r.mu.Unlock()
	if first && r.onLost != nil {
		r.onLost(err)
	}
	return closed
}

// put writes calls to the store, or to the spool file if they are few, or if
// the store cannot be used. What this process has spooled before is added with
// them. It returns the calls that are in neither.
func (r *Recorder) put(calls []entry, seen int, spooled bool) (rest []entry, err error) {
	if len(calls) == 0 && !spooled {
		return nil, nil
	}
	if seen <= fewCalls && r.store == nil {
		if len(calls) == 0 {
			return nil, nil
		}
		size, err := appendSpool(r.path, calls)
		if err != nil {
			return calls, err
		}
		if size < maxSpool {
			return nil, nil
		}
		calls = nil
	}
	err = r.open()
	for len(calls) > 0 && err == nil {
		n := min(len(calls), maxBatch)
		if err = r.store.add(calls[:n]); err == nil {
			calls = calls[n:]
		}
	}
	if err == nil {
		return nil, r.tidy()
	}
	if len(calls) == 0 {
		if spooled {
			return nil, nil // they wait for a process that can open the store
		}
		return nil, err
	}
	if _, spoolErr := appendSpool(r.path, calls); spoolErr != nil {
		return calls, errors.Join(err, spoolErr)
	}
	return nil, nil // they wait for a process that can open the store
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
