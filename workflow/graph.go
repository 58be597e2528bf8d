package workflow

import (
	"math"
	"slices"
	"strings"
	"time"
)

// graph is the steps of a workflow as indices. Dependencies that are not there
// are left out, so that it also holds for a workflow put together by hand.
type graph struct {
	needs  [][]int // what a step depends on
	usedBy [][]int
	order  []int // dependencies first, otherwise in file order; steps on a cycle are missing
	level  []int // 0 without dependencies, else one more than the deepest of them
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

func (g *graph) sort() {
	waiting := make([]int, len(g.needs))
	g.order = make([]int, 0, len(g.needs))
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

// remaining is the longest path from the start of each step to the end.
func (g *graph) remaining(steps []*Step, cost func(*Step) time.Duration) []time.Duration {
	rest := make([]time.Duration, len(steps))
	for i, s := range steps {
		if cost == nil {
			rest[i] = time.Second
		} else {
			rest[i] = max(0, cost(s))
		}
	}
	for _, i := range slices.Backward(g.order) {
		var longest time.Duration
		for _, u := range g.usedBy[i] {
			longest = max(longest, rest[u])
		}
		rest[i] = plus(rest[i], longest)
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
// end of the workflow, its own cost included: the order in which ready steps
// should go. A nil cost counts every step as one second, a negative one as 0.
func (w *Workflow) RemainingPath(cost func(*Step) time.Duration) map[string]time.Duration {
	rest := newGraph(w.Steps).remaining(w.Steps, cost)
	out := make(map[string]time.Duration, len(rest))
	for i, s := range w.Steps {
		out[s.ID] = rest[i]
	}
	return out
}

// CriticalPath returns the steps of the longest path, first to last, and how
// long it takes: no schedule is shorter. Of equal paths it takes the steps that
// come first in the file. Costs are read as by [Workflow.RemainingPath].
func (w *Workflow) CriticalPath(cost func(*Step) time.Duration) ([]string, time.Duration) {
	g := newGraph(w.Steps)
	rest := g.remaining(w.Steps, cost)
	at := -1
	for i, l := range g.level {
		if l == 0 && (at < 0 || rest[i] > rest[at]) {
			at = i
		}
	}
	if at < 0 {
		return nil, 0
	}
	total := rest[at]
	path := []string{w.Steps[at].ID}
	for range w.Steps { // a bound, should a workflow made by hand have a cycle
		next := -1
		for _, u := range g.usedBy[at] {
			if next < 0 || rest[u] > rest[next] {
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

// cycles reports one cycle of every group of steps that wait for one another.
// A step whose id is taken is no part of the graph.
func (p *reader) cycles(drafts []draft) {
	steps := make([]*Step, 0, len(drafts))
	for _, d := range drafts {
		if d.ID != "" && !d.twin {
			steps = append(steps, d.Step)
		}
	}
	g := newGraph(steps)
	if len(g.order) == len(steps) {
		return
	}
	for _, group := range g.groups() {
		if len(group) < 2 {
			continue
		}
		names := g.cycle(group)
		ids := make([]string, len(names))
		for i, s := range names {
			ids[i] = steps[s].ID
		}
		if len(ids) > 21 {
			ids = append(append(ids[:10:10], "…"), ids[len(ids)-10:]...)
		}
		first := steps[names[0]]
		p.add(&Error{Line: first.Line, Column: first.Column, Message: "dependency cycle: " + strings.Join(ids, " -> "),
			Hint: "each waits for the next; remove one of these dependencies", Err: ErrCycle})
	}
}

// groups returns the strongly connected components (Tarjan), each sorted. It
// keeps its own stack: a chain may be as long as the file.
func (g *graph) groups() [][]int {
	n := len(g.needs)
	seen, low, on := make([]int, n), make([]int, n), make([]bool, n)
	var stack []int
	var groups [][]int
	type frame struct{ node, edge int }
	var frames []frame
	clock := 0
	enter := func(v int) {
		clock++
		seen[v], low[v], on[v] = clock, clock, true
		stack = append(stack, v)
		frames = append(frames, frame{v, 0})
	}
	for root := range n {
		if seen[root] != 0 {
			continue
		}
		enter(root)
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			v := f.node
			if f.edge < len(g.needs[v]) {
				u := g.needs[v][f.edge]
				f.edge++
				if seen[u] == 0 {
					enter(u)
				} else if on[u] {
					low[v] = min(low[v], seen[u])
				}
				continue
			}
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				parent := frames[len(frames)-1].node
				low[parent] = min(low[parent], low[v])
			}
			if low[v] == seen[v] {
				i := len(stack) - 1
				for stack[i] != v {
					i--
				}
				group := slices.Clone(stack[i:])
				stack = stack[:i]
				for _, u := range group {
					on[u] = false
				}
				slices.Sort(group)
				groups = append(groups, group)
			}
		}
	}
	return groups
}

// cycle returns the shortest way from the first step of a group back to itself.
func (g *graph) cycle(group []int) []int {
	start := group[0]
	inside := make(map[int]bool, len(group))
	for _, v := range group {
		inside[v] = true
	}
	from := map[int]int{}
	queue := []int{start}
	for next := 0; next < len(queue); next++ {
		v := queue[next]
		for _, u := range g.needs[v] {
			if u == start {
				path := []int{start}
				for ; v != start; v = from[v] {
					path = append(path, v)
				}
				path = append(path, start)
				slices.Reverse(path)
				return path
			}
			if _, ok := from[u]; !ok && inside[u] {
				from[u] = v
				queue = append(queue, u)
			}
		}
	}
	return []int{start, start} // not reached: a group of two or more has a cycle
}
