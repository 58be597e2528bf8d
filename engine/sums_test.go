package engine_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
)

// A step with others within it counts what all of them did.
func TestStepsCountWhatIsWithinThem(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]string{
		"alone":   "{id: a, agent: x, task: t}",
		"items":   "{id: a, foreach: [1, 2, 3], agent: x, task: 't ${{ item }}'}",
		"loop":    "{id: a, loop: {max: 4}, agent: x, task: t}",
		"group":   "{id: a, steps: [{id: b, agent: x, task: t}, {id: c, foreach: [1, 2], agent: x, task: t}]}",
		"groups":  "{id: a, foreach: [1, 2], steps: [{id: b, agent: x, task: t}, {id: c, loop: {max: 3}, steps: [{id: d, agent: x, task: t}]}]}",
		"retried": "{id: a, foreach: [1, 2], agent: x, task: t, retries: {max: 1, backoff: 1ms}, on_failure: continue}",
	} {
		var calls atomic.Int64
		res := run(t.Context(), parse(t, "steps:\n- "+step+"\n"), engine.Options{RunID: "r1", Execute: func(_ context.Context, a engine.Attempt) (llm.Outcome, error) {
			calls.Add(1)
			out := llm.Outcome{Output: a.Task, Source: llm.SourceLive, CostUSD: new(0.5), Calls: 1, Turns: 2, ToolCalls: 3}
			if name == "retried" && a.Number == 1 {
				return out, llm.NewError(llm.CodeOverloaded, "overloaded", nil)
			}
			return out, nil
		}})
		a, n := res.Steps["a"], int(calls.Load())
		if a.Calls != n || *a.CostUSD != 0.5*float64(n) {
			t.Errorf("%s: %d calls for %v; want %d", name, a.Calls, *a.CostUSD, n)
		}
		if name != "retried" && (a.Turns != 2*n || a.ToolCalls != 3*n) {
			t.Errorf("%s: %d turns and %d calls of tools; want %d and %d", name, a.Turns, a.ToolCalls, 2*n, 3*n)
		}
	}
}
