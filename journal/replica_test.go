package journal_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
)

// readings counts how often the events of a store are read.
type readings struct {
	journal.Store
	n int
}

func (r *readings) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	r.n++
	return r.Store.Events(ctx, id, after)
}

// TestReplicaReadsWhatItLacks asks a replica for events that it has and for others.
func TestReplicaReadsWhatItLacks(t *testing.T) {
	t.Parallel()
	s := &readings{Store: memory.New()}
	log, err := s.Create(t.Context(), journal.Run{ID: "a"})
	if err := errors.Join(err, log.Append(journal.Event{Type: journal.StepStarted, Step: "x"})()); err != nil {
		t.Fatal(err)
	}
	r := journal.NewReplica(s, "a")
	for _, tt := range []struct {
		seq      int64
		readings int
	}{{1, 1}, {1, 1}, {2, 1}, {3, 2}} { // the last is not there yet
		state, err := r.StateAt(t.Context(), tt.seq)
		if err != nil || state.LastSeq != 2 || s.n != tt.readings {
			t.Errorf("at event %d: state of event %d after %d readings, %v; want %d", tt.seq, state.LastSeq, s.n, err, tt.readings)
		}
	}
	if _, err := r.State(t.Context()); err != nil || s.n != 3 {
		t.Errorf("what is there now: %d readings, %v", s.n, err)
	}
}
