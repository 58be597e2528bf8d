package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/llm"
)

// DefaultBudget is what [Live] may spend if nothing else is said, in US dollars.
const DefaultBudget = 0.05

// What the calls of [Live] are.
const (
	liveModel  = "claude-haiku-5-5"
	liveCalls  = 3
	paidCalls  = 2*liveCalls + 1 // of a sample at the most: the last is free if the cache is on
	liveTokens = 100             // most that a call answers
	liveInput  = 4000            // more than a call asks: the agent, and a short task
)

// LiveOptions configure [Live].
type LiveOptions struct {
	BudgetUSD float64 // required
	Samples   int     // 0 means DefaultSamples
}

// LiveResult is what [Live] measured.
type LiveResult struct {
	Result
	SpentUSD float64
	Stopped  bool // the budget ended before all samples were taken
}

// ErrBudget says that not one sample could be paid for.
var ErrBudget = errors.New("the budget does not pay for one sample")

// Live measures three short calls to the real API one after the other and in
// parallel, and again from the cache. Before each call that is paid for, what it
// costs at the most must be left of the budget.
func Live(ctx context.Context, orch *claudeforce.Orchestrator, opts LiveOptions) (*LiveResult, error) {
	if opts.Samples == 0 {
		opts.Samples = DefaultSamples
	}
	most, err := maxCallCost()
	if err != nil {
		return nil, err
	}
	l := &live{orch: orch, most: most}
	for sample := range opts.Samples {
		if l.spent()+paidCalls*most > opts.BudgetUSD {
			break
		}
		if err := l.sample(ctx, sample); err != nil {
			return nil, err
		}
	}
	if l.samples == 0 {
		return nil, fmt.Errorf("%w: %d calls of at most $%.4f, and $%.4f is allowed; raise --budget", ErrBudget, paidCalls, most, opts.BudgetUSD)
	}
	before, after := l.median("live.sequential.3"), l.median("live.parallel.3")
	return &LiveResult{
		Result: Result{Metrics: l.metrics, Summary: benchfile.Summary{
			WorkflowTimeBefore: &before, WorkflowTimeAfter: &after, Speedup: new(before / after),
			ThroughputBefore: new(liveCalls * 3600 / before), ThroughputAfter: new(liveCalls * 3600 / after),
		}},
		SpentUSD: l.spent(), Stopped: l.samples < opts.Samples,
	}, nil
}

// live is a measurement in progress.
type live struct {
	collector
	orch    *claudeforce.Orchestrator
	most    float64 // US dollars that a call costs at the most
	unknown int     // calls of unknown cost
	samples int
}

// spent returns what was paid, calls of unknown cost at their worst.
func (l *live) spent() float64 { return l.orch.Totals().CostUSD + float64(l.unknown)*l.most }

// maxCallCost returns what a call costs that asks and answers as much as it may.
func maxCallCost() (float64, error) {
	cost, ok := llm.Prices().Cost(liveModel, llm.Usage{InputTokens: liveInput, OutputTokens: liveTokens})
	if !ok {
		return 0, fmt.Errorf("the model %s has no price", liveModel)
	}
	return cost, nil
}

// sample makes the calls twice, since the cache is to answer neither, and once
// more from the cache.
func (l *live) sample(ctx context.Context, sample int) error {
	stamp := time.Now().UnixNano()
	list := func(way string) []claudeforce.Task {
		all := make([]claudeforce.Task, liveCalls)
		for i := range all {
			all[i] = claudeforce.Task{
				Agent: "python-expert", Model: liveModel, MaxTokens: liveTokens,
				Prompt: fmt.Sprintf("In one sentence: what is a Python list? (%s %d.%d.%d)", way, stamp, sample, i),
			}
		}
		return all
	}
	start := time.Now()
	for _, task := range list("sequential") {
		res, err := l.orch.Execute(ctx, task, nil)
		if err != nil {
			return err
		}
		if err := l.settle(res); err != nil {
			return err
		}
	}
	l.took("live.sequential.3", time.Since(start))
	together := list("parallel")
	start = time.Now()
	results := l.orch.ExecuteMultiple(ctx, together)
	took := time.Since(start)
	if err := l.settle(results...); err != nil {
		return err
	}
	var longest time.Duration
	for _, res := range results {
		longest = max(longest, time.Duration(res.DurationSeconds*float64(time.Second)))
	}
	l.beside("live.parallel.3", took, "the slowest of the calls", longest, 1.02)
	for _, res := range results {
		l.add("latency", "s", benchfile.Lower, res.DurationSeconds)
		if res.CostUSD != nil {
			l.add("cost", "USD", benchfile.Lower, *res.CostUSD)
		}
	}
	start = time.Now()
	res, err := l.orch.Execute(ctx, together[0], nil)
	if err != nil {
		return err
	}
	if res.Source == llm.SourceCache { // it is not if the cache is turned off
		l.took("live.hit", time.Since(start))
	} else if err := l.settle(res); err != nil {
		return err
	}
	l.samples++
	return nil
}

// settle counts the calls of unknown cost and returns the first error.
func (l *live) settle(results ...*claudeforce.Result) error {
	for _, res := range results {
		if res.CostUSD == nil {
			l.unknown++
		}
	}
	return done(results)
}
