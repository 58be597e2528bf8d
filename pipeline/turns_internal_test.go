package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sim"
)

// TestWritesFollowHistory compares what tasks of agents with tools cost on the simulator
// if each turn is written to the prompt cache, if none is, and if the agent's history
// decides: that is never much dearer than the better of both, and cheaper than both for
// an agent whose tasks have a usual end.
func TestWritesFollowHistory(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		turns       func(task int) int
		most, least float64 // of the cost of the better way
	}{
		"never goes on":         {func(int) int { return 1 }, 1.05, 1},
		"one of twenty goes on": {func(task int) int { return 1 + task%20/19 }, 1.05, 0.9},
		"half go on":            {func(task int) int { return 1 + task%2*3 }, 1.01, 0.9},
		"always goes on":        {func(int) int { return 4 }, 1.01, 0.9},
		"always one more":       {func(int) int { return 2 }, 0.99, 0.9},
		"changes":               {func(task int) int { return 1 + task/20*3 }, 1.05, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			always, never, learned := cost(t, test.turns, true, false), cost(t, test.turns, false, false), cost(t, test.turns, true, true)
			better := min(always, never)
			ratio := float64(learned) / float64(better)
			t.Logf("always %v, never %v, by history %v: %.3f of the better", always, never, learned, ratio)
			if ratio > test.most || ratio < test.least {
				t.Errorf("by history %v, %.3f of the better of %v and %v; want %v to %v", learned, ratio, always, never, test.least, test.most)
			}
		})
	}
}

// cost returns what 40 tasks cost, each with a prompt of its own.
func cost(t *testing.T, turns func(task int) int, continues, learns bool) (sum llm.Money) {
	t.Helper()
	cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cache.Enabled = false
	p, err := New(t.Context(), cfg, Options{Simulator: sim.New(sim.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for task := range 40 {
		req := &llm.Request{
			Model: "claude-sonnet-5-5", MaxTokens: 100, Agent: "a",
			Messages: []llm.Message{llm.UserText(fmt.Sprint("Task ", task, strings.Repeat(" some words of a file", 400)))},
		}
		n := turns(task)
		for turn := 1; turn <= n; turn++ {
			req.Continues = continues
			resp, err := llm.Collect(p.Model().Stream(t.Context(), req))
			if err != nil {
				t.Fatal(err)
			}
			c, ok := llm.Prices().CostOf(resp.Model, resp.Usage, llm.Rate{})
			if !ok {
				t.Fatal("no price")
			}
			sum = sum.Add(c)
			next := *req
			next.Messages = append(next.Messages, llm.Message{Role: llm.RoleAssistant, Content: resp.Content}, llm.UserText(fmt.Sprint("Result", strings.Repeat(" of a tool", 200))))
			req = &next
		}
		if learns {
			p.RecordTask(t.Context(), analytics.ToolTask{Time: time.Now(), Agent: "a", Model: req.Model, Turns: n})
		}
	}
	return sum
}
