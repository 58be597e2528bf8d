package plan

import (
	"cmp"
	"math"
	"slices"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/dustin/go-humanize/english"
)

// Assumptions for calls without any history: answers are usually far shorter
// than max_tokens.
const (
	guessedOutput  = 600.0 // tokens of an answer
	shortestOutput = 100.0
	firstToken     = 1.0  // seconds
	usualSpeed     = 70.0 // tokens a second
	inputDoubt     = 0.25 // relative error of an estimated prompt
)

// batchTime is the duration of a message batch in seconds: most end within an
// hour, all within a day.
var batchTime = Range{60, 15 * 60, 24 * 60 * 60}

// estimator converts counts of calls into cost and time.
type estimator struct {
	in     *Input
	alike  map[kind]*samples // of steps, in runs with the same state of the prompt cache as this one
	steps  map[kind]*samples
	agents map[kind]*samples
}

func newEstimator(in *Input) *estimator {
	byAgent := func(u *journal.UnitState) string { return u.Started.Agent }
	byStep := func(u *journal.UnitState) string { return u.Plain() }
	var alike []Run
	for _, run := range in.Runs {
		if run.Warm == in.Warm {
			alike = append(alike, run)
		}
	}
	e := &estimator{in: in, alike: collect(alike, byStep), steps: collect(in.Runs, byStep)}
	e.agents = collect(append(append([]Run{}, in.Runs...), in.Others...), byAgent)
	return e
}

// estimate sets the cost and duration of a step's calls.
func (e *estimator) estimate(n *node) {
	if n.step.Approval != nil {
		n.plan = Step{ID: n.path, Source: SourcePerson, Calls: n.calls, CostUSD: &Range{}}
		if n.calls.High == 0 {
			n.plan.Source = SourceSkipped
		}
		return
	}
	if n.step.Value != nil || n.step.Exit != nil {
		n.plan, n.own = Step{ID: n.path, Source: SourceValue, Calls: n.calls, CostUSD: &Range{}}, true // it takes no time
		if n.calls.High == 0 {
			n.plan.Source = SourceSkipped
		}
		return
	}
	if n.step.Action() != nil {
		e.command(n)
		return
	}
	if n.live.High == 0 {
		n.plan.CostUSD, n.plan.InputTokens = &Range{}, 0
		return
	}
	each := e.each(n)
	if each == nil {
		return
	}
	if n.halfway {
		each.Low = 0 // the cache may have all of it
	}
	n.plan.CostUSD = new(n.live.times(*each))
}

// one returns the cost of one call of a step with the agent and the model that it has
// now, nil if some have no price. It sets the figures of the plan.
func (e *estimator) one(n *node) *Range {
	own, agent := n.kind(n.path), n.kind(n.step.Agent)
	switch s := cmp.Or(e.alike[own], e.steps[own]); {
	case s != nil:
		return e.fromRuns(n, s)
	case n.asks.MaxTurns > 0:
		return e.fromTurns(n, e.agents[agent])
	default:
		return e.fromTokens(n, e.agents[agent])
	}
}

// kind returns what the calls of a node share with those of a name.
func (n *node) kind(who string) kind {
	return kind{who, n.asks.Model, n.asks.Batch, n.asks.MaxTurns > 0}
}

// command estimates a step that runs a command: it costs nothing and takes as long as
// it took.
func (e *estimator) command(n *node) {
	n.plan = Step{ID: n.path, Source: SourceCommand, CostUSD: &Range{}}
	if n.calls.High == 0 {
		n.plan.Source = SourceSkipped
		return
	}
	n.own = true // it waits for no call
	if s := e.steps[kind{who: n.path}]; s != nil {
		n.took = slices.Sorted(slices.Values(s.seconds))
		n.plan.Basis, n.plan.Seconds = english.Plural(len(s.runs), "earlier run", ""), spread(s.seconds, quantile(s.seconds, 0.5), timeDoubt)
	}
}

