package claudeforce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/sim"
)

// open makes an orchestrator on a simulator, with a store of its own.
func open(tb testing.TB, server *sim.Server, change ...func(*claudeforce.Options)) *claudeforce.Orchestrator {
	tb.Helper()
	dir := tb.TempDir()
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		tb.Fatal(err)
	}
	opts := claudeforce.Options{Dir: dir, Config: cfg, Simulator: server}
	for _, f := range change {
		f(&opts)
	}
	orch, err := claudeforce.New(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := orch.Close(); err != nil {
			tb.Error(err)
		}
	})
	return orch
}

// openInBubble opens as open does, for a bubble of synctest: without the store of answers, which may
// sleep inside SQLite with its lock held. Who waits for a lock stops the bubble's clock.
func openInBubble(tb testing.TB, server *sim.Server, change ...func(*claudeforce.Options)) *claudeforce.Orchestrator {
	tb.Helper()
	return open(tb, server, append(change, func(o *claudeforce.Options) { o.Config.Cache.Enabled = false })...)
}

func jobs(n int) func(*claudeforce.Options) {
	return func(o *claudeforce.Options) { o.Config.Jobs = n }
}

func numbered(n int) []claudeforce.Task {
	tasks := make([]claudeforce.Task, n)
	for i := range tasks {
		tasks[i] = claudeforce.Task{Agent: "python-expert", Prompt: fmt.Sprintf("Task %d", i)}
	}
	return tasks
}

func TestIndependentTasksTakeAsLongAsOne(t *testing.T) {
	for n, slots := range map[int]int{3: 10, 100: 100} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{Latency: sim.Fixed(time.Second)})
			orch := openInBubble(t, server, jobs(slots))
			start := time.Now()
			for i, res := range orch.ExecuteMultiple(t.Context(), numbered(n)) {
				if res.Err != nil || !strings.Contains(res.Output, fmt.Sprintf(`"Task %d"`, i)) {
					t.Errorf("result %d: %v %q", i, res.Err, res.Output)
				}
			}
			if took := time.Since(start); took != time.Second {
				t.Errorf("%d calls of a second took %v", n, took)
			}
			if s := server.Stats(); s.MaxInFlight != n {
				t.Errorf("%d in flight", s.MaxInFlight)
			}
		})
	}
}

func TestSlotsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Latency: sim.Fixed(time.Second)})
		orch := openInBubble(t, server, func(o *claudeforce.Options) { o.Config.DataDir = "" })
		var all sync.WaitGroup
		for tasks := range slices.Chunk(numbered(60), 20) {
			all.Go(func() { orch.ExecuteMultiple(t.Context(), tasks) })
		}
		all.Go(func() {
			wf, err := claudeforce.ParseWorkflow("", "w.yaml", []byte("steps:\n- {id: a, agent: linter, task: t}\n- {id: b, agent: linter, task: u}\n"))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{}); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		if s := server.Stats(); s.MaxInFlight != 10 || s.Requests != 62 {
			t.Errorf("%d in flight, %d requests; want 10 and 62", s.MaxInFlight, s.Requests)
		}
	})
}

func TestFiftyIdenticalCallsAreOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Latency: sim.Fixed(time.Second)})
		var calls []record.Call
		var mu sync.Mutex
		orch := openInBubble(t, server, jobs(50), func(o *claudeforce.Options) {
			o.OnCall = func(_ context.Context, c record.Call) {
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, c)
			}
		})
		results := orch.ExecuteMultiple(t.Context(), slices.Repeat(numbered(1), 50))
		sources := map[llm.Source]int{}
		paid := 0.0
		for _, res := range results {
			sources[res.Source]++
			paid += *res.CostUSD
		}
		if diff := cmp.Diff(map[llm.Source]int{llm.SourceLive: 1, llm.SourceCoalesced: 49}, sources); diff != "" || server.Stats().Requests != 1 {
			t.Errorf("%d requests; %s", server.Stats().Requests, diff)
		}
		if totals := orch.Totals(); totals.Calls != 50 || totals.CostUSD != paid || totals.SavedUSD <= 48*paid || len(calls) != 50 {
			t.Errorf("totals %+v, paid %v", totals, paid)
		}
	})
}

