package importer

import (
	"slices"

	yaml "go.yaml.in/yaml/v4"
)

// flowLevel is a list of steps: those of the file, of a loop or of a parallel group.
//
// Conductor goes from agent to agent along routes, also back. Here steps form a graph
// without cycles. So each part of the routes that leads back to itself becomes a step
// with a loop, and within it the routes back to where it begins say when it goes on.
type flowLevel struct {
	id     string // of the step around it; empty: it is the file
	parent *flowLevel
	loop   bool
	entry  *flowNode
	nodes  map[*flowNode]bool // in it and in the levels within it
	units  []*flowUnit        // in file order
}

// flowUnit is a step of a level: a node or a loop.
type flowUnit struct {
	node  *flowNode
	inner *flowLevel
	level *flowLevel
	in    []flowEdge // by which it is reached, of the same level
	after map[*flowUnit]bool
	sure  map[*flowUnit]bool // units that have run whenever this one runs
}

// flowEdge is a route that leads from a node to the unit of another.
type flowEdge struct {
	from  *flowNode
	index int // of the route
}

func (u *flowUnit) id() string {
	if u.inner != nil {
		return u.inner.id
	}
	return u.node.id
}

// levels makes the levels of all that can be reached from the entry.
func (c *conductor) levels(entry *flowNode, top *yaml.Node) *flowLevel {
	reached := map[*flowNode]bool{}
	var visit func(f *flowNode)
	visit = func(f *flowNode) {
		if reached[f] {
			return
		}
		reached[f] = true
		for _, r := range f.routes {
			if next := c.nodes[r.to]; next != nil {
				visit(next)
			}
		}
	}
	visit(entry)
	members := map[*flowNode]bool{}
	for _, f := range c.order {
		if f.kind == nodeParallel && reached[f] {
			for _, name := range list(get(f.at, "agents")) {
				if m := c.nodes[name.Value]; m != nil && m.kind != nodeParallel && m.kind != nodeForEach && !reached[m] && !members[m] {
					members[m] = true
				}
			}
		}
	}
	for _, f := range c.order {
		if !reached[f] && !members[f] {
			c.note(top, f.at, Missing, "%s is never reached", f.name)
		}
	}
	root := &flowLevel{entry: entry, nodes: reached}
	c.units(root)
	return root
}

// units divides a level into units.
func (c *conductor) units(l *flowLevel) {
	of := map[*flowNode]*flowUnit{}
	for _, part := range c.components(l) {
		first := part[0]
		u := &flowUnit{node: first, level: l}
		if len(part) > 1 || c.leads(first, first) && !(l.loop && first == l.entry) {
			u.inner = &flowLevel{parent: l, loop: true, nodes: map[*flowNode]bool{}, entry: c.header(l, part), id: c.newID("loop-" + first.id)}
			for _, f := range part {
				u.inner.nodes[f] = true
			}
			c.units(u.inner)
		} else {
			first.level = l
			c.members(first)
		}
		for _, f := range part {
			of[f] = u
		}
		l.units = append(l.units, u)
	}
	for _, from := range c.order {
		if !l.nodes[from] {
			continue
		}
		for i, r := range from.routes {
			to := c.nodes[r.to]
			if to == nil || !l.nodes[to] || of[from] == of[to] || l.loop && to == l.entry {
				continue
			}
			of[to].in = append(of[to].in, flowEdge{from, i})
		}
	}
	c.arrange(l, of)
}

// arrange finds out which units of a level run before others, and which surely do.
func (c *conductor) arrange(l *flowLevel, of map[*flowNode]*flowUnit) {
	done := map[*flowUnit]bool{}
	var visit func(u *flowUnit)
	visit = func(u *flowUnit) {
		if done[u] {
			return
		}
		done[u] = true
		u.after, u.sure = map[*flowUnit]bool{}, nil
		for _, e := range u.in {
			before := of[e.from]
			visit(before)
			u.after[before] = true
			sure := map[*flowUnit]bool{before: true}
			for b := range before.after {
				u.after[b] = true
			}
			for b := range before.sure {
				sure[b] = true
			}
			if u.sure == nil {
				u.sure = sure
				continue
			}
			for b := range u.sure {
				if !sure[b] {
					delete(u.sure, b)
				}
			}
		}
	}
	for _, u := range l.units {
		visit(u)
	}
}

// members makes the level of the agents of a parallel group.
func (c *conductor) members(f *flowNode) {
	if f.kind != nodeParallel {
		return
	}
	f.members = &flowLevel{parent: f.level, nodes: map[*flowNode]bool{}, id: f.id}
	for _, name := range list(get(f.at, "agents")) {
		m := c.nodes[name.Value]
		if m == nil || m.level != nil || m.kind == nodeParallel || m.kind == nodeForEach || c.reachable(f, m) {
			continue
		}
		m.level = f.members
		f.members.nodes[m] = true
		f.members.units = append(f.members.units, &flowUnit{node: m, level: f.members})
	}
}

// reachable reports whether a node is reached by routes from another, of the same level
// or one within or around it.
func (c *conductor) reachable(f, m *flowNode) bool {
	for l := f.level; l != nil; l = l.parent {
		if l.nodes[m] {
			return true
		}
	}
	return false
}

// leads reports whether a route leads from one node to another.
func (c *conductor) leads(from, to *flowNode) bool {
	return slices.ContainsFunc(from.routes, func(r flowRoute) bool { return r.to == to.name })
}

// header returns the node with which a loop begins: the first that is reached from
// outside of it.
func (c *conductor) header(l *flowLevel, part []*flowNode) *flowNode {
	if slices.Contains(part, l.entry) {
		return l.entry
	}
	for _, f := range part {
		for from := range l.nodes {
			if !slices.Contains(part, from) && c.leads(from, f) {
				return f
			}
		}
	}
	return part[0]
}

// components returns the parts of a level within which each node leads to each other,
// without the routes back to the level's own entry. Nodes are in file order.
func (c *conductor) components(l *flowLevel) [][]*flowNode {
	var (
		parts    [][]*flowNode
		index    = map[*flowNode]int{}
		low      = map[*flowNode]int{}
		on       = map[*flowNode]bool{}
		stack    []*flowNode
		position = map[*flowNode]int{}
	)
	for i, f := range c.order {
		position[f] = i
	}
	var visit func(f *flowNode)
	visit = func(f *flowNode) {
		index[f], low[f] = len(index)+1, len(index)+1
		stack, on[f] = append(stack, f), true
		for _, r := range f.routes {
			to := c.nodes[r.to]
			switch {
			case to == nil || !l.nodes[to] || l.loop && to == l.entry:
			case index[to] == 0:
				visit(to)
				low[f] = min(low[f], low[to])
			case on[to]:
				low[f] = min(low[f], index[to])
			}
		}
		if low[f] != index[f] {
			return
		}
		i := slices.Index(stack, f)
		part := slices.Clone(stack[i:])
		for _, g := range part {
			on[g] = false
		}
		stack = stack[:i]
		slices.SortFunc(part, func(a, b *flowNode) int { return position[a] - position[b] })
		parts = append(parts, part)
	}
	for _, f := range c.order {
		if l.nodes[f] && index[f] == 0 {
			visit(f)
		}
	}
	slices.SortFunc(parts, func(a, b []*flowNode) int { return position[a[0]] - position[b[0]] })
	return parts
}