// fromRuns estimates from earlier calls of the same step. It returns the cost of
// one call, nil if some have no price.
func (e *estimator) fromRuns(n *node, s *samples) *Range {
	n.own, n.took = true, slices.Clone(s.seconds)
	slices.Sort(n.took)
	n.plan.Basis = english.Plural(len(s.runs), "earlier run", "")
	n.plan.InputTokens, n.plan.OutputTokens = mean(s.input), mean(s.output)
	n.plan.Seconds = spread(s.seconds, quantile(s.seconds, 0.5), timeDoubt)
	if len(s.turns) > 0 {
		n.plan.Turns, n.plan.TurnsBasis = s.seenTurns(), n.plan.Basis
	}
	if s.unpriced {
		return nil
	}
	each := spread(s.cost, mean(s.cost), costDoubt)
	if usd, ok := e.warm(n); ok && each.Expected > 0 {
		each = each.times(Exactly(usd / each.Expected))
	}
	return new(each.of(n.live.Expected))
}

// warm returns the cost of a call while the service's prompt cache still has what
// the latest run left there. What that run read is read again. What it wrote is
// read if the prompt is the same; the part of another prompt that is the same is
// not known, so that its writes count as writes.
func (e *estimator) warm(n *node) (usd float64, ok bool) {
	s := e.steps[n.kind(n.path)]
	if !e.in.Warm || len(s.latest) == 0 {
		return 0, false
	}
	var u llm.Usage
	for _, usage := range s.latest {
		u.InputTokens += usage.InputTokens
		u.CacheReadTokens += usage.CacheReadTokens
		u.CacheWrite5m += usage.CacheWrite5m
		u.CacheWrite1h += usage.CacheWrite1h
	}
	if u.PromptTokens() == u.InputTokens && !n.again {
		return 0, false
	}
	if n.again {
		u.CacheReadTokens, u.CacheWrite5m, u.CacheWrite1h = u.CacheReadTokens+u.CacheWrite5m+u.CacheWrite1h, 0, 0
	}
	calls := len(s.latest)
	u.InputTokens, u.CacheReadTokens = u.InputTokens/calls, u.CacheReadTokens/calls
	u.CacheWrite5m, u.CacheWrite1h = u.CacheWrite5m/calls, u.CacheWrite1h/calls
	u.OutputTokens, u.Batch = int(math.Round(mean(s.output))), s.latest[0].Batch
	return e.in.Prices.Cost(n.asks.Model, u)
}

// fromTokens estimates from the size of the prompt and the agent's other answers,
// if there are any. It returns the cost of one call, nil if the model has no price.
func (e *estimator) fromTokens(n *node, s *samples) *Range {
	input := n.plan.InputTokens
	most := math.Inf(1)
	if n.asks.MaxTokens > 0 {
		most = float64(n.asks.MaxTokens)
	}
	output := Range{shortestOutput, guessedOutput, most}
	if math.IsInf(most, 1) {
		output.High = 10 * guessedOutput
	}
	n.plan.Basis = "token count"
	if s != nil {
		n.plan.Basis = "token count and other calls of " + n.step.Agent
		output = spread(s.output, mean(s.output), costDoubt)
		n.plan.Seconds = spread(s.seconds, quantile(s.seconds, 0.5), timeDoubt)
	}
	output = Range{min(output.Low, most), min(output.Expected, most), min(output.High, most)}
	if s == nil {
		n.plan.Seconds = Range{
			firstToken/2 + output.Low/(2*usualSpeed), firstToken + output.Expected/usualSpeed, 4*firstToken + output.High/(usualSpeed/2),
		}
	}
	if s == nil && n.asks.Batch {
		n.plan.Seconds = batchTime
	}
	n.plan.OutputTokens = output.Expected
	var each Range
	for _, c := range []struct {
		to       *float64
		factor   float64
		answered float64
	}{
		{&each.Low, 1 - inputDoubt, output.Low}, {&each.Expected, 1, output.Expected}, {&each.High, 1 + inputDoubt, output.High},
	} {
		usd, ok := e.in.Prices.Cost(n.asks.Model, llm.Usage{
			InputTokens: int(input * c.factor), OutputTokens: int(c.answered), Batch: n.asks.Batch,
		})
		if !ok {
			return nil
		}
		*c.to = usd
	}
	return &each
}
