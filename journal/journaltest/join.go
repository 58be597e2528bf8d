package journaltest

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/journal"
)

const theEngine = "relay"

// joiner returns the store as one whose runs can be joined.
func joiner(t *testing.T, s journal.Store) journal.Joiner {
	t.Helper()
	j, ok := s.(journal.Joiner)
	if !ok {
		t.Fatalf("%T is no journal.Joiner: its runs cannot be joined", s)
	}
	return j
}

// mustJoin joins a part of the run "a".
func mustJoin(t *testing.T, s journal.Store, part journal.Unit) journal.Log {
	t.Helper()
	log, last, err := joiner(t, s).Join(t.Context(), "a", theEngine, part)
	if err != nil {
		t.Fatalf("joining for %s: %v", part, err)
	}
	if n := len(mustEvents(t, s, "a", 0)); int64(n) != last { // no one writes meanwhile
		t.Errorf("joined at event %d of a run with %d", last, n)
	}
	return log
}

func joins(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	mustRelease(t, mustCreate(t, s, journal.Run{ID: "a", Engine: theEngine}))
	run := mustFind(t, other, "a")
	if run.Status != journal.StatusRunning || run.Owner != nil || run.Engine != theEngine || !run.FinishedAt.IsZero() {
		t.Errorf("a run that an engine owns: %+v", run)
	}
	_, err := other.Acquire(t.Context(), "a")
	if owned, ok := errors.AsType[*journal.OwnedError](err); !ok || owned.Run != "a" || owned.Engine != theEngine {
		t.Errorf("acquiring it: %v", err)
	}
	_, _, err = joiner(t, other).Join(t.Context(), "a", "another", journal.Unit{})
	if owned, ok := errors.AsType[*journal.OwnedError](err); !ok || owned.Engine != theEngine {
		t.Errorf("joining it for another engine: %v", err)
	}
	if n, err := other.Remove(t.Context(), "a"); n != 0 || err != nil {
		t.Errorf("removed %d, %v; want that it is kept", n, err)
	}
	if _, _, err := joiner(t, s).Join(t.Context(), "unknown", theEngine, journal.Unit{}); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("joining an unknown run: %v", err)
	}
	own := mustCreate(t, s, journal.Run{ID: "b"})
	_, _, err = joiner(t, other).Join(t.Context(), "b", theEngine, journal.Unit{})
	if owned, ok := errors.AsType[*journal.OwnedError](err); !ok || owned.Engine != "" {
		t.Errorf("joining a run that a process owns: %v", err)
	}
	mustRelease(t, own)
	if _, _, err = joiner(t, other).Join(t.Context(), "b", theEngine, journal.Unit{}); !errors.Is(err, journal.ErrLost) {
		t.Errorf("joining a run that no engine owns: %v", err)
	}
}

func joinedPartsAreFenced(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	between := mustCreate(t, s, journal.Run{ID: "a", Engine: theEngine})
	x, y := mustJoin(t, s, journal.Unit{Step: "x"}), mustJoin(t, other, journal.Unit{Step: "x", Item: "1"})
	mustAppend(t, x, started("x"))
	again := mustJoin(t, other, journal.Unit{Step: "x"})
	for range 2 {
		if err := x.Append(finished("x", "late"))(); !errors.Is(err, journal.ErrLost) {
			t.Errorf("who has lost the part wrote: %v", err)
		}
	}
	mustRelease(t, x)
	mustAppend(t, again, finished("x", "in time"))
	mustRelease(t, again)
	if err := again.Append(started("x"))(); err == nil {
		t.Error("a log that was given back took an event")
	}
	third := mustJoin(t, s, journal.Unit{Step: "x"})
	h.Die(t, s)
	mustAppend(t, third, started("z")) // no lease is lost with the process
	mustAppend(t, between, started("v"))
	mustAppend(t, y, started("y"))
	if run := mustFind(t, other, "a"); run.Status != journal.StatusRunning || run.Steps != 1 || run.CostUSD != 0.25 {
		t.Errorf("the run: %+v", run)
	}
	if n := len(mustEvents(t, other, "a", 0)); n != 6 {
		t.Errorf("%d events; want 6", n)
	}
}

