package runs

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/claude-force/claude-force/journal"
)

// Questions returns the approvals that a run waits for, in the order in which they
// were asked.
func Questions(ctx context.Context, store journal.Store, id string) ([]*journal.UnitState, error) {
	run, err := Find(ctx, store, id)
	if err != nil {
		return nil, err
	}
	state, err := journal.Fold(store.Events(ctx, run.ID, 0))
	if err != nil {
		return nil, fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	return openQuestions(run, state), nil
}

func openQuestions(run journal.Run, state *journal.State) []*journal.UnitState {
	if state.Exited != nil || run.Status == journal.StatusCancelled {
		return nil
	}
	var open []*journal.UnitState
	for _, u := range state.Order {
		if u.Type == journal.ApprovalAsked && u.Decision == nil && !stale(state, u) {
			open = append(open, u)
		}
	}
	return open
}

// stale reports whether a unit is a call whose step has ended without it.
func stale(state *journal.State, u *journal.UnitState) bool {
	caller, ok := u.Caller()
	step := state.Unit(caller.Step, caller.Item)
	return ok && step != nil && step.EndSeq > u.StartSeq && step.EndSeq != 0
}

// QuestionCache returns what [Questions] returns, and keeps it: of a run it reads what is
// new since the last time, and the whole only if that may change what the run asks. It is
// safe for concurrent use.
type QuestionCache struct {
	store journal.Store

	mu    sync.Mutex // guards the fields below
	uses  int
	known map[string]*questions
}

// maxKnown is of how many runs a [QuestionCache] keeps the questions.
const maxKnown = 200

// questions are those of a run, as of an event.
type questions struct {
	used int // guarded by QuestionCache.mu

	mu      sync.Mutex // guards the fields below
	seq     int64      // of the last event that was read; 0 if there was none
	state   *journal.State
	watched map[journal.Unit]bool // those whose events may change the questions
}

// NewQuestionCache returns a cache of the questions of a store's runs.
func NewQuestionCache(store journal.Store) *QuestionCache {
	return &QuestionCache{store: store, known: map[string]*questions{}}
}

// Questions returns the approvals that a run waits for. Callers must not change them.
func (c *QuestionCache) Questions(ctx context.Context, run journal.Run) ([]*journal.UnitState, error) {
	q := c.entry(run.ID)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.seq > 0 {
		changed, err := q.readNew(ctx, c.store, run.ID)
		if err != nil {
			return nil, err
		}
		if !changed {
			return openQuestions(run, q.state), nil
		}
	}
	q.seq = 0
	state, err := journal.Fold(c.store.Events(ctx, run.ID, 0))
	if err != nil {
		return nil, fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	q.keep(state)
	return openQuestions(run, q.state), nil
}

// entry returns the entry of a run, in the place of the one that was used longest ago.
func (c *QuestionCache) entry(id string) *questions {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.known[id]
	if q == nil {
		if len(c.known) >= maxKnown {
			oldest := ""
			for id, q := range c.known {
				if oldest == "" || q.used < c.known[oldest].used {
					oldest = id
				}
			}
			delete(c.known, oldest)
		}
		q = &questions{}
		c.known[id] = q
	}
	c.uses++
	q.used = c.uses
	return q
}

// keep keeps of the state of a run what its questions depend on: the units that asked, and
// the steps whose calls these are.
func (q *questions) keep(state *journal.State) {
	q.seq, q.watched = state.LastSeq, map[journal.Unit]bool{}
	q.state = &journal.State{Units: map[journal.Unit]*journal.UnitState{}, Exited: state.Exited}
	for _, u := range state.Order {
		if u.Asked == nil {
			continue
		}
		q.state.Order = append(q.state.Order, u)
		q.watched[u.Unit] = true
		if caller, ok := u.Caller(); ok {
			q.watched[caller] = true
			if step := state.Units[caller]; step != nil {
				q.state.Units[caller] = &journal.UnitState{Unit: caller, EndSeq: step.EndSeq}
			}
		}
	}
}

// readNew reads the events that are new, up to the first that may change what the run asks,
// and reports whether there is one.
func (q *questions) readNew(ctx context.Context, store journal.Store, id string) (changed bool, err error) {
	for ev, err := range store.Events(ctx, id, q.seq) {
		if err != nil {
			return false, fmt.Errorf("reading run %s: %w", id, err)
		}
		switch {
		case ev.Type == journal.ApprovalAsked, ev.Type == journal.ApprovalGiven, ev.Type == journal.RunResumed, ev.Type == journal.RunFinished,
			ev.Type == journal.StepFinished && bytes.Contains(ev.Detail, []byte(`"exit"`)),
			q.watched[journal.Unit{Step: ev.Step, Item: ev.Item}]:
			return true, nil
		}
		q.seq = ev.Seq
	}
	return false, nil
}
