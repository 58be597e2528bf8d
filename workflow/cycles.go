package workflow

import (
	"slices"
	"strings"
)

// cycles reports one cycle of every group of steps that wait for one another.
// The graph leaves out a step whose id is already used. A step waits for its
// fallback too, since its result may be that of the fallback.
func (p *reader) cycles(drafts []*draft) {
	steps := make([]*Step, 0, len(drafts))
	for _, d := range drafts {
		if d.ID != "" && !d.twin {
			steps = append(steps, d.Step)
		}
	}
	g := newGraph(steps)
	g.withFallbacks(steps)
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
