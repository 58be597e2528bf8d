//go:build unix

package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/claude-force/claude-force/bench/internal/child"
)

// The figures of a play are those of all its calls and tools. Times are not compared.
func TestPlayCountsWhatAgentsDo(t *testing.T) {
	dir := t.TempDir()
	if err := child.Build(t.Context(), dir, map[string]string{"service": "bench/agents/service"}); err != nil {
		t.Fatal(err)
	}
	p := &play{options: options{agents: 4, turns: 3, call: 10 * time.Millisecond}, name: "small", slots: 2, tool: time.Millisecond, dir: filepath.Join(dir, "p")}
	if err := p.run(t.Context(), filepath.Join(dir, "service")); err != nil {
		t.Fatal(err)
	}
	if p.stats.Calls != 12 || p.stats.Most > 2 || len(p.tools) != 4 || len(p.heap) != 2 || p.heap[2] == 0 {
		t.Errorf("calls %d, at most %d at once, tools of %d agents, heap %v", p.stats.Calls, p.stats.Most, len(p.tools), p.heap)
	}
	if least := p.least(); least <= 0 || least > p.took {
		t.Errorf("a run that takes at least %v took %v", least, p.took)
	}
}
