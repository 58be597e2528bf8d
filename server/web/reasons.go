package web

import (
	"context"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
)

// maxReasons is how many runs it is remembered of why they failed.
const maxReasons = 200

// reasons finds out why runs have failed, and remembers it: lists show it, and are drawn
// again and again.
type reasons struct {
	store journal.Store

	mu    sync.Mutex // guards the field below
	known map[reasonKey]reason
}

// reasonKey names an end of a run: one that is resumed may end again.
type reasonKey struct {
	run string
	at  time.Time
}

// reason is why a run has failed.
type reason struct {
	Step string // that failed first; empty if none did
	Text string
}

// of returns why a run has failed. Items of a step are not looked at: the step says how
// many of them failed.
func (r *reasons) of(ctx context.Context, run *journal.Run) (reason, error) {
	if run.Exit != nil {
		return reason{Text: run.Exit.Message}, nil
	}
	key := reasonKey{run.ID, run.FinishedAt}
	r.mu.Lock()
	known, ok := r.known[key]
	r.mu.Unlock()
	if ok {
		return known, nil
	}
	state, err := journal.Fold(r.store.Outline(ctx, run.ID))
	if err != nil {
		return reason{}, err
	}
	var first *journal.UnitState
	for _, u := range state.Order {
		if u.Type == journal.StepFailed && (first == nil || u.EndSeq < first.EndSeq) {
			first = u
		}
	}
	why := reason{}
	if first != nil {
		why = reason{first.Plain(), first.Failed.Message}
	} else if state.Ended != nil {
		why.Text = state.Ended.Error
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil || len(r.known) >= maxReasons {
		r.known = map[reasonKey]reason{}
	}
	r.known[key] = why
	return why, nil
}
