package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/sim"
)

// Async measures N independent calls one after the other, and in parallel. The
// floor of the parallel ones is a single call of a bare HTTP client.
func Async(ctx context.Context, opts Options) (*Result, error) {
	opts = opts.withDefaults()
	var c collector
	err := inScratch(func(dir string) error {
		server := sim.New(sim.Options{Latency: sim.Fixed(opts.Latency)})
		for sample := range opts.Samples {
			opts.Progress(fmt.Sprintf("async: sample %d of %d", sample+1, opts.Samples))
			for _, n := range opts.sizes(3, 10, 100) {
				if err := c.async(ctx, dir, server, n); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	res := &Result{Metrics: c.metrics}
	if before, after := c.median("async.sequential.3"), c.median("async.parallel.3"); after > 0 {
		res.Summary.Speedup = new(before / after)
		res.Summary.ThroughputBefore, res.Summary.ThroughputAfter = new(3*3600/before), new(3*3600/after)
	}
	return res, nil
}

// sizes returns all sizes but the last, or all.
func (o Options) sizes(all ...int) []int {
	if o.Small {
		return all[:len(all)-1]
	}
	return all
}

// async takes one sample for n calls. A hundred calls are not made one after
// the other: how long that takes is known.
func (c *collector) async(ctx context.Context, dir string, server *sim.Server, n int) error {
	single, err := bareCall(ctx, server, "Explain part 1 of the language")
	if err != nil {
		return err
	}
	parallel, err := asked(ctx, dir, server, n, n)
	if err != nil {
		return err
	}
	c.beside(fmt.Sprintf("async.parallel.%d", n), parallel, "one call of a bare HTTP client", single, 1.02)
	if n > 10 {
		return nil
	}
	sequential, err := asked(ctx, dir, server, n, 1)
	if err != nil {
		return err
	}
	c.beside(fmt.Sprintf("async.sequential.%d", n), sequential, fmt.Sprintf("%d calls of a bare HTTP client, one after the other", n), time.Duration(n)*single, 0)
	c.add(fmt.Sprintf("async.speedup.%d", n), "x", benchfile.Higher, sequential.Seconds()/parallel.Seconds())
	return nil
}

// asked returns how long n tasks take with a number of slots and without the cache.
func asked(ctx context.Context, dir string, server *sim.Server, n, jobs int) (took time.Duration, err error) {
	orch, err := orchestrator(ctx, dir, server, jobs, false)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	// The first call of an orchestrator reads the agent.
	if _, err := orch.Execute(ctx, claudeforce.Task{Agent: "python-expert", Prompt: "warm up", MaxTokens: 1}, nil); err != nil {
		return 0, err
	}
	start := time.Now()
	results := orch.ExecuteMultiple(ctx, tasks(0, n))
	return time.Since(start), done(results)
}
