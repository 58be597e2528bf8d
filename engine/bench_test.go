package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/journaldb"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// wide returns a graph of n steps, each with two dependencies, of which slots can
// run at once. It is put together by hand: a file has a limit of size.
func wide(tb testing.TB, n int) *workflow.Workflow {
	step := parse(tb, "steps:\n- {id: s, agent: x, task: t}\n").Steps[0]
	wf := &workflow.Workflow{Steps: make([]*workflow.Step, n)}
	for i := range n {
		s := *step
		s.ID = fmt.Sprint("s", i)
		if i >= slots {
			s.Dependencies = []string{fmt.Sprint("s", i-slots), fmt.Sprint("s", i/2)}
		}
		wf.Steps[i] = &s
	}
	return wf
}

// chain returns a graph of n steps of which each waits for the one before, and the first
// is skipped.
func chain(tb testing.TB, n int) *workflow.Workflow {
	steps := parse(tb, "steps:\n- {id: s0, agent: x, task: t, when: '${{ false }}'}\n- {id: s, agent: x, task: t, dependencies: [s0]}\n").Steps
	wf := &workflow.Workflow{Steps: []*workflow.Step{steps[0]}}
	for i := 1; i < n; i++ {
		s := *steps[1]
		s.ID, s.Dependencies = fmt.Sprint("s", i), []string{fmt.Sprint("s", i-1)}
		wf.Steps = append(wf.Steps, &s)
	}
	return wf
}

// slots is how many attempts are under way at once in what is measured.
const slots = 32

// each returns a foreach over n items.
func each(tb testing.TB, n int) (*workflow.Workflow, map[string]any) {
	items := make([]any, n)
	for i := range items {
		items[i] = i
	}
	return parse(tb, "params: {list: {type: array}}\nsteps:\n- {id: e, agent: x, task: 'see ${{ item }}', foreach: '${{ params.list }}'}\n"), map[string]any{"list": items}
}

func nothing(context.Context, engine.Attempt) (llm.Outcome, error) { return llm.Outcome{}, nil }

// perStep returns nanoseconds as microseconds for each of n steps.
func perStep(d time.Duration, runs, n int) float64 {
	return float64(d.Nanoseconds()) / float64(runs) / float64(n) / 1e3
}

// BenchmarkSteps measures what the engine adds to a step whose work is nothing,
// beside as many goroutines that send on a channel.
func BenchmarkSteps(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			wf := wide(b, n)
			var ours, bare time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				run(b.Context(), wf, engine.Options{Execute: nothing, MaxParallel: slots})
				ours += time.Since(start)

				start = time.Now()
				done := make(chan int, n)
				for i := range n {
					go func() { done <- i }()
				}
				for range n {
					<-done
				}
				bare += time.Since(start)
			}
			b.ReportMetric(perStep(ours, b.N, n), "us/step")
			b.ReportMetric(float64(ours)/float64(bare), "x-goroutine")
		})
	}
}

// BenchmarkSkipped measures a chain of steps that all are skipped, since the first one's
// condition is false: the time of a step does not grow with their number.
func BenchmarkSkipped(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			wf := chain(b, n)
			b.ReportAllocs()
			for b.Loop() {
				run(b.Context(), wf, engine.Options{Execute: nothing, MaxParallel: slots})
			}
			b.ReportMetric(perStep(b.Elapsed(), b.N, n), "us/step")
		})
	}
}

// BenchmarkForeach measures as BenchmarkSteps does, for the items of one step.
func BenchmarkForeach(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			wf, params := each(b, n)
			b.ReportAllocs()
			for b.Loop() {
				run(b.Context(), wf, engine.Options{Execute: nothing, MaxParallel: slots, Params: params})
			}
			b.ReportMetric(perStep(b.Elapsed(), b.N, n), "us/step")
		})
	}
}

