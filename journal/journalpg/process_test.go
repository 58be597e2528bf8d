package journalpg_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journalpg"
)

// work makes a run, or takes it over if there is one, says that it is ready, waits for
// the end of its input, and appends steps to the run from several goroutines, each so
// many, or without end if that is 0. It prints the output of each step that is durable.
func work(args []string) error {
	url, run := args[0], args[1]
	writers, writersErr := strconv.Atoi(args[2])
	count, countErr := strconv.Atoi(args[3])
	ctx := context.Background()
	db, err := postgres.Open(ctx, url)
	if err := errors.Join(writersErr, countErr, err); err != nil {
		return err
	}
	s, err := journalpg.Open(ctx, db, journalpg.Options{})
	if err != nil {
		return err
	}
	log, err := s.Create(ctx, journal.Run{ID: run})
	if err != nil {
		if log, err = s.Acquire(ctx, run); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	var mu sync.Mutex // guards err
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := 0; count == 0 || n < count; n++ {
				output := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, n)
				failed := log.Append(
					journal.Event{Type: journal.StepStarted, Step: output},
					journal.Event{Type: journal.StepFinished, Step: output, Output: output + strings.Repeat(" ", 500)},
				)()
				if failed != nil {
					mu.Lock()
					err = errors.Join(err, failed)
					mu.Unlock()
					return
				}
				fmt.Println(output) // one write, which others' do not mix with
			}
		})
	}
	all.Wait()
	return errors.Join(err, log.Release(), s.Close())
}

// startWriter gives a process that is ready, and begins when its input ends.
func startWriter(t *testing.T, url, run string, writers, count int) *processtest.Process {
	t.Helper()
	w := processtest.Start(t.Context(), "work", url, run, writers, count)
	if line, _ := w.Line(); line != "ready" {
		t.Fatalf("the writer is not ready: %q, %v", line, w.Wait())
	}
	return w
}

// outputs returns the steps of a run that are durable, by their output, and how often
// each is there. Each must have been started before.
func outputs(t *testing.T, s journal.Store, run string) map[string]int {
	t.Helper()
	done, begun := map[string]int{}, map[string]bool{}
	next := int64(1)
	for ev, err := range s.Events(t.Context(), run, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Seq != next {
			t.Fatalf("event %d; want %d", ev.Seq, next)
		}
		next++
		begun[ev.Step] = begun[ev.Step] || ev.Type == journal.StepStarted
		if ev.Type != journal.StepFinished {
			continue
		}
		if strings.TrimRight(ev.Output, " ") != ev.Step || !begun[ev.Step] {
			t.Fatalf("event %d is of step %q, begun %v, with output %q", ev.Seq, ev.Step, begun[ev.Step], ev.Output)
		}
		done[ev.Step]++
	}
	return done
}

// TestKilledWriter kills a process that works on a run, again and again. Each time the
// next takes the run over at once, and every event that was acknowledged is there.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	const rounds = 10
	url := postgrestest.URL(t)
	s := openStore(t, url)
	var acknowledged []string
	for round := range rounds {
		w := startWriter(t, url, "run", 1+round%8, 0)
		w.EndInput()
		steps, err := w.KillAfter(1 + round*3)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		acknowledged = append(acknowledged, steps...)
		if run, err := s.Find(t.Context(), "run"); err != nil || run.Owner == nil || run.Owner.Alive {
			t.Errorf("round %d: the run of a dead process: %+v, %v", round, run, err)
		}
		log, err := s.Acquire(t.Context(), "run")
		if err != nil {
			t.Fatalf("round %d: taking the run over: %v", round, err)
		}
		done := outputs(t, s, "run")
		for _, step := range acknowledged {
			if done[step] != 1 {
				t.Errorf("round %d: %s was acknowledged and is there %d times", round, step, done[step])
			}
		}
		if err := log.Release(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	t.Logf("%d events acknowledged over %d kills, all there", len(acknowledged), rounds)
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
		started[p] = startWriter(t, url, fmt.Sprint("run", p), writers, each)
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
		w.EndInput()
	}
	for range kills { // after a share of the steps, so that it hits them at work
		for range processes * writers * each / (kills + 1) {
			<-steps
		}
		server.Kill(t)
		server.Restart(t)
	}
	all.Wait()
	s := openStore(t, url)
	for p := range processes {
		run := fmt.Sprint("run", p)
		done := outputs(t, s, run)
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
		writers[p] = startWriter(t, url, fmt.Sprint("run", p), 4, each/4)
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
		if n := len(outputs(t, s, fmt.Sprint("run", p))); n != each {
			t.Errorf("run %d has %d steps", p, n)
		}
	}
}
