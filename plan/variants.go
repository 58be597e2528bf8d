package plan

import (
	"slices"
	"strings"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// variant is one of what a step may be whose agent or model is only known when it runs.
type variant struct {
	step  *workflow.Step
	asks  Asks
	share float64 // of the live calls, as far as that is known
}

// variantsOf returns what a step may be: what the dry run found, if all its calls are
// known, else all that the file names, each as likely as the others.
func (w *walk) variantsOf(n *node, units []Unit, sure bool) []variant {
	all := n.step.Variants()
	calls := make([]float64, len(all))
	known := sure && !n.tainted
	for _, u := range units {
		i := slices.Index(all, u.Variant)
		known = known && i >= 0
		if i >= 0 && u.Source == llm.SourceLive {
			calls[i]++
		}
	}
	live := 0.0
	for _, c := range calls {
		live += c
	}
	var out []variant
	for i, s := range all {
		switch {
		case !known || live == 0:
			out = append(out, variant{s, w.in.Asks(s), 1 / float64(len(all))})
		case calls[i] > 0:
			out = append(out, variant{s, w.in.Asks(s), calls[i] / live})
		}
	}
	return out
}

// names returns the distinct names of a kind that the step may have.
func (n *node) names(of func(variant) string) string {
	var names []string
	for _, v := range n.variants {
		if name := of(v); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " | ")
}

// each returns the cost of one call, nil if some have no price. Of a step that may be
// several, the bounds are those of the cheapest and of the dearest.
func (e *estimator) each(n *node) *Range {
	var sum *Range
	var seconds Range
	step, agent, model := n.step, n.plan.Agent, n.plan.Model
	for i, v := range n.variants {
		n.step, n.asks = v.step, v.asks
		one := e.one(n)
		if one == nil {
			return nil
		}
		if i == 0 {
			sum, seconds = &Range{Low: one.Low, High: one.High}, Range{Low: n.plan.Seconds.Low, High: n.plan.Seconds.High}
		}
		sum.Low, sum.High = min(sum.Low, one.Low), max(sum.High, one.High)
		seconds.Low, seconds.High = min(seconds.Low, n.plan.Seconds.Low), max(seconds.High, n.plan.Seconds.High)
		sum.Expected += v.share * one.Expected
		seconds.Expected += v.share * n.plan.Seconds.Expected
	}
	n.step, n.plan.Agent, n.plan.Model, n.plan.Seconds = step, agent, model, seconds
	return sum
}
