package claudeforce_test

import (
	"context"
	"sync"
	"testing"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/tool"
)

// TestNoSlotIsHeldWhileToolsRun lets the tools of two agents wait for each other
// where one call of a model may be under way at once: the second agent's call is
// made while the first one's tool runs.
func TestNoSlotIsHeldWhileToolsRun(t *testing.T) {
	t.Parallel()
	const agents = 2
	var met sync.WaitGroup
	met.Add(agents)
	meet, err := tool.Func("meet", "Waits for the others.", func(ctx context.Context, _ struct{}) (string, error) {
		met.Done()
		all := make(chan struct{})
		go func() { met.Wait(); close(all) }()
		select {
		case <-all:
			return "met", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	script, err := sim.ParseScript("script.yaml", []byte("rules:\n  - when: {task: work}\n    turns:\n      - tools: [{name: meet, input: {}}]\n      - text: done\n"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Jobs, cfg.Cache.Enabled = 1, false
	orch, err := claudeforce.New(t.Context(), claudeforce.Options{
		Dir: dir, Config: cfg, Tools: []tool.Tool{meet}, Simulator: sim.New(sim.Options{Script: script}),
		Agents: []*agent.Agent{{Name: "worker", Description: "works", AllTools: true, Model: "haiku"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of a test that fails
	defer cancel()
	var running sync.WaitGroup
	for range agents {
		running.Go(func() {
			res, err := orch.ExecuteAgent(ctx, "worker", "work")
			if err != nil || res.Output != "done" || res.ToolCalls != 1 {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
	running.Wait()
	if err := orch.Close(); err != nil {
		t.Error(err)
	}
}
