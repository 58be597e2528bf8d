package journalpg_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
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
