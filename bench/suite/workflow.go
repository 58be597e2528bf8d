package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/workflow"
)

// What the workflows' benchmark does.
const (
	slots  = 8
	graphs = 3     // random graphs of each size
	median = 0.010 // seconds of a step
	scale  = 0.05  // factor on the simulator's realistic times, for the example
)

// Workflow measures random graphs of steps, level by level, as most tools run
// them, and by the engine, each step as soon as it can. The floor is what no
// schedule beats: the longest path, or all work spread over the slots. Beside it
// runs a workflow of four steps on the simulator, one step at a time and in
// parallel.
func Workflow(ctx context.Context, opts Options) (*Result, error) {
	opts = opts.withDefaults()
	var c collector
	var all []*graph
	for _, n := range opts.sizes(10, 100, 1000) {
		for i := range graphs {
			g, err := newGraph(n, uint64(i))
			if err != nil {
				return nil, err
			}
			all = append(all, g)
		}
	}
	err := inScratch(func(dir string) error {
		for sample := range opts.Samples {
			opts.Progress(fmt.Sprintf("workflow: sample %d of %d", sample+1, opts.Samples))
			for i := 0; i < len(all); i += graphs {
				if err := c.graphs(ctx, all[i:i+graphs]); err != nil {
					return err
				}
			}
			if err := c.example(ctx, filepath.Join(dir, fmt.Sprint(sample))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	before, after := c.median("workflow.example.sequential"), c.median("total_time")
	return &Result{Metrics: c.metrics, Summary: benchfile.Summary{
		WorkflowTimeBefore: new(before), WorkflowTimeAfter: new(after), Speedup: new(before / after),
		ThroughputBefore: new(3600 / before), ThroughputAfter: new(3600 / after),
	}}, nil
}

// graph is a workflow with what each step takes.
type graph struct {
	wf     *workflow.Workflow
	takes  map[string]time.Duration
	levels [][]string
	floor  time.Duration
}

// newGraph draws a graph of n steps: each depends on up to three of the ten
// before it, and takes a time of a lognormal distribution.
func newGraph(n int, seed uint64) (*graph, error) {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	g := &graph{takes: map[string]time.Duration{}}
	depth := make([]int, n)
	var work time.Duration
	var source strings.Builder
	source.WriteString("steps:\n")
	for i := range n {
		id := fmt.Sprintf("s%d", i)
		var needs []string
		for range rng.IntN(4) {
			if d := i - 1 - rng.IntN(10); d >= 0 {
				needs = append(needs, fmt.Sprintf("s%d", d))
				depth[i] = max(depth[i], depth[d]+1)
			}
		}
		fmt.Fprintf(&source, "- {id: %s, agent: x, task: t, dependencies: [%s]}\n", id, strings.Join(unique(needs), ", "))
		g.takes[id] = time.Duration(median * math.Exp(0.7*rng.NormFloat64()) * float64(time.Second))
		work += g.takes[id]
		if depth[i] == len(g.levels) {
			g.levels = append(g.levels, nil)
		}
		g.levels[depth[i]] = append(g.levels[depth[i]], id)
	}
	var err error
	g.wf, err = workflow.Parse("random", []byte(source.String()), workflow.Options{})
	if err != nil {
		return nil, fmt.Errorf("making a random graph: %w", err)
	}
	_, path := g.wf.CriticalPath(g.cost)
	g.floor = max(path, work/slots)
	return g, nil
}

func unique(list []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			out = append(out, s)
		}
		seen[s] = true
	}
	return out
}

func (g *graph) cost(s *workflow.Step) time.Duration { return g.takes[s.ID] }

// pass waits for a time.
func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// eager returns how long the engine takes.
func (g *graph) eager(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	res, err := engine.Run(ctx, g.wf, engine.Options{
		MaxParallel: slots, Duration: g.cost,
		Execute: func(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
			return llm.Outcome{}, pass(ctx, g.takes[a.Step.ID])
		},
	})
	took := time.Since(start)
	if err == nil && res.Status != engine.StatusCompleted {
		err = fmt.Errorf("a random graph is %s", res.Status)
	}
	return took, err
}

// byLevel returns how long it takes when each level waits for all of the one before.
func (g *graph) byLevel(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	free := make(chan struct{}, slots)
	for _, level := range g.levels {
		var wg sync.WaitGroup
		for _, id := range level {
			free <- struct{}{}
			wg.Go(func() {
				defer func() { <-free }()
				_ = pass(ctx, g.takes[id]) // an end of ctx is seen below
			})
		}
		wg.Wait()
	}
	return time.Since(start), context.Cause(ctx)
}

// graphs takes one sample for graphs of one size.
func (c *collector) graphs(ctx context.Context, list []*graph) error {
	var eager, levels, floor time.Duration
	for _, g := range list {
		e, err := g.eager(ctx)
		if err != nil {
			return err
		}
		l, err := g.byLevel(ctx)
		if err != nil {
			return err
		}
		eager, levels, floor = eager+e, levels+l, floor+g.floor
	}
	const what = "the longest path, or the work spread over 8 slots"
	n := len(list[0].takes)
	c.beside(fmt.Sprintf("workflow.eager.%d", n), eager, what, floor, 1.05)
	c.beside(fmt.Sprintf("workflow.levels.%d", n), levels, what, floor, 0)
	c.add(fmt.Sprintf("workflow.speedup.%d", n), "x", benchfile.Higher, levels.Seconds()/eager.Seconds())
	return nil
}

// example is three checks of a text, and a review of what they found.
const example = `
name: Code Quality Check
steps:
  - {id: linter, agent: linter, task: "Check code style: def f(x): return x+1"}
  - {id: type-check, agent: type-checker, task: "Check types: def f(x): return x+1"}
  - {id: security, agent: security-specialist, task: "Look for weaknesses: def f(x): return x+1"}
  - {id: review, agent: code-reviewer, task: Final review, dependencies: [linter, type-check, security]}
`

// example takes one sample of the workflow of four steps.
func (c *collector) example(ctx context.Context, dir string) error {
	for _, jobs := range []int{1, 10} {
		res, took, err := ranExample(ctx, dir, jobs)
		if err != nil {
			return err
		}
		if jobs == 1 {
			c.took("workflow.example.sequential", took)
			continue
		}
		var longest, steps float64
		for _, s := range res.Steps {
			steps += s.DurationSeconds
			if s != res.Steps["review"] {
				longest = max(longest, s.DurationSeconds)
			}
			c.add(compare.LatencyMetric, "s", benchfile.Lower, s.DurationSeconds)
		}
		floor := time.Duration((longest + res.Steps["review"].DurationSeconds) * float64(time.Second))
		c.beside("total_time", took, "the calls of the longest path", floor, 1.05)
		c.add("throughput", "1/h", benchfile.Higher, 3600/took.Seconds())
		c.add("cost", "USD", benchfile.Lower, *res.CostUSD)
		c.add("tokens", "", benchfile.Lower, float64(res.Usage.TotalTokens()))
	}
	return nil
}

func ranExample(ctx context.Context, dir string, jobs int) (res *engine.Result, took time.Duration, err error) {
	server := sim.New(sim.Options{Latency: sim.Realistic(), TimeScale: scale})
	orch, err := orchestrator(ctx, filepath.Join(dir, fmt.Sprint(jobs)), server, jobs, false)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	wf, err := claudeforce.ParseWorkflow("", "example.yaml", []byte(example))
	if err != nil {
		return nil, 0, err
	}
	start := time.Now()
	res, err = orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{MaxParallel: jobs})
	took = time.Since(start)
	switch {
	case err != nil:
		return nil, 0, err
	case res.Status != engine.StatusCompleted:
		return nil, 0, fmt.Errorf("the example's workflow is %s", res.Status)
	case res.CostUSD == nil:
		return nil, 0, errors.New("the example's workflow asks a model without a price")
	}
	return res, took, nil
}
