package plan

import (
	"container/heap"
	"math"
	"slices"
	"time"

	"github.com/claude-force/claude-force/workflow"
)

// task is a node of the simulated schedule: one call, or a joint between others,
// which takes neither time nor a slot.
type task struct {
	open     int // number of tasks that must end before it starts
	then     []*task
	works    bool
	seconds  float64
	rank     float64 // longest path from here to the end
	serial   int
	limits   []*limit // held while it works
	takes    *limit   // of the joint before an item
	gives    *limit   // of the joint after an item
	finishes float64
}

// limit caps how many tasks run at once.
type limit struct {
	most, used int
	held       []*task
}

// schedule simulates a run in the order of the engine: the longest remaining path
// first, then first in, first out.
type schedule struct {
	pick    func(Range) float64
	serial  int
	now     float64
	free    int // slots
	ready   tasks
	running tasks
	left    map[*node]float64 // live calls that no task has yet
	spread  bool              // vary the calls of a step like its earlier calls
	rank    func(*workflow.Step) time.Duration
}

// makespan returns how long the nodes take with that many slots, in seconds. With
// spread, the durations of a step's calls vary like those of its earlier calls.
func makespan(nodes []*node, slots int, spread bool, pick func(Range) float64) float64 {
	s := &schedule{pick: pick, spread: spread, free: max(1, slots), left: map[*node]float64{}, rank: durations(nodes)}
	s.ready.less = func(a, b *task) bool { return a.rank > b.rank || a.rank == b.rank && a.serial < b.serial }
	s.running.less = func(a, b *task) bool {
		return a.finishes < b.finishes || a.finishes == b.finishes && a.serial < b.serial
	}
	for n := range leaves(nodes) {
		s.left[n] = pick(n.live)
	}
	first, _ := s.frame(nodes, nil, 0)
	s.begin(first)
	for {
		s.fill()
		if s.running.Len() == 0 {
			return s.now
		}
		t := heap.Pop(&s.running).(*task)
		s.now = t.finishes
		s.free++
		for _, l := range t.limits {
			l.used--
		}
		s.end(t)
	}
}

// fill starts ready tasks in free slots, in order, as far as limits allow.
func (s *schedule) fill() {
	var aside []*task
	for s.free > 0 && s.ready.Len() > 0 {
		t := heap.Pop(&s.ready).(*task)
		if !t.fits() {
			aside = append(aside, t)
			continue
		}
		for _, l := range t.limits {
			l.used++
		}
		s.free--
		t.finishes = s.now + t.seconds
		heap.Push(&s.running, t)
	}
	for _, t := range aside {
		heap.Push(&s.ready, t)
	}
}

func (t *task) fits() bool {
	for _, l := range t.limits {
		if l.used >= l.most {
			return false
		}
	}
	return true
}

// begin starts a task that waits for nothing. Joints end at once. It uses a queue
// instead of recursion, since a chain may be as long as the file.
func (s *schedule) begin(t *task) {
	queue := []*task{t}
	for len(queue) > 0 {
		t, queue = queue[0], queue[1:]
		switch {
		case t.works && t.seconds > 0:
			heap.Push(&s.ready, t)
			continue
		case t.takes != nil && t.takes.used >= t.takes.most:
			t.takes.held = append(t.takes.held, t)
			continue
		case t.takes != nil:
			t.takes.used++
		}
		queue = append(queue, t.ended()...)
	}
}

func (s *schedule) end(t *task) {
	for _, next := range t.ended() {
		s.begin(next)
	}
}

// ended returns the tasks that can start after t has ended.
func (t *task) ended() []*task {
	var next []*task
	if l := t.gives; l != nil {
		l.used--
		if len(l.held) > 0 {
			next, l.held = append(next, l.held[0]), l.held[1:]
		}
	}
	for _, d := range t.then {
		if d.open--; d.open == 0 {
			next = append(next, d)
		}
	}
	return next
}

func (s *schedule) joint() *task {
	s.serial++
	return &task{serial: s.serial}
}

func link(from, to *task) {
	from.then = append(from.then, to)
	to.open++
}

// frame creates the tasks of a graph of steps. tail is the longest path after it.
func (s *schedule) frame(nodes []*node, limits []*limit, tail float64) (first, last *task) {
	first, last = s.joint(), s.joint()
	remaining := remainingPaths(nodes, s.rank)
	ins, outs := map[string]*task{}, map[string]*task{}
	for _, n := range nodes {
		ins[n.step.ID], outs[n.step.ID] = s.node(n, limits, tail+remaining[n.step.ID])
	}
	idle := map[string]bool{} // skipped steps do not count for a join
	for _, n := range nodes {
		idle[n.step.ID] = s.pick(n.starts) == 0 || n.body == nil && s.pick(n.calls) == 0
	}
	for _, n := range nodes {
		in, known := ins[n.step.ID], false
		listed, read, optional := n.step.Waits()
		some := in // what its join counts
		if n.step.Hurries() && len(read)+len(optional) > 0 {
			some = s.joint()
			link(some, in)
		}
		for _, id := range listed {
			if out := outs[id]; out != nil && (n.step.Join <= 0 || !idle[id]) {
				link(out, some)
				known = true
			}
		}
		if !known && some != in {
			link(first, some)
		}
		if n.step.Hurries() {
			some.open = min(some.open, n.step.Join)
		}
		for _, id := range slices.Concat(read, optional) {
			if out := outs[id]; out != nil {
				link(out, in)
				known = true
			}
		}
		if !known {
			link(first, in)
		}
		link(outs[n.step.ID], last)
	}
	return first, last
}

