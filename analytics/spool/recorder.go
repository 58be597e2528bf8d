package spool

import (
	"errors"
	"sync"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/internal/process"
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
	// MaxBatch is how many calls one transaction adds, so that it stays short.
	MaxBatch = 1000
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
	opts Options

	mu      sync.Mutex // guards the fields below
	room    *sync.Cond // that calls were taken from waiting
	waiting []Entry
	spare   []Entry // for waiting, once it was taken
	seen    int
	closed  bool
	ended   chan struct{} // closed when the writer has ended; nil if there was none
	err     error         // of what could not be written, the first

	spooled bool // calls were appended to the spool that this process has not added

	some, full chan struct{} // request a write: soon, and now

	// The writer's; after it ended, Close's.
	store  Store
	tidied bool
	waits  bool // it was said that calls wait
}

// Store is what a [Recorder] writes to.
type Store interface {
	// AddEntries adds entries, with those that wait in the spool.
	AddEntries(list []Entry) error
	// PruneDue drops what is older than is to be kept, once a day.
	PruneDue(keep analytics.Retention, now time.Time) error
	Close() error
}

// Options are the settings of [NewRecorder]. File and Open are needed.
type Options struct {
	File *File // closed with the recorder
	// Open opens the store. It is called when the store is needed.
	Open func() (Store, error)
	Keep analytics.Retention
	// Shared says that the store is that of several machines, and may be out of reach:
	// everything is written to the spool and added from there, so that it is added once
	// whatever becomes of a connection, and what is recorded does not wait for a process
	// that opens the store.
	Shared bool
	// OnLost is called, at most once, when calls could not be written; these are lost. It
	// may be nil.
	OnLost func(error)
	// OnWaiting is called, at most once, when a shared store cannot be reached and calls
	// wait in the spool. It may be nil.
	OnWaiting func(error)
}

// NewRecorder returns a recorder, which drops once a day what is older than is to be kept.
// Nothing is opened before it is needed. Close the recorder when done.
func NewRecorder(opts Options) *Recorder {
	r := &Recorder{opts: opts, some: make(chan struct{}, 1), full: make(chan struct{}, 1)}
	r.room = sync.NewCond(&r.mu)
	return r
}

// Record takes a call. It waits only if so many calls were made that writing
// them has fallen behind. Calls recorded after Close are ignored. Record reports whether
// the call is in the spool, so that it stays if this process is killed.
func (r *Recorder) Record(c analytics.Call) (kept bool) {
	return r.record(Entry{Call: c}, c.Cost > 0 || c.Live() || len(c.Tries) > 0, c.Live())
}

// RecordTool takes a call of a tool, which is in the spool before it returns.
func (r *Recorder) RecordTool(c analytics.ToolCall) { r.record(Entry{Tool: &c}, true, true) }

// RecordTask takes a task of an agent with tools, as RecordTool does a call of a tool.
func (r *Recorder) RecordTask(t analytics.ToolTask) { r.record(Entry{Task: &t}, true, true) }

// record takes what is to be recorded. What cannot happen again for nothing, such as
// a call that was paid for, is kept at once; what took the process a while starts the
// writer.
func (r *Recorder) record(e Entry, keep, long bool) (kept bool) {
	var size int64
	keep = keep && !r.isClosed()
	if keep {
		var err error
		size, err = r.opts.File.Append(e)
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
	if first && r.opts.OnLost != nil {
		r.opts.OnLost(err)
	}
	return closed
}

// put writes calls to the store, or to the spool file if they are few, or if
// the store cannot be used. What this process has spooled before is added with
// them. It returns the calls that are in neither.
func (r *Recorder) put(calls []Entry, seen int, spooled bool) (rest []Entry, err error) {
	if len(calls) == 0 && !spooled {
		return nil, nil
	}
	if r.opts.Shared {
		return r.putShared(calls)
	}
	if seen <= fewCalls && r.store == nil {
		if len(calls) == 0 {
			return nil, nil
		}
		size, err := r.opts.File.Append(calls...)
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
		n := min(len(calls), MaxBatch)
		if err = r.store.AddEntries(calls[:n]); err == nil {
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
	if _, spoolErr := r.opts.File.Append(calls...); spoolErr != nil {
		return calls, errors.Join(err, spoolErr)
	}
	return nil, nil // they wait for a process that can open the store
}

// putShared writes calls to the spool, and has the store take all that is in it.
func (r *Recorder) putShared(calls []Entry) (rest []Entry, err error) {
	if len(calls) > 0 {
		if _, err := r.opts.File.Append(calls...); err != nil {
			return calls, err
		}
	}
	if err = r.open(); err == nil {
		err = r.tidy()
	}
	if err != nil && !r.waits && r.opts.OnWaiting != nil {
		r.opts.OnWaiting(err)
	}
	r.waits = r.waits || err != nil
	return nil, nil
}

// tidy takes in the spool file, and once a day drops what is too old.
func (r *Recorder) tidy() error {
	if err := r.store.AddEntries(nil); err != nil || r.tidied {
		return err
	}
	r.tidied = true
	return r.store.PruneDue(r.opts.Keep, time.Now())
}

func (r *Recorder) open() (err error) {
	if r.store == nil {
		r.store, err = r.opts.Open()
	}
	return err
}

// thisProcess is this process, looked up once.
var thisProcess = sync.OnceValue(process.This)

// RecordSent takes an attempt that is about to be sent, as the call to record if this
// process is killed: its Tries have the attempt alone. It is in the spool before
// RecordSent returns, and forgotten once a call with an attempt of the same id is
// added. If the spool cannot be written, it is not kept.
func (r *Recorder) RecordSent(c analytics.Call) {
	if !r.isClosed() {
		_, _ = r.opts.File.Append(Entry{Sent: &Sent{thisProcess(), c}})
	}
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
	r.err = errors.Join(r.err, r.opts.File.Close())
	return r.err
}