// TestNoCallIsPaidTwice asks twenty things fifty times each, in a random order
// and without any wait that would keep the calls in step: whether one is found
// in the store, in flight or in between, it must be made once.
func TestNoCallIsPaidTwice(t *testing.T) {
	for range 5 {
		server := sim.New(sim.Options{})
		orch := open(t, server, jobs(50))
		tasks := slices.Repeat(numbered(20), 50)
		rand.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
		for _, res := range orch.ExecuteMultiple(t.Context(), tasks) {
			if res.Err != nil {
				t.Fatal(res.Err)
			}
		}
		if n := server.Stats().Requests; n != 20 {
			t.Errorf("%d requests for 20 different calls", n)
		}
	}
}

func TestTheSecondTimeIsFree(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := open(t, server)
	first, err := orch.ExecuteAgent(t.Context(), "python-expert", "Explain decorators")
	if err != nil {
		t.Fatal(err)
	}
	second, err := orch.ExecuteAgent(t.Context(), "python-expert", "Explain decorators")
	if err != nil {
		t.Fatal(err)
	}
	if first.Source != llm.SourceLive || second.Source != llm.SourceCache || first.Output != second.Output || *second.CostUSD != 0 || *first.CostUSD == 0 {
		t.Errorf("first %+v, second %+v", first, second)
	}
	stats, err := orch.CacheStats(t.Context())
	if err != nil || stats.Entries != 1 || stats.Hits != 1 || *stats.USDSaved != *first.CostUSD {
		t.Errorf("%+v, %v", stats, err)
	}
	if n := server.Stats().Requests; n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestOneFailureDoesNotTouchTheOthers(t *testing.T) {
	server := sim.New(sim.Options{})
	server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 400, Match: "Task 1", Message: "no"})
	tasks := numbered(4)
	tasks[2].Agent = "nobody"
	var got []claudeforce.Status
	for _, res := range open(t, server).ExecuteMultiple(t.Context(), tasks) {
		got = append(got, res.Status)
		if (res.Err != nil) != (res.Error != nil) || (res.Err == nil) != (res.Status == claudeforce.StatusCompleted) {
			t.Errorf("%+v", res)
		}
	}
	want := []claudeforce.Status{claudeforce.StatusCompleted, claudeforce.StatusFailed, claudeforce.StatusFailed, claudeforce.StatusCompleted}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRetriesHaveABudget runs many tasks while the service is overloaded: it is
// asked less and less, and a short time of trouble costs no task.
func TestRetriesHaveABudget(t *testing.T) {
	for name, c := range map[string]struct {
		overloaded int // answers with 529; 0 for all
		failed     int
		requests   int
	}{
		"all the time": {0, 400, 600}, // 200 retries, where four attempts each would be 1,600 requests
		// Fewer than start at once: each is the first answer of another task, whatever
		// the retries' jitter is.
		"for a while": {45, 0, 445},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{})
			server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 529, Times: c.overloaded})
			failed := 0
			for _, res := range openInBubble(t, server, jobs(50)).ExecuteMultiple(t.Context(), numbered(400)) {
				if res.Err != nil {
					failed++
				}
			}
			if got := server.Stats().Requests; got != c.requests || failed != c.failed {
				t.Errorf("%s: %d requests, %d tasks failed; want %d and %d", name, got, failed, c.requests, c.failed)
			}
		})
	}
}

