// Package scheduletest tests that a [schedule.Store] keeps its contract.
package scheduletest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claude-force/claude-force/schedule"
)

// Suite checks a store. newStore returns an empty one; the suite calls it several times.
func Suite(t *testing.T, newStore func(t *testing.T) schedule.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, schedule.Store)
	}{
		{"Add", add},
		{"Pause", pause},
		{"Decide", decide},
		{"Removed", removed},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := newStore(t)
			t.Cleanup(func() {
				if err := store.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			test.run(t, store)
		})
	}
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// nightly returns a schedule of a project.
func nightly(t *testing.T, id, dir string) *schedule.Schedule {
	t.Helper()
	budget := 0.5
	s := &schedule.Schedule{ID: id, Name: "nightly", Dir: dir, Workflow: "review.yaml", Params: map[string]string{"a": "x \x00'"}, Budget: &budget, Cron: "0 2 * * *", Zone: "Europe/Berlin"}
	if err := s.Complete(start); err != nil {
		t.Fatal(err)
	}
	return s
}

// one returns the only schedule of the project /a.
func one(t *testing.T, store schedule.Store) schedule.Schedule {
	t.Helper()
	list, err := store.List(t.Context(), "/a")
	if err != nil || len(list) != 1 {
		t.Fatalf("List: %+v, %v", list, err)
	}
	return list[0]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, store schedule.Store) {
	if list, err := store.List(t.Context(), "/a"); err != nil || len(list) != 0 {
		t.Fatalf("List of an empty store: %+v, %v", list, err)
	}
	a := nightly(t, "1", "/a")
	must(t, store.Add(t.Context(), a))
	if err := store.Add(t.Context(), nightly(t, "2", "/a")); !errors.Is(err, schedule.ErrExists) {
		t.Errorf("Add of a name that is taken: %v", err)
	}
	must(t, store.Add(t.Context(), nightly(t, "3", "/b")))
	if diff := cmp.Diff(*a, one(t, store), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func pause(t *testing.T, store schedule.Store) {
	if err := store.SetPaused(t.Context(), "/a", "nightly", true, start); !errors.Is(err, schedule.ErrNotFound) {
		t.Errorf("SetPaused of none: %v", err)
	}
	must(t, store.Add(t.Context(), nightly(t, "1", "/a")))
	later := start.Add(48 * time.Hour)
	must(t, store.SetPaused(t.Context(), "/a", "nightly", false, later)) // it was not paused
	if s := one(t, store); !s.Decided.Equal(start) {
		t.Errorf("a schedule that was not paused has lost ticks: %+v", s)
	}
	must(t, store.SetPaused(t.Context(), "/a", "nightly", true, later))
	if s := one(t, store); !s.Paused {
		t.Errorf("not paused: %+v", s)
	}
	must(t, store.SetPaused(t.Context(), "/a", "nightly", false, later))
	if s := one(t, store); s.Paused || !s.Decided.Equal(later) {
		t.Errorf("ticks of the pause are not decided: %+v", s)
	}
}

func decide(t *testing.T, store schedule.Store) {
	must(t, store.Add(t.Context(), nightly(t, "1", "/a")))
	was := one(t, store)
	tick := start.Add(13 * time.Hour)
	for i, want := range []bool{true, false} { // the second is another process, which saw the same
		decided, err := store.Decide(t.Context(), &was, schedule.Outcome{Decided: tick, Run: fmt.Sprint("run_", i), Tick: tick})
		if err != nil || decided != want {
			t.Errorf("Decide %d: %t, %v", i, decided, err)
		}
	}
	is := one(t, store)
	if !is.Decided.Equal(tick) || is.LastRun != "run_0" || !is.Tick.Equal(tick) || !is.Pending || is.Problem != "" {
		t.Errorf("after a tick: %+v", is)
	}
	must(t, store.Started(t.Context(), &was, "of an earlier run"))
	if !one(t, store).Pending {
		t.Error("a run is not pending since another was started")
	}
	must(t, store.Started(t.Context(), &is, "no such workflow"))
	if is = one(t, store); is.Pending || is.Problem != "no such workflow" {
		t.Errorf("after a run that cannot start: %+v", is)
	}
	if decided, err := store.Decide(t.Context(), &is, schedule.Outcome{Decided: tick.Add(time.Hour)}); err != nil || !decided {
		t.Errorf("Decide without a run: %t, %v", decided, err)
	}
	if is = one(t, store); is.LastRun != "run_0" || is.Pending || !is.Decided.Equal(tick.Add(time.Hour)) {
		t.Errorf("after a tick that was skipped: %+v", is)
	}
}

func removed(t *testing.T, store schedule.Store) {
	must(t, store.Add(t.Context(), nightly(t, "1", "/a")))
	was := one(t, store)
	must(t, store.Remove(t.Context(), "/a", "nightly"))
	if err := store.Remove(t.Context(), "/a", "nightly"); !errors.Is(err, schedule.ErrNotFound) {
		t.Errorf("Remove of none: %v", err)
	}
	must(t, store.Add(t.Context(), nightly(t, "2", "/a")))
	if decided, err := store.Decide(t.Context(), &was, schedule.Outcome{Decided: start.Add(time.Hour), Run: "run_1"}); err != nil || decided {
		t.Errorf("Decide of a schedule that was removed: %t, %v", decided, err)
	}
	if is := one(t, store); is.ID != "2" || is.LastRun != "" {
		t.Errorf("a schedule that was made again: %+v", is)
	}
}
