//go:build unix

// Command agents measures many agents with tools at once: 50 steps of a workflow,
// each a loop of 10 turns with calls of one second and tools that take a while.
//
//	go run ./bench/agents           # the figures
//	go run ./bench/agents -gate     # fails if the targets are missed
//
// The service is a process of its own, which times its calls; the tool times itself.
// First there is a slot for every agent: the run should take as long as the longest
// of the loops, calls and tools one after the other. Then there is one for every
// second agent, and tools that take as long as calls: if no slot is held while tools
// run, the run takes as long as its calls need on the slots. The live heap is measured
// whenever all agents are in the same turn. It may grow by what the conversations hold,
// and by no more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/bench/internal/child"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

const (
	// maxRatio is the most that a run may take of the time it needs at least.
	maxRatio = 1.1

	// maxHeld is the most live heap for each byte that the conversations gain: their
	// messages, the answers that the journal keeps for a retry, and what is being
	// encoded.
	maxHeld = 4.0

	// attempts are how often a run is tried that misses a target.
	attempts = 8
)

type options struct {
	agents, turns int
	call          time.Duration
}

func main() {
	var opts options
	flag.IntVar(&opts.agents, "agents", 50, "agents at once")
	flag.IntVar(&opts.turns, "turns", 10, "turns of each loop")
	flag.DurationVar(&opts.call, "call", time.Second, "time of a call of the model")
	gate := flag.Bool("gate", false, "exit with 1 if a target is missed")
	flag.Parse()
	if opts.agents < 2 || opts.turns < 3 {
		fmt.Fprintln(os.Stderr, "agents: at least 2 agents and 3 turns")
		os.Exit(2)
	}
	ok, err := measure(context.Background(), opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "agents:", err)
		os.Exit(1)
	}
	if *gate && !ok {
		os.Exit(1)
	}
}

// measure prints the figures and reports whether the targets are reached.
func measure(ctx context.Context, opts options) (ok bool, err error) {
	dir, err := os.MkdirTemp("", "agents-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := child.Build(ctx, dir, map[string]string{"service": "bench/agents/service"}); err != nil {
		return false, err
	}
	fmt.Printf("%d agents, loops of %d turns\n%-36s %9s %9s %6s  %s\n", opts.agents, opts.turns, "", "least", "took", "ratio", "most at once")
	ok = true
	for _, p := range []*play{
		{options: opts, name: "a slot each", slots: opts.agents, tool: opts.call / 5},
		{options: opts, name: "a slot for two, tools like calls", slots: (opts.agents + 1) / 2, tool: opts.call},
	} {
		reached := false
		for n := 0; n < attempts && !reached; n++ { // what else the machine does can only add
			p.dir = filepath.Join(dir, fmt.Sprintf("%d-%d", p.slots, n))
			if err := p.run(ctx, filepath.Join(dir, "service")); err != nil {
				return false, fmt.Errorf("%s: %w", p.name, err)
			}
			reached = p.print()
		}
		ok = ok && reached
	}
	verdict := "reached"
	if !ok {
		verdict = "MISSED"
	}
	fmt.Printf("target %.1f times what it takes at least, and %.0f bytes: %s\n", maxRatio, maxHeld, verdict)
	return ok, nil
}

// play is one run.
type play struct {
	options
	name, dir string
	slots     int
	tool      time.Duration

	took  time.Duration
	stats stats

	mu      sync.Mutex         // guards what is below
	tools   map[string]float64 // seconds of each agent's
	running int
	most    int         // tools at once
	arrived map[int]int // agents that have called a tool in a turn
	heap    map[int]uint64
}

// stats are what the service counts.
type stats struct {
	Calls   int                `json:"calls"`
	Bytes   map[int]int        `json:"bytes"`
	Seconds map[string]float64 `json:"seconds"`
	Most    int                `json:"most"`
}

type workInput struct {
	Turn int `json:"turn"`
}

// result is what the tool returns: about as much as a short file.
var result = strings.Repeat("A line of what the tool found.\n", 64)

