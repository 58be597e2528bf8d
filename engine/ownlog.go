package engine

import (
	"sync"

	"github.com/claude-force/claude-force/journal"
)

// ownLog is a log that can wait for what was appended to it, and for nothing else. To wait
// for all that others write too, as Append does without events, takes a transaction.
type ownLog struct {
	journal.Log

	mu   sync.Mutex // guards last
	last func() error
}

// ownLog replaces the log of the options by one that can wait for its own events, and
// returns it; nil without a log.
func (o *Options) ownLog() *ownLog {
	if o.Log == nil {
		return nil
	}
	l := &ownLog{Log: o.Log}
	o.Log = l
	return l
}

// Append adds events. See [journal.Log].
func (l *ownLog) Append(events ...journal.Event) (wait func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = l.Log.Append(events...)
	if len(events) > 0 {
		l.last = wait
	}
	return wait
}

// durable waits until all that was appended is durable, or returns why it cannot be made so.
func (l *ownLog) durable() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	wait := l.last
	l.mu.Unlock()
	if wait == nil {
		return nil
	}
	return wait()
}
