package workflow

import (
	"math"
	"slices"
	"time"
)

// graph is the steps of a workflow as indices. Unknown dependencies are
// left out, so that it also works for a Workflow built in code.
type graph struct {
	needs  [][]int // what a step depends on
	usedBy [][]int
	order  []int // dependencies first, otherwise in file order; steps on a cycle are missing
	level  []int // 0 without dependencies, else one more than the deepest of them

	instead map[[2]int]bool // edges from a step to its fallback, in a drawing
}

func newGraph(steps []*Step) *graph {
	index := make(map[string]int, len(steps))
	for i, s := range steps {
		if _, ok := index[s.ID]; !ok {
			index[s.ID] = i
		}
	}
	g := &graph{needs: make([][]int, len(steps)), usedBy: make([][]int, len(steps)), level: make([]int, len(steps))}
	for i, s := range steps {
		for _, id := range s.Dependencies {
			if d, ok := index[id]; ok {
				g.needs[i] = append(g.needs[i], d)
				g.usedBy[d] = append(g.usedBy[d], i)
			}
		}
	}
	g.sort()
	return g
}

// withFallbacks makes every step depend on its fallback.
func (g *graph) withFallbacks(steps []*Step) {
	found := false
	for i, f := range fallbacksOf(steps) {
		if f >= 0 {
			found = true
			g.needs[i] = append(g.needs[i], f)
			g.usedBy[f] = append(g.usedBy[f], i)
		}
	}
	if found {
		g.sort()
	}
}

// fallbacksOf returns for each step the index of its fallback, or -1.
func fallbacksOf(steps []*Step) []int {
	fallbacks := make([]int, len(steps))
	var index map[string]int
	for i, s := range steps {
		if fallbacks[i] = -1; s.Fallback == "" {
			continue
		}
		if index == nil {
			index = make(map[string]int, len(steps))
			for j, s := range slices.Backward(steps) {
				index[s.ID] = j
			}
		}
		if j, ok := index[s.Fallback]; ok && j != i {
			fallbacks[i] = j
		}
	}
	return fallbacks
}

func (g *graph) sort() {
	waiting := make([]int, len(g.needs))
	g.order = make([]int, 0, len(g.needs))
	clear(g.level)
	for i, needs := range g.needs {
		if waiting[i] = len(needs); waiting[i] == 0 {
			g.order = append(g.order, i)
		}
	}
	for next := 0; next < len(g.order); next++ {
		for _, u := range g.usedBy[g.order[next]] {
			g.level[u] = max(g.level[u], g.level[g.order[next]]+1)
			if waiting[u]--; waiting[u] == 0 {
				g.order = append(g.order, u)
			}
		}
	}
}

// levels groups the steps by level, in file order.
func (g *graph) levels() [][]int {
	var levels [][]int
	for i, l := range g.level {
		for len(levels) <= l {
			levels = append(levels, nil)
		}
		levels[l] = append(levels[l], i)
	}
	return levels
}

// remaining returns the longest path from the start of each step to the end.
func (g *graph) remaining(steps []*Step, cost func(*Step) time.Duration) []time.Duration {
	rest := make([]time.Duration, len(steps))
	for i, s := range steps {
		if cost == nil {
			rest[i] = time.Second
		} else {
			rest[i] = max(0, cost(s))
		}
	}
	fallbacks, isFallback := fallbacksOf(steps), make([]bool, len(steps))
	for _, f := range fallbacks {
		if f >= 0 {
			isFallback[f] = true
		}
	}
	after := make([]time.Duration, len(steps)) // the longest path once a step has ended
	for _, i := range slices.Backward(g.order) {
		for _, u := range g.usedBy[i] {
			if !isFallback[u] { // which may never run
				after[i] = max(after[i], rest[u])
			}
		}
		if !isFallback[i] {
			rest[i] = plus(rest[i], after[i])
		}
	}
	// A fallback is followed by the dependents of the step that it replaces.
	primaries := make([]int, len(steps))
	for _, f := range fallbacks {
		if f >= 0 {
			primaries[f]++
		}
	}
	var ready []int
	for i := range steps {
		if primaries[i] == 0 && fallbacks[i] >= 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 {
		i := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		f := fallbacks[i]
		after[f] = max(after[f], after[i])
		if primaries[f]--; primaries[f] == 0 && fallbacks[f] >= 0 {
			ready = append(ready, f)
		}
	}
	for f, is := range isFallback {
		if is {
			rest[f] = plus(rest[f], after[f])
		}
	}
	return rest
}

func plus(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// RemainingPath returns for each step the longest time from its start to the
// end of the workflow, its own cost included. Of the ready steps, the one with
// the longest path should start first. A nil cost counts every step as one
// second, a negative cost counts as 0. Fallback steps do not count in the paths
// of other steps, since they may never run. Nested steps have no path.
func (w *Workflow) RemainingPath(cost func(*Step) time.Duration) map[string]time.Duration {
	rest := newGraph(w.Steps).remaining(w.Steps, cost)
	out := make(map[string]time.Duration, len(rest))
	for i, s := range w.Steps {
		out[s.ID] = rest[i]
	}
	return out
}

// CriticalPath returns the steps of the longest path, first to last, and how
// long it takes: no schedule is shorter. Of equal paths it returns the one whose
// steps come first in the file. Costs count as in [Workflow.RemainingPath].
func (w *Workflow) CriticalPath(cost func(*Step) time.Duration) ([]string, time.Duration) {
	g := newGraph(w.Steps)
	rest := g.remaining(w.Steps, cost)
	spare := make([]bool, len(w.Steps))
	for _, f := range fallbacksOf(w.Steps) {
		if f >= 0 {
			spare[f] = true
		}
	}
	at := -1
	for i, l := range g.level {
		if l == 0 && !spare[i] && (at < 0 || rest[i] > rest[at]) {
			at = i
		}
	}
	if at < 0 {
		return nil, 0
	}
	total := rest[at]
	path := []string{w.Steps[at].ID}
	for range w.Steps { // a bound: a Workflow built in code may have a cycle
		next := -1
		for _, u := range g.usedBy[at] {
			if !spare[u] && (next < 0 || rest[u] > rest[next]) {
				next = u
			}
		}
		if next < 0 {
			break
		}
		at = next
		path = append(path, w.Steps[at].ID)
	}
	return path, total
}
