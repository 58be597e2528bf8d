package runs_test

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/runs"
)

// countingStore counts the events that are read.
type countingStore struct {
	*memory.Store
	events int
}

func (s *countingStore) Events(ctx context.Context, id string, after int64) iter.Seq2[journal.Event, error] {
	return func(yield func(journal.Event, error) bool) {
		for ev, err := range s.Store.Events(ctx, id, after) {
			s.events++
			if !yield(ev, err) {
				return
			}
		}
	}
}

// TestQuestionCacheReadsWhatIsNew has a cache look again and again at a run that asks and
// continues.
func TestQuestionCacheReadsWhatIsNew(t *testing.T) {
	t.Parallel()
	const before, looks = 1000, 100
	store := &countingStore{Store: memory.New()}
	log, err := store.Create(t.Context(), journal.Run{ID: "run_a"}) // appends event 1
	if err != nil {
		t.Fatal(err)
	}
	cache := runs.NewQuestionCache(store)
	look := func(want int) {
		t.Helper()
		run, err := store.Find(t.Context(), "run_a")
		if err != nil {
			t.Fatal(err)
		}
		if open, err := cache.Questions(t.Context(), run); err != nil || len(open) != want {
			t.Fatalf("%d questions, %v; want %d", len(open), err, want)
		}
	}
	put := func(events ...journal.Event) {
		t.Helper()
		if err := log.Append(events...)(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range before - 1 {
		put(journal.Event{Type: journal.StepStarted, Step: "each", Item: fmt.Sprint(i)})
	}
	look(0)
	put(journal.Event{Type: journal.StepStarted, Step: "ok"},
		journal.Event{Type: journal.ApprovalAsked, Step: "ok", Detail: journal.Detail(journal.ApprovalRequest{Message: "go on?"})})
	look(1)
	if most := 2*(before+2) + 2; store.events > most {
		t.Errorf("%d events were read, want at most %d", store.events, most)
	}
	store.events = 0
	for i := range looks {
		put(journal.Event{Type: journal.StepFinished, Step: "each", Item: fmt.Sprint(i)})
		look(1)
		look(1)
	}
	if store.events != looks {
		t.Errorf("%d events were read, want the %d that were new", store.events, looks)
	}
}

// TestQuestionCacheIsRight has random things happen in a run: after each the cache returns
// what reading the run returns.
func TestQuestionCacheIsRight(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		store := memory.New()
		id := fmt.Sprint("run_", round)
		log, err := store.Create(t.Context(), journal.Run{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		cache := runs.NewQuestionCache(store)
		var happened []string
		for range 40 {
			ev := journal.Event{Step: []string{"a", "b", "a/call:1", "b/call:2", "b/call:3"}[random.IntN(5)], Item: []string{"", "x"}[random.IntN(2)], Attempt: 1}
			switch random.IntN(12) {
			case 0, 1, 2:
				ev.Type, ev.Detail = journal.ApprovalAsked, journal.Detail(journal.ApprovalRequest{Message: fmt.Sprint(random.Int())})
			case 3, 4:
				ev.Type = journal.StepStarted
			case 5:
				ev.Type = journal.StepAttempt
			case 6:
				ev.Type = journal.StepFinished
			case 7:
				ev.Type = journal.StepFailed
			case 8:
				ev.Type = journal.StepSkipped
			case 9:
				ev.Type, ev.Detail = journal.ApprovalGiven, journal.Detail(journal.Decision{Approved: true})
			case 10:
				ev = journal.Event{Type: journal.RunResumed}
				if random.IntN(2) == 0 {
					ev.Detail = journal.Detail(journal.Resumed{Spec: []byte(`{}`)})
				}
			case 11:
				if random.IntN(5) == 0 {
					ev.Type, ev.Detail = journal.StepFinished, journal.Detail(journal.Finished{Exit: &journal.Exit{Status: journal.StatusCompleted}})
				} else {
					ev.Type = journal.StepRetrying
				}
			}
			happened = append(happened, fmt.Sprint(ev.Type, " ", ev.Step, " ", ev.Item))
			if err := log.Append(ev)(); err != nil {
				t.Fatal(err)
			}
			run, err := store.Find(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			list := func(open []*journal.UnitState, err error) string {
				if err != nil {
					t.Fatal(err)
				}
				text := ""
				for _, u := range open {
					text += u.String() + " " + u.Asked.Message + "\n"
				}
				return text
			}
			if got, want := list(cache.Questions(t.Context(), run)), list(runs.Questions(t.Context(), store, id)); got != want {
				t.Fatalf("round %d: after %v the cache has\n%swant\n%s", round, happened, got, want)
			}
		}
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
	}
}
