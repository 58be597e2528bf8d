package journaltest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/process"
	"github.com/claude-force/claude-force/internal/processtest"
	"github.com/claude-force/claude-force/journal"
)

// Main runs the tests, or does the job for which a test started this process: see
// [ProcessSuite] and [StartWriter]. open opens the store at an address, a path or a URL.
func Main(m *testing.M, open func(ctx context.Context, address string) (journal.Store, error)) (code int) {
	return processtest.Main(m, map[string]processtest.Job{
		"idle": idle,
		"work": func(args []string) error { return work(args, open) },
	})
}

// idle lives until its input ends, or it is killed.
func idle([]string) error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// ProcessSuite runs the suite with stores that say they are another process, which is
// there, and can be killed. address gives that of a new, empty store, and open opens it
// as the process with a pid.
func ProcessSuite(t *testing.T, address func(*testing.T) string, open func(t *testing.T, address string, pid int) journal.Store) {
	var mu sync.Mutex // guards the maps
	addresses, processes := map[journal.Store]string{}, map[journal.Store]*processtest.Process{}
	openOther := func(t *testing.T, address string) journal.Store {
		t.Helper()
		other := processtest.Start(t.Context(), "idle")
		t.Cleanup(func() { end(other) })
		s := open(t, address, other.PID())
		mu.Lock()
		defer mu.Unlock()
		addresses[s], processes[s] = address, other
		return s
	}
	Suite(t, Harness{
		Open: func(t *testing.T) journal.Store { return openOther(t, address(t)) },
		Other: func(t *testing.T, s journal.Store) journal.Store {
			mu.Lock()
			address := addresses[s]
			mu.Unlock()
			return openOther(t, address)
		},
		Die: func(_ *testing.T, s journal.Store) {
			mu.Lock()
			defer mu.Unlock()
			end(processes[s])
		},
	})
}

// end kills a process and waits until it has gone.
func end(p *processtest.Process) {
	p.Kill()
	_ = p.Wait() // killed
}

// StartWriter starts a process that works on a run, which it creates, or acquires if
// there is one. It returns once the process is ready. When its input has a line or ends, the
// process appends steps from several goroutines, each of which appends count of them, or any
// number if count is 0. It prints the output of each step that is durable, and gives the run
// back once its input has ended.
func StartWriter(t *testing.T, address, run string, writers, count int) *processtest.Process {
	t.Helper()
	w := processtest.Start(t.Context(), "work", address, run, writers, count)
	if line, _ := w.Line(); line != "ready" {
		t.Fatalf("the writer is not ready: %q, %v", line, w.Wait())
	}
	return w
}

// work does what [StartWriter] says.
func work(args []string, open func(ctx context.Context, address string) (journal.Store, error)) error {
	address, run := args[0], args[1]
	writers, writersErr := strconv.Atoi(args[2])
	count, countErr := strconv.Atoi(args[3])
	ctx := context.Background()
	s, err := open(ctx, address)
	if err := errors.Join(writersErr, countErr, err); err != nil {
		return err
	}
	log, err := s.Create(ctx, journal.Run{ID: run})
	if err != nil {
		if log, err = s.Acquire(ctx, run); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil && !errors.Is(err, io.EOF) {
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
	if _, end := io.Copy(io.Discard, in); end != nil {
		err = errors.Join(err, end)
	}
	return errors.Join(err, log.Release(), s.Close())
}

// Outputs returns the steps of a run that are durable, by their output, and how often
// each is there. Each must have been started before.
func Outputs(t *testing.T, s journal.Store, run string) map[string]int {
	t.Helper()
	done, startedSteps := map[string]int{}, map[string]bool{}
	for _, ev := range mustEvents(t, s, run, 0) {
		startedSteps[ev.Step] = startedSteps[ev.Step] || ev.Type == journal.StepStarted
		if ev.Type != journal.StepFinished {
			continue
		}
		if strings.TrimRight(ev.Output, " ") != ev.Step || !startedSteps[ev.Step] {
			t.Fatalf("event %d is of step %q, started %v, with output %q", ev.Seq, ev.Step, startedSteps[ev.Step], ev.Output)
		}
		done[ev.Step]++
	}
	return done
}

// KilledWriter kills a process that works on a run, again and again. Each time the next
// takes the run over at once, and every event that was acknowledged is there once. open
// opens the store at the address after each kill.
func KilledWriter(t *testing.T, address string, rounds int, open func() journal.Store) {
	var acknowledged []string
	for round := range rounds {
		w := StartWriter(t, address, "run", 1+round%8, 0)
		w.EndInput()
		steps, err := w.KillAfter(1 + round*3)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		acknowledged = append(acknowledged, steps...)

		s := open()
		if run, err := s.Find(t.Context(), "run"); err != nil || run.Owner == nil || run.Owner.Alive {
			t.Errorf("round %d: the run of a dead process: %+v, %v", round, run, err)
		}
		log, err := s.Acquire(t.Context(), "run")
		if err != nil {
			t.Fatalf("round %d: taking the run over: %v", round, err)
		}
		done := Outputs(t, s, "run")
		for _, step := range acknowledged {
			if done[step] != 1 {
				t.Errorf("round %d: %s was acknowledged and is there %d times", round, step, done[step])
			}
		}
		if err := errors.Join(log.Release(), s.Close()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	t.Logf("%d events acknowledged over %d kills, all there", len(acknowledged), rounds)
}

// Process returns the process with a pid of a host; 0 and "" mean those of this one.
func Process(host string, pid int) process.ID {
	p := process.This()
	if host != "" {
		p.Host = host
	}
	if pid != 0 {
		p.PID = pid
		_, p.Born = process.Running(pid)
	}
	return p
}
