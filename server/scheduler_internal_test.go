package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/claude-force/claude-force/schedule"
	"github.com/claude-force/claude-force/schedule/scheduledb"
)

// schedulers are the schedulers of several processes on one store, with a clock and
// runs that the test decides on.
type schedulers struct {
	t       *testing.T
	path    string
	now     time.Time
	started map[string]int // ids of runs
	running map[string]bool
	fails   error
}

func newSchedulers(t *testing.T, s schedule.Schedule) *schedulers {
	w := &schedulers{
		t: t, path: filepath.Join(t.TempDir(), "schedules.db"), now: time.Date(2026, 5, 1, 0, 30, 0, 0, time.UTC),
		started: map[string]int{}, running: map[string]bool{},
	}
	s.ID, s.Name, s.Workflow, s.Dir = "1", "hourly", "wf.yaml", "/p"
	if err := s.Complete(w.now); err != nil {
		t.Fatal(err)
	}
	if err := w.process().store.Add(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	return w
}

// process returns a scheduler with a connection of its own.
func (w *schedulers) process() *scheduler {
	store := scheduledb.New(w.path)
	w.t.Cleanup(func() { _ = store.Close() })
	return &scheduler{
		store: store, dir: "/p", log: slog.New(slog.DiscardHandler), now: func() time.Time { return w.now },
		running: func(_ context.Context, run string) (bool, error) { return w.running[run], nil },
		start: func(_ context.Context, s *schedule.Schedule) error {
			if w.fails == nil {
				w.started[s.LastRun]++
			}
			return w.fails
		},
	}
}

// is fails the test unless a schedule has started so many runs.
func (w *schedulers) is(what string, runs int) schedule.Schedule {
	w.t.Helper()
	if len(w.started) != runs {
		w.t.Fatalf("%s: %d runs, want %d", what, len(w.started), runs)
	}
	list, err := w.process().store.List(w.t.Context(), "/p")
	if err != nil || len(list) != 1 {
		w.t.Fatalf("%s: %+v, %v", what, list, err)
	}
	return list[0]
}

func round(t *testing.T, c *scheduler) {
	t.Helper()
	if _, err := c.round(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSchedulerTwoProcesses has two processes on one store, whatever the clock does: a
// tick starts one run.
func TestSchedulerTwoProcesses(t *testing.T) {
	w := newSchedulers(t, schedule.Schedule{Cron: "0 * * * *"})
	one, two := w.process(), w.process()
	next, err := one.round(t.Context())
	if err != nil || !next.Equal(w.now.Add(scheduleEvery)) {
		t.Fatalf("%v, %v", next, err)
	}
	w.now = w.now.Add(30*time.Minute - time.Second)
	if next, _ = one.round(t.Context()); !next.Equal(w.now.Add(time.Second)) {
		t.Errorf("the next tick is at %v", next)
	}
	for i := range 20 {
		w.now = time.Date(2026, 5, 1, 1+i, 0, 0, 0, time.UTC)
		round(t, one)
		round(t, two)
		w.now = w.now.Add(-45 * time.Minute) // the clock is set back
		round(t, two)
		round(t, one)
	}
	w.is("after 20 hours", 20)
	for run, n := range w.started {
		if n > 1 {
			t.Errorf("%s was started %d times", run, n)
		}
	}
}

// TestSchedulerDies has a process die between what it decides and the run: the next
// starts that run, and no other for the tick.
func TestSchedulerDies(t *testing.T) {
	w := newSchedulers(t, schedule.Schedule{Cron: "0 * * * *"})
	w.now = w.now.Add(40 * time.Minute)
	w.fails = errors.New("power cut")
	if _, err := w.process().round(t.Context()); !errors.Is(err, w.fails) {
		t.Fatalf("%v", err)
	}
	pending := w.is("after the cut", 0)
	if !pending.Pending || pending.LastRun == "" {
		t.Fatalf("nothing is pending: %+v", pending)
	}
	w.fails = nil
	round(t, w.process())
	if s := w.is("after the restart", 1); s.Pending || w.started[pending.LastRun] != 1 {
		t.Errorf("%+v, %v", s, w.started)
	}
	round(t, w.process())
	w.is("a round later", 1)
}

// TestSchedulerRefused has a run that cannot start, since its workflow is wrong: the
// schedule says so, and the next tick tries again.
func TestSchedulerRefused(t *testing.T) {
	w := newSchedulers(t, schedule.Schedule{Cron: "0 * * * *"})
	w.fails = &Problem{Status: http.StatusUnprocessableEntity, Detail: "wf.yaml: no such file"}
	w.now = w.now.Add(time.Hour)
	round(t, w.process())
	if s := w.is("refused", 0); s.Pending || s.Problem != "wf.yaml: no such file" {
		t.Errorf("%+v", s)
	}
	w.fails = nil
	w.now = w.now.Add(time.Hour)
	round(t, w.process())
	if s := w.is("an hour later", 1); s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

func TestSchedulerOverlap(t *testing.T) {
	for overlap, want := range map[schedule.Overlap][2]int{schedule.OverlapSkip: {1, 1}, schedule.OverlapQueue: {1, 2}, schedule.OverlapAllow: {4, 4}} {
		w := newSchedulers(t, schedule.Schedule{Cron: "0 * * * *", Overlap: overlap})
		c := w.process()
		for range 4 {
			w.now = w.now.Add(time.Hour)
			round(t, c)
			s := w.is("running", len(w.started))
			w.running[s.LastRun] = true
		}
		w.is(string(overlap)+" while it runs", want[0])
		clear(w.running)
		round(t, c)
		w.is(string(overlap)+" when it has ended", want[1])
	}
}
