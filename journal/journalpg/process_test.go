package journalpg_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalpg"
	"github.com/claude-force/claude-force/journal/journaltest"
)

// TestKilledWriter checks that no acknowledged event is lost with its process.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	journaltest.KilledWriter(t, url, 10, func() journal.Store { return openStore(t, url) })
}

// TestKilledDatabase kills the database while processes append, again and again. None of
// them fails, and each step that was acknowledged is there once.
func TestKilledDatabase(t *testing.T) {
	t.Parallel()
	const processes, writers, each, kills = 3, 8, 150, 4
	server := postgrestest.Start(t)
	url := server.URL(t)
	var mu sync.Mutex // guards the next
	acknowledged := map[string][]string{}
	steps := make(chan struct{}, processes*writers*each)
	started := make([]*processtest.Process, processes)
	for p := range started {
		started[p] = journaltest.StartWriter(t, url, fmt.Sprint("run", p), writers, each)
	}
	var all sync.WaitGroup
	for p, w := range started {
		all.Go(func() {
			for line := range w.Lines() {
				mu.Lock()
				acknowledged[fmt.Sprint("run", p)] = append(acknowledged[fmt.Sprint("run", p)], line)
				mu.Unlock()
				steps <- struct{}{}
			}
			if err := w.Wait(); err != nil {
				t.Errorf("process %d: %v", p, err)
			}
		})
	}
	for _, w := range started {
		w.WriteLine("begin")
	}
	for range kills { // after a share of the steps, so that it hits them at work
		for range processes * writers * each / (kills + 1) {
			<-steps
		}
		server.Kill(t)
		server.Restart(t)
	}
	// A process that is done gives its run back, for which it waits not as long for a
	// database as it does for steps.
	for _, w := range started {
		w.EndInput()
	}
	all.Wait()
	s := openStore(t, url)
	for p := range processes {
		run := fmt.Sprint("run", p)
		done := journaltest.Outputs(t, s, run)
		if len(acknowledged[run]) != writers*each || len(done) != writers*each {
			t.Errorf("%s: %d steps were acknowledged and %d are there; want %d", run, len(acknowledged[run]), len(done), writers*each)
		}
		for _, step := range acknowledged[run] {
			if done[step] != 1 {
				t.Errorf("%s: %s was acknowledged and is there %d times", run, step, done[step])
			}
		}
		if found, err := s.Find(t.Context(), run); err != nil || found.Status != journal.StatusInterrupted || found.Owner != nil || found.Steps != writers*each {
			t.Errorf("%s: %+v, %v", run, found, err)
		}
	}
}

// TestPartsThroughKilledDatabase kills the database while two stores join parts of one run and
// write them. Each step is there once, and the run adds up what is there.
func TestPartsThroughKilledDatabase(t *testing.T) {
	t.Parallel()
	const writers, each, kills = 8, 60, 4
	server := postgrestest.Start(t)
	url := server.URL(t)
	stores := []*journalpg.Store{openStore(t, url), openAs(t, url, journalpg.Options{}, "elsewhere", 1)}
	log, err := stores[0].Create(t.Context(), journal.Run{ID: "run", Engine: engine})
	if err := errors.Join(err, log.Release()); err != nil {
		t.Fatal(err)
	}
	steps := make(chan struct{}, writers*each)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				step := fmt.Sprintf("w%ds%d", w, i)
				log, _, err := stores[w%2].Join(t.Context(), "run", engine, journal.Unit{Step: step})
				for tries := 0; err != nil && tries < 10; tries++ { // it waits less for the database than steps do
					log, _, err = stores[w%2].Join(t.Context(), "run", engine, journal.Unit{Step: step})
				}
				if err == nil {
					log.Append(journal.Event{Type: journal.StepStarted, Step: step})
					err = log.Append(journal.Event{Type: journal.StepFinished, Step: step, Output: step})()
				}
				if err != nil {
					t.Errorf("step %s: %v", step, err)
				}
				steps <- struct{}{}
			}
		})
	}
	for range kills { // after a share of the steps, so that it hits them at work
		for range writers * each / (kills + 1) {
			<-steps
		}
		server.Kill(t)
		server.Restart(t)
	}
	all.Wait()
	done := journaltest.Outputs(t, stores[1], "run")
	for step, n := range done {
		if n != 1 {
			t.Errorf("step %s is there %d times", step, n)
		}
	}
	run, err := stores[0].Find(t.Context(), "run")
	if err != nil || len(done) != writers*each || run.Steps != len(done) || run.Status != journal.StatusRunning {
		t.Errorf("%d steps are there, and the run is %+v, %v", len(done), run, err)
	}
	last := int64(0)
	for ev, err := range stores[0].Events(t.Context(), "run", 0) {
		if last++; err != nil || ev.Seq != last {
			t.Fatalf("event %d is number %d, %v", last, ev.Seq, err)
		}
	}
	if want := int64(1 + 2*writers*each); last != want {
		t.Errorf("%d events; want %d", last, want)
	}
}

// TestManyWritingProcesses: all get their turn, at runs with the same outputs.
func TestManyWritingProcesses(t *testing.T) {
	t.Parallel()
	const processes, each = 4, 100
	url := postgrestest.URL(t)
	writers := make([]*processtest.Process, processes)
	for p := range writers {
		writers[p] = journaltest.StartWriter(t, url, fmt.Sprint("run", p), 4, each/4)
	}
	var all sync.WaitGroup
	for p, w := range writers {
		all.Go(func() {
			if err := w.Wait(); err != nil {
				t.Errorf("process %d: %v", p, err)
			}
		})
	}
	all.Wait()
	s := openStore(t, url)
	for p := range processes {
		if n := len(journaltest.Outputs(t, s, fmt.Sprint("run", p))); n != each {
			t.Errorf("run %d has %d steps", p, n)
		}
	}
}