// BenchmarkDurable measures a run whose every answer is durable before it
// counts, beside as many goroutines that write the same events to the same kind
// of file with no engine around them.
func BenchmarkDurable(b *testing.B) {
	const n = 2_000
	wf := wide(b, n)
	var ours, bare time.Duration
	for b.Loop() {
		store, log := openStore(b)
		start := time.Now()
		res, err := engine.Run(b.Context(), wf, engine.Options{Execute: nothing, MaxParallel: slots, Log: log})
		ours += time.Since(start)
		if err != nil || res.Status != engine.StatusCompleted {
			b.Fatal(res.Status, err)
		}
		steps := pairs(b, store)
		closeStore(b, store, log)

		store, log = openStore(b)
		start = time.Now()
		write(b, log, steps)
		bare += time.Since(start)
		closeStore(b, store, log)
	}
	b.ReportMetric(perStep(ours, b.N, n), "us/step")
	b.ReportMetric(float64(ours)/float64(bare), "x-commits")
}

func openStore(b *testing.B) (*journaldb.Store, journal.Log) {
	store, err := journaldb.Open(filepath.Join(b.TempDir(), "history.db"), journaldb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	log, err := store.Create(b.Context(), journal.Run{ID: bookID})
	if err != nil {
		b.Fatal(err)
	}
	return store, log
}

func closeStore(b *testing.B, store *journaldb.Store, log journal.Log) {
	if err := log.Release(); err != nil {
		b.Fatal(err)
	}
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
}

// pairs returns the beginning and the end of every step.
func pairs(b *testing.B, store *journaldb.Store) [][2]journal.Event {
	began := map[string]journal.Event{}
	var steps [][2]journal.Event
	for ev, err := range store.Events(b.Context(), bookID, 0) {
		if err != nil {
			b.Fatal(err)
		}
		switch ev.Type {
		case journal.StepStarted:
			began[ev.Step] = ev
		case journal.StepFinished:
			steps = append(steps, [2]journal.Event{began[ev.Step], ev})
		}
	}
	return steps
}

func write(b *testing.B, log journal.Log, steps [][2]journal.Event) {
	var wg sync.WaitGroup
	for slot := range slots {
		wg.Go(func() {
			for i := slot; i < len(steps); i += slots {
				log.Append(steps[i][0])
				if err := log.Append(steps[i][1])(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// cost returns what a run allocates, and how much of it is live when its last step
// ends.
func cost(tb testing.TB, wf *workflow.Workflow, params map[string]any) (allocs, live uint64) {
	var before, end, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	last := 0
	_, err := engine.Run(tb.Context(), wf, engine.Options{Execute: nothing, MaxParallel: slots, Params: params, Observe: func(ctx context.Context, ev engine.Event) {
		if last++; ev.Status != engine.StatusCompleted || ev.Inner {
			return
		}
		if ev.Path == "e" || ev.Path == wf.Steps[len(wf.Steps)-1].ID {
			runtime.GC()
			runtime.ReadMemStats(&end)
		}
	}})
	if err != nil {
		tb.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs, end.HeapAlloc - min(end.HeapAlloc, before.HeapAlloc)
}

// What a step costs does not grow with the number of steps.
func TestCostIsLinear(t *testing.T) {
	shapes := map[string]func(n int) (*workflow.Workflow, map[string]any){
		"steps": func(n int) (*workflow.Workflow, map[string]any) { return wide(t, n), nil },
		"items": func(n int) (*workflow.Workflow, map[string]any) { return each(t, n) },
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			fewWf, fewParams := shape(1_000)
			manyWf, manyParams := shape(10_000)
			fewAllocs, fewLive := cost(t, fewWf, fewParams)
			manyAllocs, manyLive := cost(t, manyWf, manyParams)
			t.Logf("1,000: %d allocations and %d bytes each; 10,000: %d and %d, %d KiB in all", fewAllocs/1_000, fewLive/1_000, manyAllocs/10_000, manyLive/10_000, manyLive>>10)
			if manyAllocs > 13*fewAllocs {
				t.Errorf("%d allocations for 1,000, %d for 10,000", fewAllocs, manyAllocs)
			}
			if manyLive > 13*fewLive {
				t.Errorf("%d bytes for 1,000, %d for 10,000", fewLive, manyLive)
			}
			if manyLive > 100<<20 {
				t.Errorf("%d bytes live for 10,000", manyLive)
			}
		})
	}
}
