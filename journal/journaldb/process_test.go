package journaldb_test

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

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
)

// work makes a run, or takes it over if there is one, says that it is ready, waits
// for the end of its input, and appends steps to the run from several goroutines,
// each so many, or without end if that is 0. It prints the output of each step
// that is durable.
func work(args []string) error {
	path, run := args[0], args[1]
	writers, writersErr := strconv.Atoi(args[2])
	count, countErr := strconv.Atoi(args[3])
	s, err := journaldb.Open(path, journaldb.Options{})
	if err := errors.Join(writersErr, countErr, err); err != nil {
		return err
	}
	ctx := context.Background()
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
func startWriter(t *testing.T, path, run string, writers, count int) *processtest.Process {
	t.Helper()
	w := processtest.Start(t.Context(), "work", path, run, writers, count)
	if line, _ := w.Line(); line != "ready" {
		t.Fatalf("the writer is not ready: %q, %v", line, w.Wait())
	}
	return w
}

// integrity checks the whole file.
func integrity(t *testing.T, path string) {
	t.Helper()
	conn, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stmt, _, err := conn.Prepare(`PRAGMA integrity_check`)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for stmt.Step() {
		if got := stmt.ColumnText(0); got != "ok" {
			t.Errorf("integrity: %s", got)
		}
	}
	if err := stmt.Err(); err != nil {
		t.Error(err)
	}
}

// outputs is the steps of a run that are durable, by their output. Each must
// have been started before.
func outputs(t *testing.T, s journal.Store, run string) map[string]bool {
	t.Helper()
	done, begun := map[string]bool{}, map[string]bool{}
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
		done[ev.Step] = true
	}
	return done
}

// TestKilledWriter kills a process that works on a run, again and again. Each
// time the next takes the run over at once, and every event that was
// acknowledged is there.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	const rounds = 25
	path := file(t)
	var acknowledged []string
	for round := range rounds {
		w := startWriter(t, path, "run", 1+round%8, 0)
		w.EndInput()
		steps, err := w.KillAfter(1 + round*3)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		acknowledged = append(acknowledged, steps...)

		integrity(t, path)
		s, err := journaldb.Open(path, journaldb.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if run, err := s.Find(t.Context(), "run"); err != nil || run.Owner == nil || run.Owner.Alive {
			t.Errorf("round %d: the run of a dead process: %+v, %v", round, run, err)
		}
		log, err := s.Acquire(t.Context(), "run")
		if err != nil {
			t.Fatalf("round %d: taking the run over: %v", round, err)
		}
		done := outputs(t, s, "run")
		for _, step := range acknowledged {
			if !done[step] {
				t.Errorf("round %d: %s was acknowledged and is lost", round, step)
			}
		}
		if err := errors.Join(log.Release(), s.Close()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	t.Logf("%d events acknowledged over %d kills, all there", len(acknowledged), rounds)
}

// TestManyWritingProcesses: all get their turn. Of the first half of all steps,
// each process must have a share.
func TestManyWritingProcesses(t *testing.T) {
	t.Parallel()
	const processes, each = 8, 200
	path := file(t)
	openStore(t, path, journaldb.Options{}) // so that all begin with the schema
	var mu sync.Mutex                       // guards the next two
	order, counts := []int{}, map[int]int{}
	writers := make([]*processtest.Process, processes)
	for p := range writers {
		writers[p] = startWriter(t, path, fmt.Sprint("run", p), 4, each/4)
	}
	var all sync.WaitGroup
	for p, w := range writers {
		all.Go(func() {
			for range w.Lines() {
				mu.Lock()
				order = append(order, p)
				mu.Unlock()
			}
			if err := w.Wait(); err != nil {
				t.Errorf("process %d: %v", p, err)
			}
		})
	}
	for _, w := range writers {
		w.EndInput()
	}
	all.Wait()
	if len(order) != processes*each {
		t.Fatalf("%d steps were acknowledged; want %d", len(order), processes*each)
	}
	// How they share is up to the system, which may well prefer some for a
	// while; but none may wait until the others are done.
	most := len(order) * 3 / 4
	for _, p := range order[:most] {
		counts[p]++
	}
	for p := range processes {
		if counts[p] == 0 {
			t.Errorf("process %d had none of the first %d steps: %v", p, most, counts)
		}
	}
	t.Logf("of the first %d steps: %v", most, counts)
	integrity(t, path)
	s := openStore(t, path, journaldb.Options{})
	for p := range processes {
		if n := len(outputs(t, s, fmt.Sprint("run", p))); n != each {
			t.Errorf("run %d has %d steps", p, n)
		}
	}
}
