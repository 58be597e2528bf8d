package runs_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/runs"
)

// endingStore is a store in which a run ends just before one of its calls.
type endingStore struct {
	*memory.Store
	left int // calls before that
	end  func()
}

func (s *endingStore) called() {
	if s.left--; s.left == 0 {
		s.end()
	}
}

func (s *endingStore) Find(ctx context.Context, id string) (journal.Run, error) {
	s.called()
	return s.Store.Find(ctx, id)
}

func (s *endingStore) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	s.called()
	return s.Store.Events(ctx, id, after)
}

// TestWatchYieldsTheLastEvents has a run end, and its process die, just before each call of
// the store: all events come before the last change.
func TestWatchYieldsTheLastEvents(t *testing.T) {
	t.Parallel()
	for call := range 50 { // more than a process may be missing for
		for _, dies := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				store := &endingStore{Store: memory.New(), left: call + 1}
				log, err := store.Create(t.Context(), journal.Run{ID: "run_a"}) // appends event 1
				if err != nil {
					t.Fatal(err)
				}
				events := []journal.Event{{Type: journal.StepStarted, Step: "s"}, {Type: journal.StepFailed, Step: "s"}}
				if !dies {
					events = append(events, journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusFailed})})
				}
				store.end = func() {
					if err := log.Append(events...)(); err != nil {
						t.Error(err)
					}
					if err := log.Release(); err != nil {
						t.Error(err)
					}
				}
				var got []int64
				for c, err := range runs.Watch(t.Context(), store, "run_a") {
					if err != nil {
						t.Fatal(err)
					}
					if c.Event != nil {
						got = append(got, c.Event.Seq)
					}
				}
				var want []int64
				for i := range len(events) + 1 {
					want = append(want, int64(i+1))
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("the run ends before call %d: the events are %v, want %v", call+1, got, want)
				}
			})
		}
	}
}
