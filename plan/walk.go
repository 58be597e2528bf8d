package plan

import (
	"iter"
	"slices"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// Assumptions for counts without any history.
var (
	guessedItems = Range{1, 3, 10}
	guessedMore  = 3.0 // factor for the number of items in a simulated answer
)

// node is a step of the workflow, or a nested step, at its place in a run.
type node struct {
	step *workflow.Step
	path string // plain
	body []*node

	starts Range // how often it starts in the run
	items  Range // of its foreach, each time; 1 without one
	rounds Range // of its loop, each time; 1 without one
	spare  bool  // it only runs in place of another

	bounds []string // of how often it is called, with their sources

	maybe   bool // whether it starts if its enclosing step does depends on unknown answers
	sure    bool // how often it starts is known
	tainted bool // its prompt depends on unknown answers

	// Of a step that calls a model.
	asks     Asks
	variants []variant // what it may be; asks is that of the first
	calls    Range
	live     Range     // the calls that must be paid
	own      bool      // its durations come from its own earlier calls
	took     []float64 // those durations, sorted
	again    bool      // the latest run made all its calls too
	halfway  bool      // the first turn of each live call is in the cache
	plan     Step
}

// outer is the context of a graph of steps.
type outer struct {
	times   Range // how often the graph starts
	sure    bool
	tainted bool
	given   bool     // its parameters depend on no answer
	listed  bool     // neither do the items around it
	bounds  []string // of times, with their sources
}

// walk visits the steps and counts how often each is called.
type walk struct {
	in      *Input
	units   map[string][]Unit  // by plain path
	dirty   map[string]bool    // plain paths with a live call at or below them
	rounds  map[string]Range   // iterations in the dry run
	asked   map[string]float64 // tokens of the prompts of steps that others continue, by id
	history *history
}

func newWalk(in *Input) *walk {
	w := &walk{in: in, units: map[string][]Unit{}, dirty: map[string]bool{}, asked: map[string]float64{}, history: readHistory(in.Runs)}
	looped := newRoundCounter()
	for _, u := range in.Units {
		path := u.Plain()
		w.units[path] = append(w.units[path], u)
		looped.add(u.Unit)
		if u.Source == llm.SourceLive || u.Source == llm.SourceCoalesced {
			for p := range (journal.Unit{Step: path}).Paths() {
				w.dirty[p] = true
			}
		}
	}
	w.rounds = ranges([]map[string][]float64{looped.counts()})
	return w
}

// frame creates the nodes of a graph of steps.
func (w *walk) frame(wf *workflow.Workflow, owner journal.Unit, o outer) []*node {
	made, spares := map[string]*node{}, map[string]bool{}
	for _, s := range wf.Steps {
		if s.OnFailure == workflow.OnFailureFallback {
			spares[s.Fallback] = true
		}
	}
	var visit func(s *workflow.Step) *node
	visit = func(s *workflow.Step) *node {
		if n := made[s.ID]; n != nil {
			return n
		}
		n := &node{step: s, path: owner.Inner(s.ID).Step, items: Exactly(1), rounds: Exactly(1), spare: spares[s.ID], tainted: o.tainted}
		made[s.ID] = n
		for _, id := range s.Dependencies {
			if d := wf.Step(id); d != nil {
				before := visit(d)
				n.tainted = n.tainted || before.tainted || w.dirty[before.path] || d.Approval != nil
				n.maybe = n.maybe || before.maybe
			}
		}
		w.fill(n, o)
		return n
	}
	nodes := make([]*node, len(wf.Steps))
	for i, s := range wf.Steps {
		nodes[i] = visit(s)
	}
	return nodes
}

// fill sets how often a node starts, and its body.
func (w *walk) fill(n *node, o outer) {
	s := n.step
	n.maybe = n.maybe || n.spare || s.When != nil && n.tainted
	n.sure = o.sure && !n.maybe
	switch {
	case w.in.Left[n.path], w.in.Skipped[n.path] && !n.tainted && !n.spare && !w.began(n.path):
		n.starts, n.maybe, n.sure = Range{}, false, true
	case n.spare:
		n.starts = Range{High: o.times.High}
	case n.maybe:
		n.starts = Range{0, o.times.Expected, o.times.High}
	default:
		n.starts = o.times
	}
	inner := outer{times: n.starts, sure: n.sure, tainted: n.tainted, given: o.given, listed: o.listed, bounds: slices.Clone(o.bounds)}
	switch {
	case n.starts.High == 0:
	case n.spare:
		inner.bounds = append(inner.bounds, n.path+" runs in place of another that failed")
	case n.maybe:
		inner.bounds = append(inner.bounds, "whether "+n.path+" runs depends on answers")
	}
	if s.Foreach != nil {
		items, from, known := w.listed(n, o)
		if !known {
			items, from = w.itemsOf(n)
		}
		n.items = items
		inner.bounds = append(inner.bounds, bound(items, "item", n.path, from))
		inner.times, inner.sure = inner.times.times(n.items), inner.sure && (known || !n.tainted)
		inner.listed = o.listed && known && (s.Foreach.Items == nil || len(s.Foreach.Items.Steps()) == 0)
	}
	if s.Loop != nil {
		var from string
		n.rounds, from = w.roundsOf(n)
		inner.bounds = append(inner.bounds, bound(n.rounds, "iteration", n.path, from))
		inner.times = inner.times.times(n.rounds)
		inner.sure = inner.sure && (s.Loop.Until == nil || !n.tainted && !w.dirty[n.path])
	}
	n.bounds = inner.bounds
	switch {
	case s.Approval != nil:
		n.calls = inner.times
	case s.Action() != nil:
		n.calls = inner.times
		n.live = n.calls
	case s.Body != nil:
		for _, v := range s.With {
			if _, known := knownNames(v.Uses(), inner); !known {
				inner.given = false
			}
		}
		n.body = w.frame(s.Body, journal.Unit{Step: n.path}, inner)
	default:
		w.count(n, inner)
	}
}

// began reports whether the dry run made a call at or below a path.
func (w *walk) began(path string) bool {
	if len(w.units[path]) > 0 {
		return true
	}
	for p := range w.units {
		if (journal.Unit{Step: p}).In(path) {
			return true
		}
	}
	return false
}

// itemsOf returns how many items a foreach has each time it starts, and the source of
// that.
func (w *walk) itemsOf(n *node) (Range, string) {
	counts := w.counted(n.path)
	if len(counts) > 0 && !n.tainted {
		return Exactly(mean(counts)), fromAnswers
	}
	if r, ok := w.history.items[n.path]; ok {
		return r, w.history.earlier()
	}
	if m := mean(counts); m > 0 {
		return Range{1, m, m * guessedMore}, fromDryRun
	}
	return guessedItems, fromNothing
}

// roundsOf returns how many iterations a loop makes each time it starts, and the source
// of that.
func (w *walk) roundsOf(n *node) (Range, string) {
	most := float64(n.step.Loop.Max)
	if n.step.Loop.Until == nil {
		return Exactly(most), fromMax
	}
	if r, ok := w.rounds[n.path]; ok && !n.tainted && !w.dirty[n.path] {
		return r, fromAnswers
	}
	if r, ok := w.history.rounds[n.path]; ok {
		return Range{min(r.Low, most), min(r.Expected, most), min(r.High, most)}, w.history.earlier()
	}
	return Range{1, (1 + most) / 2, most}, fromMax
}

// count sets how often a step calls its agent, and how many of the calls must be
// paid.
func (w *walk) count(n *node, times outer) {
	units := w.units[n.path]
	n.variants = w.variantsOf(n, units, times.sure)
	n.asks = n.variants[0].asks
	n.calls = times.times
	free := 0
	n.again, n.halfway = len(units) > 0, len(units) > 0
	for _, u := range units {
		n.again = n.again && u.Again
		n.halfway = n.halfway && (u.Halfway || u.Source != llm.SourceLive)
		if u.Source != llm.SourceLive {
			free++
		}
	}
	if times.sure {
		if len(units) > 0 {
			n.calls = Exactly(float64(len(units)))
		}
		n.live = n.calls.less(float64(free))
	} else {
		guess := n.calls
		if n.calls = w.history.callsOf(n.path, guess); n.calls != guess {
			n.bounds = append(n.bounds, counting(n.calls, "call")+": "+w.history.earlier())
		}
		paid := 1.0
		if len(units) > 0 {
			paid -= float64(free) / float64(len(units))
		}
		n.live = n.calls.times(Exactly(paid))
	}
	n.plan = Step{ID: n.path, Agent: n.names(func(v variant) string { return v.step.Agent }), Model: n.names(func(v variant) string { return v.asks.Model }), Calls: n.calls, Cached: free}
	switch {
	case n.calls.High == 0:
		n.plan.Source = SourceSkipped
	case !times.sure:
		n.plan.Source = SourceUnknown
	case n.live.High == 0:
		n.plan.Source = SourceCached
	default:
		n.plan.Source = SourceLive
	}
	n.plan.InputTokens = w.input(n, units)
	if n.step.Continued {
		w.asked[n.step.ID] = n.plan.InputTokens
	}
}

// input returns the mean size of a live call's prompt, in tokens.
func (w *walk) input(n *node, units []Unit) float64 {
	characters, live := 0, 0
	for _, u := range units {
		if u.Source == llm.SourceLive {
			characters += u.Characters
			live++
		}
	}
	if live > 0 {
		return float64(w.in.Prices.EstimateTokens(n.asks.Model, characters/live))
	}
	characters = n.asks.Characters
	if n.step.Task != nil {
		characters += len(n.step.Task.Source())
	}
	// The answers of its dependencies are unknown, but become part of the prompt; so does
	// what the step was asked that it continues.
	return float64(w.in.Prices.EstimateTokens(n.asks.Model, characters)) + float64(len(n.step.Dependencies))*guessedOutput + w.asked[n.step.Continue]
}

// leaves yields the nodes without a body, in file order: they call an agent or
// ask a person.
func leaves(nodes []*node) iter.Seq[*node] {
	return func(yield func(*node) bool) { eachLeaf(nodes, yield) }
}

func eachLeaf(nodes []*node, yield func(*node) bool) bool {
	for _, n := range nodes {
		if n.body == nil && !yield(n) || n.body != nil && !eachLeaf(n.body, yield) {
			return false
		}
	}
	return true
}