// node creates the tasks of a step with all its items or iterations.
func (s *schedule) node(n *node, limits []*limit, rank float64) (in, out *task) {
	in, out = s.joint(), s.joint()
	if s.pick(n.starts) == 0 {
		link(in, out)
		return in, out
	}
	tail := max(0, rank-s.rank(n.step).Seconds())
	switch {
	case n.step.Foreach != nil:
		s.foreach(n, in, out, limits, rank, tail)
	case n.step.Loop != nil:
		at := in
		for range count(s.pick(n.rounds)) {
			first, last := s.once(n, limits, rank, tail)
			link(at, first)
			at = last
		}
		link(at, out)
	default:
		first, last := s.once(n, limits, rank, tail)
		link(in, first)
		link(last, out)
	}
	return in, out
}

// foreach creates the tasks of a foreach.
func (s *schedule) foreach(n *node, in, out *task, limits []*limit, rank, tail float64) {
	items := count(s.pick(n.items))
	places := &limit{most: items}
	if most := n.step.Foreach.MaxParallel; most > 0 {
		places.most = most
	}
	for range items {
		enter, leave := s.joint(), s.joint()
		enter.takes, leave.gives = places, places
		first, last := s.once(n, limits, rank, tail)
		link(in, enter)
		link(enter, first)
		link(last, leave)
		link(leave, out)
	}
	if items == 0 {
		link(in, out)
	}
}

// once creates the tasks of a step, an item or an iteration.
func (s *schedule) once(n *node, limits []*limit, rank, tail float64) (first, last *task) {
	if n.body != nil {
		if most := n.step.Body.MaxParallel; most > 0 {
			limits = append([]*limit{{most: most}}, limits...)
		}
		return s.frame(n.body, limits, tail)
	}
	t := s.joint()
	share := min(1, s.left[n])
	s.left[n] -= share
	t.works, t.rank, t.limits = true, rank, limits
	each := s.pick(n.plan.Seconds)
	if all := count(s.pick(n.live)); s.spread && all > 1 && len(n.took) > 0 {
		// Parallel calls take as long as the slowest of them.
		each = quantile(n.took, (float64(turn(all-1-count(s.left[n]), all))+0.5)/float64(all))
	}
	t.seconds = share * each
	return t, t
}

// turn returns the place of the i-th of n in a permutation that mixes high and
// low values.
func turn(i, n int) int {
	step := max(1, int(0.618*float64(n)))
	for gcd(step, n) != 1 {
		step++
	}
	return (max(0, i) * step) % n
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// maxTasks bounds the simulated tasks of one step.
const maxTasks = 100_000

func count(v float64) int { return int(min(math.Round(v), maxTasks)) }

// remainingPaths returns the longest path from each step to the end of its graph,
// in seconds.
func remainingPaths(nodes []*node, cost func(*workflow.Step) time.Duration) map[string]float64 {
	wf := &workflow.Workflow{}
	for _, n := range nodes {
		wf.Steps = append(wf.Steps, n.step)
	}
	paths := make(map[string]float64, len(nodes))
	for id, d := range wf.RemainingPath(cost) {
		paths[id] = d.Seconds()
	}
	return paths
}

// durations returns a function with the expected duration of each step, if it has
// all the slots it can use.
func durations(nodes []*node) func(*workflow.Step) time.Duration {
	took := map[*workflow.Step]time.Duration{}
	cost := func(s *workflow.Step) time.Duration { return took[s] }
	var measure func(nodes []*node)
	measure = func(nodes []*node) {
		for _, n := range nodes {
			seconds := 0.0
			switch {
			case n.body != nil:
				measure(n.body)
				for _, d := range remainingPaths(n.body, cost) {
					seconds = max(seconds, d)
				}
			case n.calls.Expected > 0:
				seconds = n.plan.Seconds.Expected * min(1, n.live.Expected/n.calls.Expected)
			}
			if n.step.Foreach != nil && n.step.Foreach.MaxParallel > 0 {
				seconds *= math.Ceil(n.items.Expected / float64(n.step.Foreach.MaxParallel))
			}
			took[n.step] = time.Duration(seconds * n.rounds.Expected * float64(time.Second))
		}
	}
	measure(nodes)
	return cost
}

// tasks is a heap.
type tasks struct {
	list []*task
	less func(a, b *task) bool
}

func (t *tasks) Len() int           { return len(t.list) }
func (t *tasks) Less(i, j int) bool { return t.less(t.list[i], t.list[j]) }
func (t *tasks) Swap(i, j int)      { t.list[i], t.list[j] = t.list[j], t.list[i] }

// Push and Pop are for container/heap only.
func (t *tasks) Push(x any) { t.list = append(t.list, x.(*task)) }

// Pop removes the last element.
func (t *tasks) Pop() any {
	last := t.list[len(t.list)-1]
	t.list = t.list[:len(t.list)-1]
	return last
}
