package plan

import (
	"math"
	"slices"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// history holds counts from earlier runs, by plain path.
type history struct {
	calls  map[string]Range // in a run
	items  map[string]Range // each time a foreach started
	rounds map[string]Range // each time a loop started
	runs   int
}

// fewRuns is the number of runs below which rare events may be missing.
const fewRuns = 5

// callsOf returns how often a path was called in earlier runs, or guess if they
// have no data for it.
func (h *history) callsOf(path string, guess Range) Range {
	known, ok := h.calls[path]
	if !ok {
		for p := range (journal.Unit{Step: path}).Paths() {
			if around, seen := h.calls[p]; seen && around.High == 0 {
				known, ok = around, true // an enclosing step was skipped
			}
		}
	}
	switch {
	case !ok:
		return guess
	case h.runs < fewRuns:
		return Range{min(guess.Low, known.Low), known.Expected, max(guess.High, known.High)}
	}
	return known
}

// readHistory counts calls, items and iterations in the complete runs.
func readHistory(runs []Run) *history {
	var calls, items, rounds []map[string][]float64
	for _, run := range runs {
		if !run.Whole {
			continue
		}
		made, fans, looped := map[string][]float64{}, map[string][]float64{}, newRoundCounter()
		for _, u := range run.State.Order {
			path := u.Plain()
			if u.Expanded != nil {
				fans[path] = append(fans[path], float64(u.Expanded.Items))
			}
			if u.Type == journal.StepSkipped && made[path] == nil {
				made[path] = []float64{0}
			}
			if u.Started.Model == "" || u.Type != journal.StepFinished && u.Type != journal.StepFailed {
				continue // makes no call itself
			}
			looped.add(u.Unit)
			if made[path] == nil {
				made[path] = []float64{0}
			}
			made[path][0]++
		}
		calls, items, rounds = append(calls, made), append(items, fans), append(rounds, looped.counts())
	}
	return &history{runs: len(calls), calls: zeroed(calls), items: ranges(items), rounds: ranges(rounds)}
}

// ranges returns the ranges of the pooled counts of several runs.
func ranges(counts []map[string][]float64) map[string]Range {
	all := map[string][]float64{}
	for _, m := range counts {
		for path, values := range m {
			all[path] = append(all[path], values...)
		}
	}
	pooled := make(map[string]Range, len(all))
	for path, values := range all {
		pooled[path] = Range{quantile(values, 0.1), mean(values), quantile(values, 0.9)}
	}
	return pooled
}

// zeroed returns ranges, but counts a run that lacks a path as 0 for that path.
func zeroed(counts []map[string][]float64) map[string]Range {
	for _, m := range counts {
		for path := range m {
			for _, other := range counts {
				if other[path] == nil {
					other[path] = []float64{0}
				}
			}
		}
	}
	return ranges(counts)
}

// roundCounter counts the iterations of loops from the paths of calls.
type roundCounter map[string]map[journal.Unit]int // highest iteration, for each time a loop started

func newRoundCounter() roundCounter { return roundCounter{} }

// add counts the iterations that contain u. Calls of nested items count as a loop
// of their own, which does not change the mean.
func (c roundCounter) add(u journal.Unit) {
	for path := range u.Paths() {
		loop, n := journal.Unit{Step: path, Item: u.Item}.Loop()
		if n == 0 {
			continue
		}
		plain := loop.Plain()
		if c[plain] == nil {
			c[plain] = map[journal.Unit]int{}
		}
		c[plain][loop] = max(c[plain][loop], n)
	}
}

func (c roundCounter) counts() map[string][]float64 {
	counts := make(map[string][]float64, len(c))
	for loop, times := range c {
		for _, n := range times {
			counts[loop] = append(counts[loop], float64(n))
		}
	}
	return counts
}

// samples are the figures of the live calls of one kind.
type samples struct {
	runs                map[int]bool
	cost, input, output []float64
	seconds             []float64 // of the service
	turns               []float64 // of agents with tools
	unpriced            bool
	latest              []llm.Usage // in the latest run
}

// kind is what the calls of one set of samples share.
type kind struct {
	who, model string
	batch      bool // half the price, and much slower
	acts       bool // its agent has tools: it makes several calls
}

// collect groups the live calls of runs by the name that who returns.
func collect(runs []Run, who func(*journal.UnitState) string) map[kind]*samples {
	found := map[kind]*samples{}
	for i, run := range runs {
		for _, u := range run.State.Order {
			done := u.Finished
			called := done.Source == llm.SourceLive && u.Started.Model != "" || done.Source == llm.SourceCommand
			if u.Type != journal.StepFinished || !called {
				continue
			}
			k := kind{who(u), u.Started.Model, done.Usage.Batch, done.Turns > 0}
			s := found[k]
			if s == nil {
				s = &samples{runs: map[int]bool{}}
				found[k] = s
			}
			s.runs[i] = true
			if i == 0 {
				s.latest = append(s.latest, done.Usage)
			}
			took := done.LatencySeconds(done.DurationSeconds) // waiting says nothing of the next run
			if done.Turns > 0 {
				s.turns = append(s.turns, float64(done.Turns))
				took = max(took, done.DurationSeconds-done.WaitedSeconds) // tools take time too
			}
			s.seconds = append(s.seconds, took)
			s.input = append(s.input, float64(done.Usage.PromptTokens()))
			s.output = append(s.output, float64(done.Usage.OutputTokens))
			if done.CostUSD == nil {
				s.unpriced = true
			} else {
				s.cost = append(s.cost, *done.CostUSD)
			}
		}
	}
	return found
}

// spread returns expected with the 10th and 90th percentile of the values as
// bounds. doubt widens the bounds if there are few values.
func spread(values []float64, expected, doubt float64) Range {
	d := expected * doubt / math.Sqrt(float64(len(values)))
	return Range{min(quantile(values, 0.1), expected-d), expected, max(quantile(values, 0.9), expected+d)}
}

// Relative doubt about a single value.
const (
	costDoubt = 0.3
	timeDoubt = 0.5
)

// of returns the range of the mean of n calls, which varies less than a single
// call.
func (r Range) of(n float64) Range {
	root := math.Sqrt(max(1, n))
	return Range{r.Expected - (r.Expected-r.Low)/root, r.Expected, r.Expected + (r.High-r.Expected)/root}
}

// mean returns the mean of the values; 0 for no values.
func mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values) // sums of fractions depend on the order
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// quantile returns the q-quantile, interpolated between the values; 0 for no
// values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	at := q * float64(len(values)-1)
	i := int(at)
	if i+1 == len(values) {
		return values[i]
	}
	return values[i] + (at-float64(i))*(values[i+1]-values[i])
}
