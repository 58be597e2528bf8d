package plan

import (
	"container/heap"
	"math"
	"time"

	"github.com/claude-force/claude-force/workflow"
)

// task is a piece of the simulated schedule: one call, or a joint between
// others, which takes neither time nor a slot.
type task struct {
	open     int // what must end before it begins
	then     []*task
	works    bool
	seconds  float64
	rank     float64 // longest path from here to the end
	serial   int
	limits   []*limit // held while it works
	takes    *limit   // of a joint that lets an item in
	gives    *limit   // of a joint that ends one
	finishes float64
}

// limit is a cap on how many of something go on at once.
type limit struct {
	most, used int
	held       []*task
}

// schedule simulates a run: the same order as the engine's, the longest
// remaining path first, then as they came.
type schedule struct {
	pick    func(Range) float64
	serial  int
	now     float64
	free    int // slots
	ready   tasks
	running tasks
	left    map[*node]float64 // live calls that have not been given out
	spread  bool              // calls of one step differ as they did before
	rank    func(*workflow.Step) time.Duration
}

// makespan is how long the nodes take in so many slots, in seconds. With spread,
// the calls of a step take as long as those before, some short, some long.
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

// fill starts what has a slot, the first in order whose limits let it.
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

// begin starts a task that nothing stands before. Joints end at once; a list and
// not a recursion, since a chain may be as long as the file.
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

// ended gives the tasks that can begin once t has ended.
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

// frame makes the tasks of a graph of steps. tail is the longest path behind it.
func (s *schedule) frame(nodes []*node, limits []*limit, tail float64) (first, last *task) {
	first, last = s.joint(), s.joint()
	remaining := remainingPaths(nodes, s.rank)
	ins, outs := map[string]*task{}, map[string]*task{}
	for _, n := range nodes {
		ins[n.step.ID], outs[n.step.ID] = s.node(n, limits, tail+remaining[n.step.ID])
	}
	idle := map[string]bool{} // what is skipped does not count for a join
	for _, n := range nodes {
		idle[n.step.ID] = s.pick(n.begun) == 0 || n.body == nil && s.pick(n.calls) == 0
	}
	for _, n := range nodes {
		in, known := ins[n.step.ID], false
		for _, id := range n.step.Dependencies {
			if out := outs[id]; out != nil && (n.step.Join == 0 || !idle[id]) {
				link(out, in)
				known = true
			}
		}
		if !known {
			link(first, in)
		}
		if join := n.step.Join; join > 0 {
			in.open = min(in.open, join)
		}
		link(outs[n.step.ID], last)
	}
	return first, last
}

// node makes the tasks of a step with all its items or iterations.
func (s *schedule) node(n *node, limits []*limit, rank float64) (in, out *task) {
	in, out = s.joint(), s.joint()
	if s.pick(n.begun) == 0 {
		link(in, out)
		return in, out
	}
	tail := max(0, rank-s.rank(n.step).Seconds())
	switch {
	case n.step.Foreach != nil:
		s.fan(n, in, out, limits, rank, tail)
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

// fan makes the tasks of a foreach.
func (s *schedule) fan(n *node, in, out *task, limits []*limit, rank, tail float64) {
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

// once makes the tasks of a step, an item or an iteration.
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
		// The time of many at once is that of the slowest.
		each = quantile(n.took, (float64(turn(all-1-count(s.left[n]), all))+0.5)/float64(all))
	}
	t.seconds = share * each
	return t, t
}

// turn is the place of the i-th of n, all of them in an order that mixes high and
// low.
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

// maxTasks bounds what is simulated of one step.
const maxTasks = 100_000

func count(v float64) int { return int(min(math.Round(v), maxTasks)) }

// remainingPaths are the longest paths from each step to the end of its graph.
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

// durations says how long each step is expected to take if it has all the slots
// it can use.
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
