package journaltest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/journal"
)

// ask returns the two events with which a step asks a person.
func ask(step, item string) []journal.Event {
	return []journal.Event{
		{Type: journal.StepStarted, Step: step, Item: item, Attempt: 1},
		{Type: journal.ApprovalAsked, Step: step, Item: item, Detail: journal.Detail(journal.ApprovalRequest{Message: "go on?"})},
	}
}

func answer(step, item string) journal.Event {
	return journal.Event{Run: "a", Type: journal.ApprovalGiven, Step: step, Item: item, Detail: journal.Detail(journal.Decision{Approved: true})}
}

// mustBe checks the status of the run a, as each of the stores sees it.
func mustBe(t *testing.T, when string, want journal.Status, stores ...journal.Store) {
	t.Helper()
	for _, s := range stores {
		if got := mustFind(t, s, "a").Status; got != want {
			t.Errorf("%s the run is %s; want %s", when, got, want)
		}
		if got := ids(t, s, journal.Filter{Statuses: []journal.Status{want}}); len(got) != 1 {
			t.Errorf("%s the runs that are %s are %v", when, want, got)
		}
	}
}

// waiting: a run waits while a question is open and nothing else is under way.
func waiting(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	mustAppend(t, log, started("work"))
	mustAppend(t, log, ask("each", "k1")...)
	mustBe(t, "beside a step that runs", journal.StatusRunning, s, other)
	mustAppend(t, log, journal.Event{Type: journal.StepRetrying, Step: "work", Attempt: 1, Detail: journal.Detail(journal.Failed{Code: "overloaded"})})
	mustBe(t, "beside a step that is tried again", journal.StatusRunning, s, other)
	mustAppend(t, log, finished("work", "done"))
	mustBe(t, "with nothing else to do", journal.StatusWaiting, s, other)
	mustAppend(t, log, ask("ok", "")...)
	mustBe(t, "with two questions", journal.StatusWaiting, s, other)

	if _, ok := errors.AsType[*journal.DecisionError](other.Signal(t.Context(), answer("unknown", ""))); !ok {
		t.Error("an answer to nothing was taken")
	}
	mustBe(t, "after an answer to nothing", journal.StatusWaiting, s, other)
	if err := other.Signal(t.Context(), answer("ok", "")); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "with an answer it has not taken in", journal.StatusRunning, s, other)
	mustAppend(t, log, finished("ok", "yes"))
	mustBe(t, "with one question left", journal.StatusWaiting, s, other)
	if err := s.Signal(t.Context(), answer("each", "k1")); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log, journal.Event{Type: journal.StepFinished, Step: "each", Item: "k1"}, started("last"))
	mustBe(t, "with both answered", journal.StatusRunning, s, other)
	mustAppend(t, log, ended(journal.StatusCompleted))
	mustRelease(t, log)
	mustBe(t, "at its end", journal.StatusCompleted, s, other)
}

// waitingIsTakenOn: whoever takes a run on that waited finds its question open.
func waitingIsTakenOn(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	dead := mustCreate(t, s, journal.Run{ID: "a"})
	mustAppend(t, dead, started("work"), started("around"))
	mustAppend(t, dead, ask("around/ok", "")...)
	h.Die(t, s)
	log, err := other.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, "taken on", journal.StatusRunning, other)
	mustAppend(t, log, journal.Event{Type: journal.RunResumed})
	// What was in progress is not until it starts again; what a question is
	// within does not run.
	mustAppend(t, log, started("around"))
	mustBe(t, "resumed", journal.StatusWaiting, other)
	mustAppend(t, log, started("work"))
	mustBe(t, "with its step started again", journal.StatusRunning, other)
	mustAppend(t, log, finished("work", "done"))
	mustBe(t, "with nothing else to do", journal.StatusWaiting, other)
	mustRelease(t, log)
	mustBe(t, "given back", journal.StatusInterrupted, other)
	if run := mustFind(t, other, "a"); run.FinishedAt.IsZero() {
		t.Errorf("given back: %+v", run)
	}
	if err := other.Signal(t.Context(), answer("around/ok", "")); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "answered while it has no owner", journal.StatusInterrupted, other)
	if log, err = other.Acquire(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log, journal.Event{Type: journal.RunResumed})
	mustBe(t, "resumed after the answer", journal.StatusRunning, other)
	mustRelease(t, log)
}

// waitingEnds: a run that waits can be stopped.
func waitingEnds(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	mustAppend(t, log, ask("ok", "")...)
	if err := s.Signal(t.Context(), journal.Event{Run: "a", Type: journal.CancelAsked}); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "asked to stop", journal.StatusWaiting, s)
	mustAppend(t, log, ended(journal.StatusCancelled))
	mustRelease(t, log)
	mustBe(t, "at its end", journal.StatusCancelled, s)
}

// decidedOnce: of decisions that are made at the same time one holds, and the others
// learn which. None holds after the deadline, or after the approval has ended.
func decidedOnce(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	mustAppend(t, log, ask("ok", "")...)
	late := ask("late", "k")
	late[1].Detail = journal.Detail(journal.ApprovalRequest{Message: "go on?", Deadline: time.Now()})
	mustAppend(t, log, late...)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		store := s
		if i%2 == 1 {
			store = other
		}
		wg.Go(func() {
			errs[i] = store.Signal(t.Context(), journal.Event{Run: "a", Type: journal.ApprovalGiven, Step: "ok", Detail: journal.Detail(journal.Decision{Approved: i%2 == 0})})
		})
	}
	wg.Wait()
	state, err := journal.Fold(s.Events(t.Context(), "a", 0))
	if err != nil {
		t.Fatal(err)
	}
	decision, taken := state.Unit("ok", "").Decision, 0
	for i, err := range errs {
		lost, ok := errors.AsType[*journal.DecisionError](err)
		switch {
		case err == nil:
			taken++
			if decision.Approved != (i%2 == 0) {
				t.Errorf("decision %d was taken, and another holds", i)
			}
		case !ok || lost.Decision == nil || lost.Decision.Approved != decision.Approved:
			t.Errorf("decision %d: %v", i, err)
		}
	}
	if taken != 1 {
		t.Errorf("%d decisions were taken", taken)
	}
	mustAppend(t, log, finished("ok", "yes"))
	for _, unit := range []journal.Event{answer("ok", ""), answer("late", "k"), answer("late", ""), answer("", "")} {
		if _, ok := errors.AsType[*journal.DecisionError](other.Signal(t.Context(), unit)); !ok {
			t.Errorf("%s %s: the decision was taken", unit.Step, unit.Item)
		}
	}
	// What is asked again is decided again.
	mustAppend(t, log, ask("ok", "")...)
	if err := other.Signal(t.Context(), answer("ok", "")); err != nil {
		t.Error(err)
	}
	// A run that was cancelled takes none, whether its process has noticed or not.
	mustAppend(t, log, ask("last", "")...)
	if err := other.Signal(t.Context(), journal.Event{Run: "a", Type: journal.CancelAsked}); err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		for _, store := range []journal.Store{s, other} {
			if lost, ok := errors.AsType[*journal.DecisionError](store.Signal(t.Context(), answer("last", ""))); !ok || !strings.Contains(lost.Error(), "cancelled") {
				t.Errorf("%s a decision was taken, or refused with %v", when, lost)
			}
		}
	}
	refused("while the run is being cancelled")
	mustAppend(t, log, ended(journal.StatusCancelled))
	mustRelease(t, log)
	refused("when the run was cancelled")
}
