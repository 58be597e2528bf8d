package plan_test

import (
	"testing"

	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/workflow"
)

// What a step may cost is between the cheapest and the dearest of what it may be; where
// the dry run knows what it is, only that counts.
func TestBoundsOfVariants(t *testing.T) {
	t.Parallel()
	asks := func(s *workflow.Step) plan.Asks {
		return plan.Asks{Model: s.Model, MaxTokens: 1000, Characters: 400}
	}
	cost := func(model string, units ...plan.Unit) plan.Step {
		in := input(parse(t, "- {id: a, agent: x, task: t, model: "+model+"}"))
		in.Asks, in.Units = asks, units
		for i := range in.Units {
			in.Units[i].Variant = in.Workflow.Steps[0].Variants()[i]
		}
		return plan.Make(in).Steps[0]
	}
	const both = `{from: "${{ run.id }}", among: [claude-haiku-5-5, claude-opus-5-5]}`
	haiku, opus, any := cost("claude-haiku-5-5"), cost("claude-opus-5-5"), cost(both)
	if any.CostUSD.Low != haiku.CostUSD.Low || any.CostUSD.High != opus.CostUSD.High || any.Model != "claude-haiku-5-5 | claude-opus-5-5" {
		t.Errorf("%+v %+v, want between %+v and %+v", any, *any.CostUSD, *haiku.CostUSD, *opus.CostUSD)
	}
	if mean := (haiku.CostUSD.Expected + opus.CostUSD.Expected) / 2; any.CostUSD.Expected-mean > 1e-12 || mean-any.CostUSD.Expected > 1e-12 {
		t.Errorf("expected %v, want %v", any.CostUSD.Expected, mean)
	}
	if known := cost(both, live("a")...); known.Model != "claude-haiku-5-5" || known.CostUSD.High > haiku.CostUSD.High*1.5 {
		t.Errorf("%+v %+v", known, *known.CostUSD)
	}
}
