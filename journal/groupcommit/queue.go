// Package groupcommit queues what the logs of a store append, so that one goroutine
// commits what many have queued in one transaction. Tx is the store's transaction.
package groupcommit

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// What one transaction may hold, so that it stays short.
const (
	maxJobs  = 1000
	maxBytes = 8 << 20
)

// Job is something to be written.
type Job[Tx any] struct {
	// Do writes it. A verdict says why it was not done, before anything was written; an
	// error fails the whole transaction.
	Do     func(Tx) (verdict, err error)
	Run    string           // its run; empty for none
	Part   string           // the part of it that the job is about; empty for none
	Log    *Log[Tx]         // whose job it is; nil if it is no log's
	Live   *journalrow.Live // what Do adds to beside that of Log; nil for none
	Size   int              // bytes, roughly
	Queued time.Time        // set by Put

	done chan struct{} // closed when err is set
	err  error
}

// Wait waits until the job is durable, or cannot be made so.
func (j *Job[Tx]) Wait() error {
	<-j.done
	return j.err
}

// Store is what a queue needs of its store.
type Store[Tx any] struct {
	// Commit takes jobs and writes them until the queue is closed and empty. Put calls it,
	// on a goroutine of its own.
	Commit func()
	// Closed returns the error of using the store after Close.
	Closed func() error
	// Seal prepares events of a run to be appended.
	Seal func(run string, events []journal.Event) (rows []journalrow.Event, size int, err error)
	// Append and Release do what a log does, if it still owns its run, or its part of it;
	// else the verdict is [journal.ErrLost]. Parts are not released.
	Append  func(Tx, *Log[Tx], []journalrow.Event) (verdict, err error)
	Release func(Tx, *Log[Tx]) (verdict, err error)
}

// Queue holds the jobs of a store that are to be written. It is safe for concurrent use.
type Queue[Tx any] struct {
	store Store[Tx]
	wake  chan struct{}

	mu       sync.Mutex // guards the fields below
	closedAt time.Time  // zero until Close
	jobs     []*Job[Tx]
	logs     map[*Log[Tx]]bool // that are not released
	ended    chan struct{}     // closed when Commit has returned; nil if it was not called
}

// New returns an empty queue of a store.
func New[Tx any](store Store[Tx]) *Queue[Tx] {
	return &Queue[Tx]{store: store, logs: map[*Log[Tx]]bool{}, wake: make(chan struct{}, 1)}
}

// Put queues a job.
func (q *Queue[Tx]) Put(j *Job[Tx]) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closedAt.IsZero() {
		return q.store.Closed()
	}
	j.done, j.Queued = make(chan struct{}), time.Now()
	q.jobs = append(q.jobs, j)
	if q.ended == nil {
		q.ended = make(chan struct{})
		go func() { // Close waits for it
			defer close(q.ended)
			q.store.Commit()
		}()
	}
	q.poke()
	return nil
}

// Write queues a job and waits until it is durable.
func (q *Queue[Tx]) Write(j *Job[Tx]) error {
	if err := q.Put(j); err != nil {
		return err
	}
	return j.Wait()
}

func (q *Queue[Tx]) poke() {
	select {
	case q.wake <- struct{}{}:
	default: // it knows already
	}
}

// Wake returns a channel that has a value when there is something to do.
func (q *Queue[Tx]) Wake() <-chan struct{} { return q.wake }

// Len returns how many jobs are queued.
func (q *Queue[Tx]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs)
}

// Take returns the next jobs, as many as fit into a transaction.
func (q *Queue[Tx]) Take() (jobs []*Job[Tx], closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.jobs) && n < maxJobs && size < maxBytes {
		size += q.jobs[n].Size
		n++
	}
	jobs = q.jobs[:n:n]
	if q.jobs = q.jobs[n:]; len(q.jobs) == 0 {
		q.jobs = nil
	}
	return jobs, !q.closedAt.IsZero()
}

// Logs returns the logs that are not released.
func (q *Queue[Tx]) Logs() []*Log[Tx] {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Collect(maps.Keys(q.logs))
}

// ClosedAt returns when the queue was closed; the zero time if it is open.
func (q *Queue[Tx]) ClosedAt() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closedAt
}

// Close waits until what is queued is written. It reports whether the queue was open.
func (q *Queue[Tx]) Close() bool {
	q.mu.Lock()
	open, ended := q.closedAt.IsZero(), q.ended
	if open {
		q.closedAt = time.Now()
	}
	q.mu.Unlock()
	if !open {
		return false
	}
	q.poke()
	if ended != nil {
		<-ended
	}
	return true
}

// Do does jobs in a transaction. An error fails all of them.
func Do[Tx any](tx Tx, jobs []*Job[Tx]) error {
	for _, j := range jobs {
		j.err = nil
		if j.Log != nil {
			if j.err = j.Log.failure(); j.err != nil {
				continue
			}
		}
		verdict, err := j.Do(tx)
		if err != nil {
			return err
		}
		j.err = verdict
		// What comes behind it in the transaction must fail as well.
		if j.Log != nil && verdict != nil {
			j.Log.fail(verdict)
		}
	}
	return nil
}

// Reset forgets what jobs added up in a transaction that failed, so that they can be
// done again.
func Reset[Tx any](jobs []*Job[Tx]) {
	for _, j := range jobs {
		if j.Log != nil {
			j.Log.Live = journalrow.Live{}
		}
		if j.Live != nil {
			*j.Live = journalrow.Live{}
		}
	}
}

// Finish ends jobs: with their verdicts if err is nil, else with err.
func Finish[Tx any](jobs []*Job[Tx], err error) {
	for _, j := range jobs {
		if err != nil {
			j.err = err
			if j.Log != nil {
				j.Log.fail(err)
			}
		}
		close(j.done)
	}
}
