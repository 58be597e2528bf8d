package callsdb_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/analyticstest"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/internal/processtest"
)

// TestMain lets the test binary be the other processes of a test.
func TestMain(m *testing.M) {
	os.Exit(processtest.Main(m, map[string]processtest.Job{"work": work}))
}

// work adds so many calls as a process that makes many does, and as many
// processes that make few do, each batch with a call of a tool and a task, and prints
// the number of calls whenever some are acknowledged. Each call has a number of its own,
// from a first on, as its step, and each call of a tool that of the first of its batch.
func work(args []string) error {
	path := args[0]
	first, firstErr := strconv.Atoi(args[1])
	count, countErr := strconv.Atoi(args[2])
	if err := errors.Join(firstErr, countErr); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(first), 7))
	s, err := callsdb.Open(path)
	if err != nil {
		return err
	}
	for n := 0; n < count; {
		calls := make([]analytics.Call, min(1+rng.IntN(60), count-n))
		for i := range calls {
			calls[i] = analyticstest.RandomCall(rng)
			calls[i].Step = strconv.Itoa(first + n + i)
		}
		c := calls[0]
		used := analytics.ToolCall{Time: c.Time, Project: c.Project, Step: c.Step, Agent: c.Agent, Tool: "Read", Outcome: analytics.ToolOutcome(n % 4)}
		task := analytics.ToolTask{Time: c.Time, Project: c.Project, Step: c.Step, Agent: c.Agent, Model: c.Model, Turns: 1 + n%9}
		if rng.IntN(2) == 0 {
			err = errors.Join(s.AddTools(context.Background(), used), s.AddTasks(context.Background(), task), s.Add(context.Background(), calls...))
		} else {
			r := callsdb.NewRecorder(path, analytics.Retention{}, nil)
			r.RecordTool(used)
			r.RecordTask(task)
			for _, c := range calls {
				r.Record(c)
			}
			err = r.Close()
		}
		if err != nil {
			return err
		}
		n += len(calls)
		fmt.Println(n)
	}
	return s.Close()
}

// TestProcessesAndKills: eight processes add calls, half of them die on the way
// and are begun again. What was acknowledged is there, nothing is there twice,
// and all sums are those of the rows. CALLS sets how many calls, 160,000 for the
// figure in the documentation.
func TestProcessesAndKills(t *testing.T) {
	t.Parallel()
	const processes, space = 8, 1_000_000
	total := 4000
	if testing.Short() {
		total = 2000
	}
	if n, err := strconv.Atoi(os.Getenv("CALLS")); err == nil {
		total = n
	}
	path := file(t)
	var mu sync.Mutex // guards acknowledged
	acknowledged := map[int]int{}
	// life is a process, killed after so many acknowledgements if above 0.
	life := func(first, count, kill int) {
		p := processtest.Start(t.Context(), "work", path, first, count)
		acks := 0
		for line := range p.Lines() {
			n, _ := strconv.Atoi(line)
			mu.Lock()
			acknowledged[first] = n
			mu.Unlock()
			if acks++; acks == kill {
				p.Kill()
			}
		}
		if err := p.Wait(); err != nil && kill == 0 {
			t.Errorf("process %d: %v", first, err)
		}
	}
	var all sync.WaitGroup
	for p := range processes {
		all.Go(func() {
			count := total / processes
			if p%2 == 0 {
				for i := range 4 {
					// An acknowledgement is of 30 calls on average: on the way, or near the end.
					life((p*10+i)*space, count/4, 1+count/4/30*(5+(p+i)%5)/10)
				}
				return
			}
			life(p*10*space, count, 0)
		})
	}
	all.Wait()
	s := open(t, path)
	if err := s.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, c := range analyticstest.Stored(t, s) {
		n, _ := strconv.Atoi(c.Step)
		if seen[n] {
			t.Fatalf("call %d is there twice", n)
		}
		seen[n] = true
	}
	used := map[int]bool{}
	for c, err := range s.ToolCalls(t.Context(), analytics.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(c.Step)
		if used[n] {
			t.Fatalf("the call of a tool of call %d is there twice", n)
		}
		used[n] = true
	}
	for first, n := range acknowledged {
		if n > 0 && !used[first] {
			t.Errorf("the call of a tool of call %d was acknowledged and is not there", first)
		}
		for i := range n {
			if !seen[first+i] {
				t.Errorf("call %d was acknowledged and is not there", first+i)
			}
		}
	}
	analyticstest.Check(t, s, analytics.Filter{})
	t.Logf("%d calls", len(seen))
}
