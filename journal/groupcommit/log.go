package groupcommit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// Log is a [journal.Log].
type Log[Tx any] struct {
	Run   string          // the run's id
	Token string          // owns the run, or the part of it
	Part  string          // that it writes, of a run that an engine owns; empty for all of a run
	Live  journalrow.Live // only jobs touch it

	Joined int64 // of a log of a part, the number of the run's last event when it was joined

	queue *Queue[Tx]

	mu       sync.Mutex // guards the fields below
	released bool
	failed   error    // of something appended: what comes behind it cannot be kept
	last     *Job[Tx] // that was appended; nil for none
}

// NewLog returns a log of a run with a token of its own, which does not own the run yet.
func (q *Queue[Tx]) NewLog(run string) *Log[Tx] {
	return &Log[Tx]{Run: run, Token: rand.Text(), queue: q}
}

// NewPart returns a log of a part of a run that an engine owns, with a token of its own.
func (q *Queue[Tx]) NewPart(run string, part journal.Unit) *Log[Tx] {
	l := q.NewLog(run)
	l.Part = fmt.Sprintf("%d %s %s", len(part.Step), part.Step, part.Item)
	return l
}

// Begin keeps the lease of a log whose token owns its run, until it is released.
func (l *Log[Tx]) Begin() {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	l.queue.logs[l] = true
}

func (l *Log[Tx]) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *Log[Tx]) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
}

// Released reports whether Release was called.
func (l *Log[Tx]) Released() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.released
}

// Append adds events. See [journal.Log].
func (l *Log[Tx]) Append(events ...journal.Event) (wait func() error) {
	j, err := l.append(events)
	if err != nil {
		return func() error { return err }
	}
	return j.Wait
}

func (l *Log[Tx]) append(events []journal.Event) (*Job[Tx], error) {
	rows, size, err := l.queue.store.Seal(l.Run, events)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return nil, l.failed
	}
	if l.released {
		return nil, fmt.Errorf("writing run %s: it was given back", l.Run)
	}
	j := &Job[Tx]{Run: l.Run, Part: l.Part, Log: l, Size: size, Do: func(tx Tx) (verdict, err error) {
		return l.queue.store.Append(tx, l, rows)
	}}
	if err := l.queue.Put(j); err != nil {
		return nil, err
	}
	l.last = j
	return j, nil
}

// Release gives the run back. See [journal.Log]. No process owns a part, so that nothing
// is written: who joins it next takes it.
func (l *Log[Tx]) Release() error {
	l.mu.Lock()
	if l.released {
		l.mu.Unlock()
		return nil
	}
	l.released = true
	last := l.last
	l.mu.Unlock()
	var err error
	switch {
	case l.Part == "":
		// Not as a job of the log, so that one that failed is given back too.
		err = l.queue.Write(&Job[Tx]{Run: l.Run, Do: func(tx Tx) (verdict, err error) {
			return l.queue.store.Release(tx, l)
		}})
	case last != nil:
		_ = last.Wait() // its error is the log's
	}
	l.queue.mu.Lock()
	delete(l.queue.logs, l)
	l.queue.mu.Unlock()
	failed := l.failure()
	if l.Part != "" && errors.Is(failed, journal.ErrLost) {
		failed = nil // it has been said, and there is nothing to give back
	}
	if failed != nil && !errors.Is(err, failed) {
		err = errors.Join(failed, err)
	}
	return err
}
