package journal

import (
	"context"
	"fmt"
	"sync"
)

// Replica keeps what the journal of a run says, so that who looks at it again and again
// reads only what is new. It is safe for concurrent use.
type Replica struct {
	store Store
	run   string

	mu    sync.Mutex // guards state, and that it is read once at a time
	state *State     // never changed
}

// NewReplica returns a replica of the journal of a run, which has nothing of it yet.
func NewReplica(store Store, run string) *Replica {
	return &Replica{store: store, run: run, state: &State{Units: map[Unit]*UnitState{}}}
}

// State returns what the journal says now. Others have the same value: it must not be
// changed.
func (r *Replica) State(ctx context.Context) (*State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read(ctx)
}

// StateAt returns what the journal said at an event or later, as State does. Of many who ask
// at the same time, one reads for all.
func (r *Replica) StateAt(ctx context.Context, seq int64) (*State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.LastSeq >= seq {
		return r.state, nil
	}
	return r.read(ctx)
}

// read reads what is new. It is called with the lock.
func (r *Replica) read(ctx context.Context) (*State, error) {
	next := r.state
	for ev, err := range r.store.Events(ctx, r.run, r.state.LastSeq) {
		if next == r.state {
			next = r.state.Fork()
		}
		if err == nil {
			err = next.Add(ev)
		}
		if err != nil {
			return nil, fmt.Errorf("reading run %s: %w", r.run, err)
		}
	}
	r.state = next
	return next, nil
}