func joinedRunEnds(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	mustRelease(t, mustCreate(t, s, journal.Run{ID: "a", Engine: theEngine}))
	x, between := mustJoin(t, other, journal.Unit{Step: "x"}), mustJoin(t, s, journal.Unit{})
	mustAppend(t, between, ended(journal.StatusFailed))
	if err := x.Append(started("x"))(); !errors.Is(err, journal.ErrLost) {
		t.Errorf("writing a run that has ended: %v", err)
	}
	mustRelease(t, x)
	mustRelease(t, between)
	run := mustFind(t, other, "a")
	if run.Status != journal.StatusFailed || run.FinishedAt.IsZero() || run.Owner != nil {
		t.Errorf("a run that has ended: %+v", run)
	}
	if _, _, err := joiner(t, s).Join(t.Context(), "a", theEngine, journal.Unit{}); !errors.Is(err, journal.ErrLost) {
		t.Errorf("joining a run that has ended: %v", err)
	}
	log, err := other.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatalf("acquiring a run that has ended: %v", err)
	}
	if run := mustFind(t, s, "a"); run.Engine != "" || run.Owner == nil {
		t.Errorf("a run that a process has acquired: %+v", run)
	}
	mustAppend(t, log, started("y"))
	mustRelease(t, log)
	if _, _, err := joiner(t, s).Join(t.Context(), "a", theEngine, journal.Unit{}); !errors.Is(err, journal.ErrLost) {
		t.Errorf("joining a run that was given to a process: %v", err)
	}
	if n, err := s.Remove(t.Context(), "a"); n != 1 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
}

// signaled has people send something to one of three runs.
func signaled(t *testing.T, h Harness) {
	s := h.Open(t)
	other := joiner(t, h.Other(t, s))
	after := map[string]int64{"unknown": 0, "": 0}
	for _, id := range []string{"a", "b", "c"} {
		mustRelease(t, mustCreate(t, s, journal.Run{ID: id, Engine: theEngine}))
		after[id] = 0
	}
	want := map[string]int64{}
	for range 3 {
		got, err := other.Signaled(t.Context(), after)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
		maps.Copy(after, got)
		if got, err := other.Signaled(t.Context(), after); err != nil || len(got) > 0 {
			t.Errorf("behind what was there: %v, %v", got, err)
		}
		for range 2 {
			if err := s.Signal(t.Context(), journal.Event{Run: "b", Type: journal.CancelAsked}); err != nil {
				t.Fatal(err)
			}
		}
		want["b"] = int64(len(mustEvents(t, s, "b", 0)))
		mustAppend(t, mustJoin(t, s, journal.Unit{Step: "x"}), started("x"))
	}
}

func joinedRunWaits(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	between := mustCreate(t, s, journal.Run{ID: "a", Engine: theEngine})
	mustAppend(t, between, started("ask"), journal.Event{Type: journal.ApprovalAsked, Step: "ask", Detail: journal.Detail(journal.ApprovalRequest{Message: "well?"})})
	x := mustJoin(t, other, journal.Unit{Step: "x"})
	mustAppend(t, x, started("x"))
	if run := mustFind(t, s, "a"); run.Status != journal.StatusRunning {
		t.Errorf("while a step is under way the run is %s", run.Status)
	}
	mustAppend(t, x, finished("x", "done"))
	if run := mustFind(t, s, "a"); run.Status != journal.StatusWaiting {
		t.Errorf("once only a question is open the run is %s", run.Status)
	}
	if err := other.Signal(t.Context(), journal.Event{Run: "a", Type: journal.ApprovalGiven, Step: "ask", Detail: journal.Detail(journal.Decision{Approved: true})}); err != nil {
		t.Fatal(err)
	}
	if run := mustFind(t, s, "a"); run.Status != journal.StatusRunning {
		t.Errorf("after the answer the run is %s", run.Status)
	}
	mustAppend(t, between, finished("ask", "yes"))
	mustRelease(t, between)
}

func manyJoin(t *testing.T, h Harness) {
	const each, parts = 10, 16
	s := h.Open(t)
	joiners := []journal.Joiner{joiner(t, s), joiner(t, h.Other(t, s))}
	mustRelease(t, mustCreate(t, s, journal.Run{ID: "a", Engine: theEngine}))
	var all sync.WaitGroup
	for n := range parts {
		all.Go(func() {
			part := journal.Unit{Step: "x", Item: fmt.Sprint(n)}
			for i := range each {
				log, _, err := joiners[n%2].Join(t.Context(), "a", theEngine, part)
				if err != nil {
					t.Error(err)
					return
				}
				ev := finished("x", fmt.Sprint("output ", i))
				ev.Item = part.Item
				if err := errors.Join(log.Append(ev)(), log.Release()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(mustEvents(t, s, "a", 0)); n != 1+each*parts {
		t.Errorf("%d events; want %d", n, 1+each*parts)
	}
	if run := mustFind(t, s, "a"); run.Steps != each*parts {
		t.Errorf("the run has %d steps; want %d", run.Steps, each*parts)
	}
}