// work runs the tool. When the last agent calls it in a turn, the live heap is measured.
func (p *play) work(ctx context.Context, in workInput) (string, error) {
	start := time.Now()
	p.mu.Lock()
	p.running++
	p.most = max(p.most, p.running)
	p.arrived[in.Turn]++
	if p.arrived[in.Turn] == p.agents {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.heap[in.Turn] = m.HeapAlloc
	}
	p.mu.Unlock()
	select {
	case <-time.After(p.tool):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	p.tools[agentOf(ctx)] += time.Since(start).Seconds()
	return result, nil
}

// agentOf returns the agent for which a tool works.
func agentOf(ctx context.Context) string { return llm.TagsOf(ctx).Step }

// run runs a workflow of all agents.
func (p *play) run(ctx context.Context, service string) (err error) {
	p.most, p.tools, p.arrived, p.heap = 0, map[string]float64{}, map[int]int{}, map[int]uint64{}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	served, err := child.Serve(ctx, service, "-turns", fmt.Sprint(p.turns), "-call", p.call.String())
	if err != nil {
		return err
	}
	defer served.Stop()
	if err := os.Setenv("ANTHROPIC_API_KEY", "key"); err != nil {
		return err
	}
	cfg, err := config.Load(config.Sources{Dir: p.dir, Home: p.dir, Getenv: os.Getenv})
	if err != nil {
		return err
	}
	cfg.BaseURL, cfg.Jobs, cfg.Cache.Enabled = served.URL, p.slots, false
	work, err := tool.Func("work", "Works.", p.work)
	if err != nil {
		return err
	}
	orch, err := claudeforce.New(ctx, claudeforce.Options{
		Dir: p.dir, Config: cfg, Tools: []tool.Tool{tool.ReadOnly(work)},
		Agents: []*agent.Agent{{Name: "worker", Description: "Works.", Prompt: "You work.", Model: "haiku", AllTools: true}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	var text strings.Builder
	text.WriteString("name: agents\nsteps:\n")
	for i := range p.agents {
		fmt.Fprintf(&text, "  - {id: agent-%d, agent: worker, task: agent-%d works}\n", i, i)
	}
	file := filepath.Join(p.dir, "agents.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return err
	}
	wf, err := orch.LoadWorkflow(file)
	if err != nil {
		return err
	}
	start := time.Now()
	res, err := orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{File: file})
	p.took = time.Since(start)
	if err == nil && res.Status != engine.StatusCompleted {
		err = fmt.Errorf("the run ended as %s", res.Status)
	}
	if err == nil {
		p.stats = stats{}
		err = served.Get(ctx, "/stats", &p.stats)
	}
	if err == nil && p.stats.Calls != p.agents*p.turns {
		err = fmt.Errorf("%d calls were made by %d agents in %d turns", p.stats.Calls, p.agents, p.turns)
	}
	return err
}

// least returns what the run takes at least: the longest loop, or all calls on the
// slots.
func (p *play) least() time.Duration {
	longest, calls := 0.0, 0.0
	for name, seconds := range p.stats.Seconds {
		longest, calls = max(longest, seconds+p.tools[name]), calls+seconds
	}
	return time.Duration(max(longest, calls/float64(p.slots)) * float64(time.Second))
}

// print prints the figures of the run and reports whether the targets are reached.
func (p *play) print() bool {
	ratio := p.took.Seconds() / p.least().Seconds()
	fmt.Printf("%-36s %8.2fs %8.2fs %6.3f  %d calls in %d slots, %d tools\n", p.name, p.least().Seconds(), p.took.Seconds(), ratio, p.stats.Most, p.slots, p.most)
	ok := ratio <= maxRatio && p.stats.Most <= p.slots
	turns := slices.Sorted(maps.Keys(p.heap))
	first, last := turns[0], turns[len(turns)-1]
	gained := p.stats.Bytes[last] - p.stats.Bytes[first]
	held := float64(int64(p.heap[last])-int64(p.heap[first])) / float64(gained)
	fmt.Printf("  live heap in turn %d: %.1f MB, in turn %d: %.1f MB, for conversations of %.1f and %.1f MB: %.1f bytes for each they gain\n",
		first, float64(p.heap[first])/1e6, last, float64(p.heap[last])/1e6, float64(p.stats.Bytes[first])/1e6, float64(p.stats.Bytes[last])/1e6, held)
	return ok && held <= maxHeld
}