// TestManyTasksAreReadAsTheyAreNeeded shows why any number of tasks takes the same
// memory: no more are held than slots and the results that wait behind one.
func TestManyTasksAreReadAsTheyAreNeeded(t *testing.T) {
	count := 10_000
	if testing.Short() {
		count = 1_000
	}
	for _, inOrder := range []bool{true, false} {
		orch := open(t, sim.New(sim.Options{}), func(o *claudeforce.Options) { o.Config.Cache.Enabled = false })
		var mu sync.Mutex
		taken, most := 0, 0
		consumed := 0
		tasks := func(yield func(claudeforce.Task) bool) {
			for i := range count {
				mu.Lock()
				taken++
				most = max(most, taken-consumed)
				mu.Unlock()
				if !yield(claudeforce.Task{Agent: "linter", Prompt: fmt.Sprintf("Task %d", i)}) {
					return
				}
			}
		}
		next := 1
		for res := range orch.ExecuteAll(t.Context(), tasks, claudeforce.AllOptions{Unordered: !inOrder}) {
			mu.Lock()
			consumed++
			mu.Unlock()
			if inOrder && res.ID != fmt.Sprint(next) {
				t.Fatalf("got %s; want %d", res.ID, next)
			}
			next++
		}
		if bound := 6*10 + 2; consumed != count || most > bound {
			t.Errorf("in order %t: %d results, up to %d tasks held; want at most %d", inOrder, consumed, most, bound)
		}
	}
}

func TestBreakingOffAndCanceling(t *testing.T) {
	for name, inOrder := range map[string]bool{"in order": true, "as they finish": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := sim.New(sim.Options{Latency: sim.Fixed(time.Second)})
				orch := openInBubble(t, server)
				for range orch.ExecuteAll(t.Context(), slices.Values(numbered(1000)), claudeforce.AllOptions{Unordered: !inOrder}) {
					break
				}
				synctest.Wait()
				if s := server.Stats(); s.InFlight != 0 || s.Requests > 60 {
					t.Errorf("after breaking off: %+v", s)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				done, stopped := 0, 0
				for res := range orch.ExecuteAll(ctx, slices.Values(numbered(1000)[500:]), claudeforce.AllOptions{Unordered: !inOrder}) {
					if res.Err == nil {
						done++
					} else {
						stopped++
					}
				}
				if done != 10 || stopped == 0 || stopped > 10 {
					t.Errorf("%d done, %d stopped", done, stopped)
				}
			})
		})
	}
}

const codeQuality = `{"name": "Code Quality Check", "steps": [
  {"id": "linter", "agent": "linter", "task": "Check code style", "dependencies": []},
  {"id": "type-check", "agent": "type-checker", "task": "Check types", "dependencies": []},
  {"id": "review", "agent": "code-reviewer", "task": "Final review", "dependencies": ["linter", "type-check"]}]}`

func TestRunWorkflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orch := open(t, sim.New(sim.Options{Latency: sim.Fixed(time.Second)}))
		wf, err := claudeforce.ParseWorkflow("", "w.json", []byte(codeQuality))
		if err != nil {
			t.Fatal(err)
		}
		res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
		if err != nil || res.Status != engine.StatusCompleted || res.TotalTimeSeconds != 2 {
			t.Fatalf("%+v, %v", res, err)
		}
		if !strings.Contains(res.Steps["review"].Output, "- linter (") {
			t.Errorf("the review has not seen the linter's findings: %s", res.Steps["review"].Output)
		}
		again, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
		if err != nil || again.TotalTimeSeconds != 0 || *again.CostUSD != 0 || again.RunID == res.RunID {
			t.Errorf("again: %+v, %v", again, err)
		}
	})
}

