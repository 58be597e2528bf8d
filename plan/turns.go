package plan

import (
	"math"

	"github.com/claude-force/claude-force/llm"
)

// Assumptions for a loop of an agent with tools without any history. Each turn
// sends all that came before again, of which the prompt cache has what the turn
// before sent.
var (
	guessedTurns = Range{1, 6, 20}
	guessedCall  = Range{60, 150, 400}    // tokens of an answer that calls tools
	guessedGives = Range{100, 1200, 4000} // tokens of what the tools of a turn give
	guessedTool  = Range{0, 1, 5}         // seconds that they take
)

// seenTurns returns the turns of one call.
func (s *samples) seenTurns() *Range {
	return &Range{quantile(s.turns, 0.1), quantile(s.turns, 0.5), quantile(s.turns, 0.9)}
}

// fromTurns estimates a call of an agent with tools, which is a loop, from other
// loops of the agent or else from what is assumed of one. It returns the cost of one
// call, nil if the model has no price.
func (e *estimator) fromTurns(n *node, s *samples) *Range {
	prompt := n.plan.InputTokens
	if s == nil {
		return e.guessTurns(n, prompt)
	}
	n.plan.Basis = "other calls of " + n.step.Agent
	n.plan.Turns, n.plan.TurnsBasis = s.seenTurns(), n.plan.Basis
	n.plan.Seconds = spread(s.seconds, quantile(s.seconds, 0.5), timeDoubt)
	n.plan.InputTokens, n.plan.OutputTokens = mean(s.input), mean(s.output)
	if s.unpriced {
		return nil
	}
	each := spread(s.cost, mean(s.cost), costDoubt)
	// Those loops began with other prompts. One that all its turns send again, and
	// that is more than they sent in all, cannot cost as little.
	if least := mean(s.turns) * prompt; least > n.plan.InputTokens && n.plan.InputTokens > 0 {
		each = each.times(Exactly(least / n.plan.InputTokens))
		n.plan.InputTokens = least
	}
	return &each
}

// guessTurns estimates a loop of which nothing is known.
func (e *estimator) guessTurns(n *node, prompt float64) *Range {
	most := float64(n.asks.MaxTurns)
	turns := Range{min(guessedTurns.Low, most), min(guessedTurns.Expected, most), min(guessedTurns.High, most)}
	last := Range{shortestOutput, guessedOutput, 10 * guessedOutput}
	if n.asks.MaxTokens > 0 {
		limit := float64(n.asks.MaxTokens)
		last = Range{min(last.Low, limit), min(last.Expected, limit), min(last.High, limit)}
	}
	n.plan.Basis, n.plan.TurnsBasis = "token count and assumed turns", "assumed"
	if n.asks.External {
		n.plan.TurnsBasis = "assumed, without the prompts that Claude Code adds"
	}
	n.plan.Turns = &turns
	low := loop(prompt*(1-inputDoubt), turns.Low, guessedCall.Low, guessedGives.Low, last.Low)
	expected := loop(prompt, turns.Expected, guessedCall.Expected, guessedGives.Expected, last.Expected)
	high := loop(prompt*(1+inputDoubt), turns.High, guessedCall.High, guessedGives.High, last.High)
	n.plan.InputTokens, n.plan.OutputTokens = float64(expected.PromptTokens()), float64(expected.OutputTokens)
	n.plan.Seconds = Range{
		turns.Low*(firstToken/2+guessedTool.Low) + float64(low.OutputTokens)/(2*usualSpeed),
		turns.Expected*firstToken + (turns.Expected-1)*guessedTool.Expected + float64(expected.OutputTokens)/usualSpeed,
		turns.High*4*firstToken + (turns.High-1)*guessedTool.High + float64(high.OutputTokens)/(usualSpeed/2),
	}
	var each Range
	for _, c := range []struct {
		to    *float64
		usage llm.Usage
	}{{&each.Low, low}, {&each.Expected, expected}, {&each.High, high}} {
		c.usage.Batch = n.asks.Batch
		usd, ok := e.in.Prices.Cost(n.asks.Model, c.usage)
		if !ok {
			return nil
		}
		*c.to = usd
	}
	return &each
}

// loop returns what a loop uses: each of its turns but the last answers with call
// tokens, whose tools give the next turn gives tokens.
func loop(prompt, turns, call, gives, last float64) llm.Usage {
	more := turns - 1 // turns after the first
	grown := call + gives
	// The turn k after the first reads what was sent until the turn before it, and
	// writes what that turn and its tools added.
	read := more*prompt + grown*more*(more-1)/2
	return llm.Usage{
		CacheWrite5m:    int(math.Round(prompt + more*grown)),
		CacheReadTokens: int(math.Round(read)),
		OutputTokens:    int(math.Round(more*call + last)),
	}
}
