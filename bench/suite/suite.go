// Package suite is the project's benchmark suite: what running in parallel, the
// cache, the scheduling of workflows and the cache of analytics gain, each beside
// what it replaces and beside its floor, the least that the same work can take.
//
//	res, err := suite.Async(ctx, suite.Options{Samples: 20})
//
// Everything runs in this process on the simulator, or on no service at all. A
// sample measures all that belongs together once, floors included, so that a busy
// moment of the machine hits all of it. Work is the same in every sample and in
// every run of the suite; what varies is the time it takes.
package suite

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sim"
)

// The defaults of [Options].
const (
	DefaultSamples = 10
	DefaultLatency = 250 * time.Millisecond
)

// Options configure the benchmarks. The zero value is ready.
type Options struct {
	Samples  int               // of each metric; 0 means DefaultSamples
	Latency  time.Duration     // of a simulated call; 0 means DefaultLatency
	Small    bool              // leave the larger sizes out, as tests do
	Progress func(text string) // called before each sample; may be nil
}

func (o Options) withDefaults() Options {
	if o.Samples == 0 {
		o.Samples = DefaultSamples
	}
	if o.Latency == 0 {
		o.Latency = DefaultLatency
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return o
}

// Result is what a benchmark measured.
type Result struct {
	Metrics []benchfile.Metric
	Summary benchfile.Summary
}

// Benchmark is one of the suite.
type Benchmark struct {
	Name  string
	Short string // what it measures, in a few words
	Run   func(context.Context, Options) (*Result, error)
}

// All returns the suite in order.
func All() []Benchmark {
	return []Benchmark{
		{"async", "independent calls one after the other, and in parallel", Async},
		{"cache", "a call that is answered from the cache, and one that is not", Cache},
		{"workflow", "random graphs level by level, and each step as soon as it can", Workflow},
		{"query", "what a month of calls comes to: from the calls, from sums, and asked again", Query},
	}
}

// collector gathers the samples of metrics in the order in which they are first
// seen.
type collector struct {
	metrics []benchfile.Metric
	index   map[string]int
}

func (c *collector) metric(name, unit string, better benchfile.Better) *benchfile.Metric {
	if c.index == nil {
		c.index = map[string]int{}
	}
	i, ok := c.index[name]
	if !ok {
		i = len(c.metrics)
		c.index[name] = i
		c.metrics = append(c.metrics, benchfile.Metric{Name: name, Unit: unit, Better: better})
	}
	return &c.metrics[i]
}

// took adds a duration.
func (c *collector) took(name string, d time.Duration) {
	m := c.metric(name, "s", benchfile.Lower)
	m.Samples = append(m.Samples, d.Seconds())
}

// beside adds a duration with its floor, and the ratio to aim at, or 0.
func (c *collector) beside(name string, d time.Duration, what string, floor time.Duration, target float64) {
	c.weigh(name, "s", benchfile.Lower, d.Seconds(), what, max(floor.Seconds(), 1e-9), target)
}

// weigh adds a value with its floor, and the ratio to aim at, or 0.
func (c *collector) weigh(name, unit string, better benchfile.Better, value float64, what string, floor, target float64) {
	m := c.metric(name, unit, better)
	m.Samples = append(m.Samples, value)
	if m.Floor == nil {
		m.Floor = &benchfile.Floor{What: what, Target: target}
	}
	m.Floor.Samples = append(m.Floor.Samples, floor)
}

func (c *collector) add(name, unit string, better benchfile.Better, values ...float64) {
	m := c.metric(name, unit, better)
	m.Samples = append(m.Samples, values...)
}

// median of a metric so far.
func (c *collector) median(name string) float64 {
	i, ok := c.index[name]
	if !ok {
		return 0
	}
	return benchfile.Median(c.metrics[i].Samples)
}

// orchestrator returns one on the simulator, with a data folder of its own. It reads
// no configuration, so that the user's does not change what is measured.
func orchestrator(ctx context.Context, dir string, server *sim.Server, jobs int, cache bool) (*claudeforce.Orchestrator, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder for the benchmark: %w", err)
	}
	cfg, err := config.Load(config.Sources{})
	if err != nil {
		return nil, err
	}
	cfg.Jobs, cfg.DataDir, cfg.Cache.Enabled = jobs, dir, cache
	return claudeforce.New(ctx, claudeforce.Options{Dir: dir, Config: cfg, Simulator: server})
}

// inScratch runs do with a folder that is removed afterwards.
func inScratch(do func(dir string) error) error {
	dir, err := os.MkdirTemp("", "claude-force-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for the benchmark: %w", err)
	}
	err = do(dir)
	if removeErr := os.RemoveAll(dir); err == nil && removeErr != nil {
		err = fmt.Errorf("removing the folder of the benchmark: %w", removeErr)
	}
	return err
}

// tasks returns n tasks that differ, numbered from the first.
func tasks(first, n int) []claudeforce.Task {
	list := make([]claudeforce.Task, n)
	for i := range list {
		list[i] = claudeforce.Task{Agent: "python-expert", Prompt: fmt.Sprintf("Explain part %d of the language", first+i)}
	}
	return list
}

// bareCall asks the simulator once with nothing but net/http, and says how long
// that took: no client can be faster.
func bareCall(ctx context.Context, server *sim.Server, text string) (time.Duration, error) {
	body := fmt.Sprintf(`{"model":"claude-haiku-5-5","max_tokens":1000,"stream":true,"messages":[{"role":"user","content":%q}]}`, text)
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, pipeline.SimulatorURL+"/v1/messages", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("x-api-key", "simulated")
	req.Header.Set("anthropic-version", "2023-06-01")
	res, err := server.RoundTripper().RoundTrip(req)
	if err != nil {
		return 0, fmt.Errorf("asking the simulator: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, fmt.Errorf("asking the simulator: %w", err)
	}
	if res.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte("message_stop")) {
		return 0, fmt.Errorf("asking the simulator: %s", res.Status)
	}
	return time.Since(start), nil
}

// done returns the first error of results.
func done(results []*claudeforce.Result) error {
	for _, res := range results {
		if res.Err != nil {
			return fmt.Errorf("task %s: %w", res.ID, res.Err)
		}
	}
	return nil
}