func TestNothingIsSpentOnARunThatCannotWork(t *testing.T) {
	server := sim.New(sim.Options{})
	orch := open(t, server)
	for source, want := range map[string]string{
		"params: {p: {description: x}}\nsteps:\n- {id: a, agent: linter, task: '${{ params.p }}'}\n":        "p (x) has no default",
		"steps:\n- {id: a, agent: linter, task: t}\n- {id: b, agent: linter, task: t, files: ['*.none']}\n": "step b: reading *.none",
	} {
		wf, err := claudeforce.ParseWorkflow("", "w.yaml", []byte(source))
		if err != nil {
			t.Fatal(err)
		}
		_, err = orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
		if _, ok := errors.AsType[*claudeforce.InputError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	if n := server.Stats().Requests; n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestFilesAreGivenToTheAgent(t *testing.T) {
	orch := open(t, sim.New(sim.Options{}), func(o *claudeforce.Options) {
		if err := os.WriteFile(filepath.Join(o.Dir, "a.py"), []byte("x = 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	res, err := orch.Execute(t.Context(), claudeforce.Task{Agent: "linter", Prompt: "Check", Files: []string{"*.py"}}, nil)
	if err != nil || !strings.Contains(res.Output, "a.py: 1 lines") {
		t.Errorf("%v: %s", err, res.Output)
	}
}

func TestWithoutAKey(t *testing.T) {
	for _, name := range []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"} {
		t.Setenv(name, "")
	}
	cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claudeforce.New(t.Context(), claudeforce.Options{Config: cfg}); !errors.Is(err, claudeforce.ErrNoCredentials) {
		t.Errorf("got %v", err)
	}
	cfg.Backend = "bedrock"
	if _, err := claudeforce.New(t.Context(), claudeforce.Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), "llm/anthropic/bedrock") {
		t.Errorf("a backend that is not linked: %v", err)
	}
}

// TestNoWaitBeyondTheDeadline: what the service asks to wait is longer than the
// task may take, so there is no sense in waiting.
func TestNoWaitBeyondTheDeadline(t *testing.T) {
	for _, retryAfter := range []string{"60", "3600"} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{})
			server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 429, RetryAfter: retryAfter})
			start := time.Now()
			_, err := open(t, server).Execute(t.Context(), claudeforce.Task{Agent: "linter", Prompt: "x", Timeout: 5 * time.Second}, nil)
			if llm.CodeOf(err) != llm.CodeRateLimit || time.Since(start) != 0 || server.Stats().Requests != 1 {
				t.Errorf("after %v and %d requests: %v", time.Since(start), server.Stats().Requests, err)
			}
		})
	}
}

func TestResultJSON(t *testing.T) {
	res, err := open(t, sim.New(sim.Options{})).Execute(t.Context(), claudeforce.Task{ID: "x", Agent: "linter", Prompt: "Check"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "agent", "status", "output", "source", "usage", "cost_usd", "duration_seconds", "error"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("no field %s in %s", name, data)
		}
	}
}

func TestAnswersAreShownAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		orch := open(t, sim.New(sim.Options{Latency: sim.Fixed(10 * time.Second)}))
		start := time.Now()
		var first time.Duration
		var shown strings.Builder
		res, err := orch.Execute(t.Context(), claudeforce.Task{Agent: "python-expert", Prompt: "Explain lists"}, func(piece string) {
			if shown.Len() == 0 {
				first = time.Since(start)
			}
			shown.WriteString(piece)
		})
		if err != nil || shown.String() != res.Output || first >= 9*time.Second {
			t.Errorf("%v; first piece after %v", err, first)
		}
	})
}

func ExampleOrchestrator_ExecuteMultiple() {
	ctx := context.Background()
	cfg, err := config.Load(config.Sources{})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg.Cache.Enabled = false
	orch, err := claudeforce.New(ctx, claudeforce.Options{Config: cfg, Simulator: sim.New(sim.Options{})})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer orch.Close()
	for _, res := range orch.ExecuteMultiple(ctx, []claudeforce.Task{
		{Agent: "python-expert", Prompt: "Explain lists"},
		{Agent: "code-reviewer", Prompt: "Review: x = 1"},
	}) {
		fmt.Println(res.ID, res.Agent, res.Status, res.Source)
	}
	// Output:
	// 1 python-expert completed live
	// 2 code-reviewer completed live
}

// BenchmarkFanOut measures N independent calls of a second beside
// one, in turn in one loop: the ratio is the cost of running them together.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{3, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			server := sim.New(sim.Options{Latency: sim.Fixed(time.Second)})
			orch := open(b, server, jobs(n), func(o *claudeforce.Options) { o.Config.Cache.Enabled = false })
			var together, alone time.Duration
			for b.Loop() {
				start := time.Now()
				orch.ExecuteMultiple(b.Context(), numbered(n))
				together += time.Since(start)
				start = time.Now()
				orch.ExecuteMultiple(b.Context(), numbered(1))
				alone += time.Since(start)
			}
			b.ReportMetric(float64(together)/float64(alone), "x-single")
		})
	}
}
