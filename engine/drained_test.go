package engine_test

import (
	"context"
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
)

// A call that an interrupt kept from being sent may end before the run has seen the
// interrupt itself.
func TestAStepWhoseCallWasDrainedIsInterrupted(t *testing.T) {
	t.Parallel()
	drain := make(chan struct{})
	close(drain)
	wf := parseFiles(t, `{name: w, steps: [{id: a, agent: x, task: t}]}`, nil)
	res := run(t.Context(), wf, engine.Options{RunID: bookID, Execute: func(ctx context.Context, _ engine.Attempt) (llm.Outcome, error) {
		return llm.Outcome{CostUSD: new(0.0)}, llm.Drained(llm.WithDrain(ctx, drain))
	}})
	if got := res.Steps["a"].Status; got != engine.StatusInterrupted {
		t.Errorf("the step is %s; want interrupted", got)
	}
}
