// Command plan measures how near plans come to what runs take: ten workflows,
// each run three times, then planned, then run.
//
//	go run ./bench/plan           # the figures
//	go run ./bench/plan -gate     # fails if the targets are missed
//
// It runs on the simulator, whose answers follow from the request, in two ways:
//
//   - the same input, asked afresh each time: what is left to go wrong is how
//     often each step is called, what is free, and what the prompt cache saves.
//     The expected cost of each workflow has a target.
//   - another input each time: answers then differ in length by a quarter and
//     more, so that no plan can foretell a single one. The sum has a target.
//
// The first plan of each workflow has no history and goes by token counts; its
// error is printed too, without a target. Times are scaled, plans and runs alike.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/sim"
)

// maxError is the most that an expected cost may be off with history.
const maxError = 0.15

// topics are what runs are about, of about the same length.
var topics = []string{"sorting lists", "caching pages", "backup drives", "spring floods", "reading tides"}

func main() {
	scale := flag.Float64("scale", 0.02, "factor on all times of the simulator")
	runs := flag.Int("runs", 3, "runs before the plan")
	gate := flag.Bool("gate", false, "exit with 1 if the target is missed")
	flag.Parse()
	if *runs < 1 || *runs >= len(topics) {
		fmt.Fprintf(os.Stderr, "plan: -runs must be from 1 to %d\n", len(topics)-1)
		os.Exit(2)
	}
	ok, err := measure(context.Background(), *scale, *runs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "plan:", err)
		os.Exit(1)
	}
	if *gate && !ok {
		os.Exit(1)
	}
}

// figures are those of one workflow.
type figures struct {
	first         float64 // error of the cost planned without history
	planned       plan.Range
	actual        float64
	seconds, took float64
	cost, time    float64 // errors
}

func measure(ctx context.Context, scale float64, runs int) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "plan")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	worst, _, err := table(ctx, filepath.Join(dir, "same"), "the same input, asked afresh", scale, runs, false)
	if err != nil {
		return false, err
	}
	_, sum, err := table(ctx, filepath.Join(dir, "other"), "another input each time", scale, runs, true)
	if err != nil {
		return false, err
	}
	ok = worst <= maxError && math.Abs(sum) <= maxError
	verdict := "reached"
	if !ok {
		verdict = "MISSED"
	}
	fmt.Printf("the same input: worst error of an expected cost %.1f %%; other inputs: error of the sum %.1f %%; target %.0f %% after %d runs: %s\n",
		100*worst, 100*math.Abs(sum), 100*maxError, runs, verdict)
	return ok, nil
}

// table prints the figures of all workflows, and gives the worst error of a
// cost and that of their sum.
func table(ctx context.Context, dir, title string, scale float64, runs int, vary bool) (worst, sum float64, err error) {
	fmt.Printf("%s\n%-12s %9s %9s %23s %8s %8s %8s %8s  %s\n", title, "workflow", "planned", "actual", "bounds", "error", "planned", "actual", "error", "without history")
	planned, actual, inside := 0.0, 0.0, 0
	for _, w := range workflows {
		f, err := w.measure(ctx, filepath.Join(dir, w.name), scale, runs, vary)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", w.name, err)
		}
		worst = max(worst, math.Abs(f.cost))
		planned, actual = planned+f.planned.Expected, actual+f.actual
		if f.planned.Low <= f.actual && f.actual <= f.planned.High {
			inside++
		}
		fmt.Printf("%-12s %8.4f$ %8.4f$ %10.4f$ - %8.4f$ %+7.1f%% %7.2fs %7.2fs %+7.1f%%  cost %+.0f%%\n",
			w.name, f.planned.Expected, f.actual, f.planned.Low, f.planned.High, 100*f.cost, f.seconds, f.took, 100*f.time, 100*f.first)
	}
	sum = actual/planned - 1
	fmt.Printf("%-12s %8.4f$ %8.4f$ %23s %+7.1f%%  %d of %d within the bounds\n\n", "all", planned, actual, "", 100*sum, inside, len(workflows))
	return worst, sum, nil
}

// measure plans and runs one workflow, with a store of its own.
func (w *sample) measure(ctx context.Context, dir string, scale float64, runs int, vary bool) (f figures, err error) {
	if err := w.write(dir); err != nil {
		return f, err
	}
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		return f, err
	}
	cfg.Jobs = 20
	orch, err := claudeforce.New(ctx, claudeforce.Options{
		Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{Latency: sim.Realistic(), TimeScale: scale}),
	})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	for i := range runs {
		p, res, err := w.run(ctx, orch, dir, i, vary)
		if err != nil {
			return f, err
		}
		if i == 0 {
			f.first = p.Promise().Against(plan.Actual{CostUSD: *res.CostUSD, Seconds: res.TotalTimeSeconds}).Cost
		}
	}
	p, res, err := w.run(ctx, orch, dir, runs, vary)
	if err != nil {
		return f, err
	}
	e := p.Promise().Against(plan.Actual{CostUSD: *res.CostUSD, Seconds: res.TotalTimeSeconds})
	f.planned, f.actual = p.CostUSD, *res.CostUSD
	f.seconds, f.took, f.cost, f.time = p.Seconds.Expected, res.TotalTimeSeconds, e.Cost, e.Seconds
	return f, nil
}

// run plans a run and makes it.
func (w *sample) run(ctx context.Context, orch *claudeforce.Orchestrator, dir string, number int, vary bool) (*plan.Plan, *engine.Result, error) {
	file := filepath.Join(dir, "workflow.yaml")
	wf, err := claudeforce.LoadWorkflow(dir, file)
	if err != nil {
		return nil, nil, err
	}
	opts := claudeforce.RunOptions{File: file, Params: map[string]string{"topic": topics[0]}, Policy: llm.PolicyRefresh}
	if vary {
		opts.Params["topic"], opts.Policy = topics[number], llm.PolicyDefault
	}
	p, err := orch.Plan(ctx, wf, opts)
	if err != nil {
		return nil, nil, err
	}
	opts.Plan = p
	res, err := orch.RunWorkflow(ctx, wf, opts)
	switch {
	case err != nil:
		return nil, nil, err
	case res.Status != engine.StatusCompleted || res.CostUSD == nil:
		return nil, nil, fmt.Errorf("run %d ended as %s", number+1, res.Status)
	}
	return p, res, nil
}
