package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/sqlite"
)

// work makes the run STORE_RUN, or takes it over if there is one, says that it is
// ready, waits for the end of its input, and appends STORE_COUNT steps to it, or without end if that is 0, from as many goroutines
// as STORE_WRITERS says. It prints the output of each step that is durable.
func work(path string) error {
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	log, err := s.Create(ctx, journal.Run{ID: os.Getenv("STORE_RUN")})
	if err != nil {
		if log, err = s.Acquire(ctx, os.Getenv("STORE_RUN")); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	count, _ := strconv.Atoi(os.Getenv("STORE_COUNT"))
	writers, _ := strconv.Atoi(os.Getenv("STORE_WRITERS"))
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

// writer is a process that works.
type writer struct {
	cmd    *exec.Cmd
	begin  io.Closer
	lines  *bufio.Scanner
	stderr strings.Builder
}

// startWriter gives a process that is ready, and begins when told to.
func startWriter(t *testing.T, path, run string, writers, count int) *writer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{cmd: exec.CommandContext(t.Context(), self)}
	w.cmd.Env = append(os.Environ(), "STORE_ROLE=writer", "STORE_PATH="+path, "STORE_RUN="+run,
		"STORE_WRITERS="+strconv.Itoa(writers), "STORE_COUNT="+strconv.Itoa(count))
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.lines = bufio.NewScanner(out)
	if w.begin, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !w.lines.Scan() || w.lines.Text() != "ready" {
		t.Fatalf("the writer is not ready: %q, %v: %s", w.lines.Text(), w.cmd.Wait(), &w.stderr)
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
		w.begin.Close()
		for range 1 + round*3 { // killed after more or fewer steps
			if !w.lines.Scan() {
				t.Fatalf("round %d: the writer ended: %s", round, &w.stderr)
			}
			acknowledged = append(acknowledged, w.lines.Text())
		}
		if err := w.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for w.lines.Scan() { // what it had acknowledged before it died
			acknowledged = append(acknowledged, w.lines.Text())
		}
		_ = w.cmd.Wait() // killed

		integrity(t, path)
		s, err := sqlite.Open(path, sqlite.Options{})
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
	openStore(t, path, sqlite.Options{}) // so that all begin with the schema
	var mu sync.Mutex                    // guards the next two
	order, counts := []int{}, map[int]int{}
	writers := make([]*writer, processes)
	for p := range writers {
		writers[p] = startWriter(t, path, fmt.Sprint("run", p), 4, each/4)
	}
	var all sync.WaitGroup
	for p, w := range writers {
		all.Go(func() {
			for w.lines.Scan() {
				mu.Lock()
				order = append(order, p)
				mu.Unlock()
			}
			if err := w.cmd.Wait(); err != nil {
				t.Errorf("process %d: %v: %s", p, err, &w.stderr)
			}
		})
	}
	for _, w := range writers {
		w.begin.Close()
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
	s := openStore(t, path, sqlite.Options{})
	for p := range processes {
		if n := len(outputs(t, s, fmt.Sprint("run", p))); n != each {
			t.Errorf("run %d has %d steps", p, n)
		}
	}
}
