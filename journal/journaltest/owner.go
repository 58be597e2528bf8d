package journaltest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/journal"
)

func release(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	log.Append(started("x")) // durable before Release returns
	mustRelease(t, log)
	if err := log.Release(); err != nil {
		t.Errorf("releasing twice: %v", err)
	}
	run := mustFind(t, s, "a")
	if run.Status != journal.StatusInterrupted || run.Owner != nil || run.FinishedAt.Before(run.StartedAt) {
		t.Errorf("a run given back before its end: %+v", run)
	}
	if n := len(mustEvents(t, s, "a", 0)); n != 2 {
		t.Errorf("%d events", n)
	}

	log, err := s.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if run = mustFind(t, s, "a"); run.Status != journal.StatusRunning || run.Owner == nil || !run.FinishedAt.IsZero() {
		t.Errorf("a run taken on again: %+v", run)
	}
	mustAppend(t, log, ended(journal.StatusCompleted))
	mustRelease(t, log)
	if run = mustFind(t, s, "a"); run.Status != journal.StatusCompleted || run.Owner != nil || run.FinishedAt.IsZero() {
		t.Errorf("a run at its end: %+v", run)
	}
	if _, err := s.Acquire(t.Context(), "unknown"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("acquiring an unknown run: %v", err)
	}
}

func releasedLogIsRefused(t *testing.T, h Harness) {
	s := h.Open(t)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	mustRelease(t, log)
	if err := log.Append(started("x"))(); err == nil {
		t.Error("a log that was given back took an event")
	}
	if n := len(mustEvents(t, s, "a", 0)); n != 1 {
		t.Errorf("%d events", n)
	}
}

func ownedRunIsRefused(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	for who, store := range map[string]journal.Store{"the same process": s, "another": other} {
		_, err := store.Acquire(t.Context(), "a")
		owned, ok := errors.AsType[*journal.OwnedError](err)
		if !ok || owned.Run != "a" || owned.Owner.PID == 0 || owned.Owner.Host == "" || owned.Owner.Since.IsZero() {
			t.Errorf("%s acquired a run that has an owner: %+v, %v", who, owned, err)
		}
		if run := mustFind(t, store, "a"); run.Owner == nil || !run.Owner.Alive || run.Status != journal.StatusRunning {
			t.Errorf("%s sees %+v", who, run)
		}
	}
	mustAppend(t, log, started("x"))
	mustRelease(t, log)
	log, err := other.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatalf("acquiring a run that was given back: %v", err)
	}
	mustRelease(t, log)
}

func oneOfManyAcquires(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	mustRelease(t, mustCreate(t, s, journal.Run{ID: "a"}))
	var won, refused atomic.Int32
	var all sync.WaitGroup
	for n := range 16 {
		store := []journal.Store{s, other}[n%2]
		all.Go(func() {
			log, err := store.Acquire(t.Context(), "a")
			if _, owned := errors.AsType[*journal.OwnedError](err); owned {
				refused.Add(1)
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			won.Add(1)
			t.Cleanup(func() { _ = log.Release() }) // it may have lost the run
		})
	}
	all.Wait()
	if won.Load() != 1 || refused.Load() != 15 {
		t.Errorf("%d of 16 own the run, %d were refused", won.Load(), refused.Load())
	}
}

func deadOwnerLosesRun(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	old := mustCreate(t, s, journal.Run{ID: "a"})
	mustAppend(t, old, started("x"))
	h.Die(t, s)
	if run := mustFind(t, other, "a"); run.Owner == nil || run.Owner.Alive || run.Status != journal.StatusRunning {
		t.Errorf("the run of a dead process: %+v", run)
	}
	log, err := other.Acquire(t.Context(), "a")
	if err != nil {
		t.Fatalf("taking the run of a dead process over: %v", err)
	}
	mustAppend(t, log, started("y"))
	before := mustFind(t, other, "a")

	for range 2 {
		if err := old.Append(finished("x", "late"), ended(journal.StatusFailed))(); !errors.Is(err, journal.ErrLost) {
			t.Errorf("the process that lost the run wrote: %v", err)
		}
	}
	if err := old.Release(); !errors.Is(err, journal.ErrLost) {
		t.Errorf("the process that lost the run gave it back: %v", err)
	}
	after := mustFind(t, other, "a")
	if after.Status != journal.StatusRunning || after.Owner == nil || !after.Owner.Alive || after.Steps != before.Steps || after.CostUSD != before.CostUSD {
		t.Errorf("%+v was changed to %+v", before, after)
	}
	mustAppend(t, log, finished("y", "in time"))
	if n := len(mustEvents(t, other, "a", 0)); n != 4 {
		t.Errorf("%d events; want 4", n)
	}
	mustRelease(t, log)
}

func removeLeavesOwned(t *testing.T, h Harness) {
	s := h.Open(t)
	other := h.Other(t, s)
	log := mustCreate(t, s, journal.Run{ID: "a"})
	mustRelease(t, mustCreate(t, s, journal.Run{ID: "b"}))
	if n, err := other.Remove(t.Context(), "a", "b", "unknown"); n != 1 || err != nil {
		t.Errorf("removed %d, %v; want only the one without an owner", n, err)
	}
	mustAppend(t, log, started("x"))
	h.Die(t, s)
	if n, err := other.Remove(t.Context(), "a"); n != 1 || err != nil {
		t.Errorf("removed %d, %v; want that of the dead process", n, err)
	}
	if err := log.Append(started("y"))(); !errors.Is(err, journal.ErrLost) {
		t.Errorf("writing a run that was removed: %v", err)
	}
	if err := log.Release(); !errors.Is(err, journal.ErrLost) {
		t.Errorf("releasing a run that was removed: %v", err)
	}
}
