package admission

import (
	"context"
	"slices"
	"time"

	"github.com/claude-force/claude-force/llm"
)

type runKey struct{}

// WithRun returns a context for the calls of one run. Runs that wait for the same pool
// take turns, however many calls each has waiting; within a run the first to
// come is the first served. Calls without a run share a turn.
func WithRun(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, runKey{}, id)
}

func runOf(ctx context.Context) string {
	id, _ := ctx.Value(runKey{}).(string)
	return id
}

// waiter is a call that waits for its pool.
type waiter struct {
	run      string
	deadline time.Time     // zero for none
	wake     chan struct{} // holds one; something has changed

	ticket *Ticket // what it has taken from the buckets; nil if nothing
	place  *Ticket // what it has taken from the shared buckets; nil if nothing
	covers bool    // the shared buckets cover its place
	local  bool    // this process's share is to decide, since the store does not answer
	slot   bool    // it holds a slot of the gate
}

func (w *waiter) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// sleep waits for d, or without end if d is negative, or until something has
// changed, or ctx ends or is drained.
func (w *waiter) sleep(ctx context.Context, d time.Duration) {
	var timeout <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
	case <-llm.Drain(ctx):
	case <-w.wake:
	case <-timeout:
	}
}

// queue is the waiters of a pool: one line for each run, served in turn.
type queue struct{ lines []*line }

type line struct {
	run     string
	waiting []*waiter
}

// push puts w at the end of its run's line, or at its front.
func (q *queue) push(w *waiter, front bool) {
	i := slices.IndexFunc(q.lines, func(l *line) bool { return l.run == w.run })
	switch {
	case i < 0 && front:
		q.lines = slices.Insert(q.lines, 0, &line{w.run, []*waiter{w}})
	case i < 0:
		q.lines = append(q.lines, &line{w.run, []*waiter{w}})
	case front:
		q.lines[i].waiting = slices.Insert(q.lines[i].waiting, 0, w)
	default:
		q.lines[i].waiting = append(q.lines[i].waiting, w)
	}
}

// pop takes the next waiter, or nil.
func (q *queue) pop() *waiter {
	if len(q.lines) == 0 {
		return nil
	}
	l := q.lines[0]
	q.lines = q.lines[1:]
	w := l.waiting[0]
	if l.waiting = l.waiting[1:]; len(l.waiting) > 0 {
		q.lines = append(q.lines, l)
	}
	return w
}

func (q *queue) remove(w *waiter) {
	for i, l := range q.lines {
		if j := slices.Index(l.waiting, w); j >= 0 {
			if l.waiting = slices.Delete(l.waiting, j, j+1); len(l.waiting) == 0 {
				q.lines = slices.Delete(q.lines, i, i+1)
			}
			return
		}
	}
}

func (q *queue) len() int {
	n := 0
	for _, l := range q.lines {
		n += len(l.waiting)
	}
	return n
}

// all yields every waiter.
func (q *queue) all(yield func(*waiter) bool) {
	for _, l := range q.lines {
		for _, w := range l.waiting {
			if !yield(w) {
				return
			}
		}
	}
}
