package journaldb

import (
	"errors"
	"fmt"
	"sync"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalrow"
)

// log is a [journal.Log].
type log struct {
	store *Store
	id    string
	token string
	live  journalrow.Live // only the committer touches it

	mu       sync.Mutex // guards the fields below
	released bool
	failed   error // of something appended: what comes behind it cannot be kept
}

func (l *log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

func (l *log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
}

func (l *log) isReleased() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.released
}

// Append adds events. See [journal.Log].
func (l *log) Append(events ...journal.Event) (wait func() error) {
	j, err := l.append(events)
	if err != nil {
		return func() error { return err }
	}
	return j.wait
}

func (l *log) append(events []journal.Event) (*job, error) {
	rows, size, err := l.store.seal(l.id, events)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return nil, l.failed
	}
	if l.released {
		return nil, fmt.Errorf("writing run %s: it was given back", l.id)
	}
	j := &job{log: l, size: size, do: func(b *batch) (verdict, err error) {
		h, verdict, err := b.owned(l)
		if h == nil {
			return verdict, err
		}
		return b.append(h, rows, &l.live)
	}}
	return j, l.store.put(j)
}

// Release gives the run back. See [journal.Log].
func (l *log) Release() error {
	l.mu.Lock()
	if l.released {
		l.mu.Unlock()
		return nil
	}
	l.released = true
	l.mu.Unlock()
	// Not as a job of the log, so that one that failed is given back too.
	err := l.store.write(func(b *batch) (verdict, err error) {
		h, verdict, err := b.owned(l)
		if h == nil {
			return verdict, err
		}
		h.release(b.now)
		return nil, nil
	})
	l.store.mu.Lock()
	delete(l.store.logs, l)
	l.store.mu.Unlock()
	if failed := l.failure(); failed != nil && !errors.Is(err, failed) {
		err = errors.Join(failed, err)
	}
	return err
}
