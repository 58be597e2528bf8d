package des

import (
	"math"
	"time"
)

// Stats are what a station has counted, of all of its time or of a window.
type Stats struct {
	Arrived, Served int
	Busy            time.Duration // of all servers together
	Waits           Histogram
}

// Station is what all kinds of stations have: counts of all time and of the window.
type Station struct {
	All, Window Stats
	sim         *Sim
	from, to    time.Duration
}

func newStation(s *Sim) Station { return Station{sim: s} }

// Base returns what the station has counted, of whatever kind it is.
func (st *Station) Base() *Station { return st }

// SetWindow sets the time of which Window counts apart.
func (st *Station) SetWindow(from, to time.Duration) { st.from, st.to = from, to }

// InSystem returns how many customers wait or are served.
func (st *Station) InSystem() int { return st.All.Arrived - st.All.Served }

func (st *Station) inWindow() bool { return st.sim.now >= st.from && st.sim.now < st.to }

func (st *Station) arrive() {
	st.All.Arrived++
	if st.inWindow() {
		st.Window.Arrived++
	}
}

// wait counts a wait that has ended or whose end is known.
func (st *Station) wait(d time.Duration) {
	st.All.Waits.Add(d)
	if st.inWindow() {
		st.Window.Waits.Add(d)
	}
}

func (st *Station) busy(d time.Duration) {
	st.All.Busy += d
	if st.inWindow() {
		st.Window.Busy += d
	}
}

func (st *Station) leave() {
	st.All.Served++
	if st.inWindow() {
		st.Window.Served++
	}
}

// Servers is a station of equal servers with one queue, first come, first served.
type Servers struct {
	Station
	free []time.Duration // a heap of the times at which servers are free
}

// NewServers returns a station of n servers.
func NewServers(s *Sim, n int) *Servers {
	return &Servers{Station: newStation(s), free: make([]time.Duration, n)}
}

// Serve has a customer served for the given time, and calls done then. The wait is known
// on arrival, since customers come in the order of time: it takes one event.
func (q *Servers) Serve(service time.Duration, done func()) {
	q.arrive()
	start := max(q.sim.now, q.free[0])
	q.wait(start - q.sim.now)
	q.busy(service)
	end := start + service
	// The server that is free first takes the customer: put its new time in its place.
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q.free) {
			break
		}
		if child+1 < len(q.free) && q.free[child+1] < q.free[child] {
			child++
		}
		if q.free[child] >= end {
			break
		}
		q.free[i] = q.free[child]
		i = child
	}
	q.free[i] = end
	q.sim.At(end, func() {
		q.leave()
		done()
	})
}

// Slots is a station whose customers hold a slot until they release it: worker slots,
// the lock of a row.
type Slots struct {
	Station
	free  int
	queue fifo
	Most  int // held at once
	held  int
}

// NewSlots returns a station of n slots.
func NewSlots(s *Sim, n int) *Slots { return &Slots{Station: newStation(s), free: n} }

// Acquire calls fn when a slot is held. The holder calls Release.
func (q *Slots) Acquire(fn func()) {
	q.arrive()
	if q.free == 0 {
		q.queue.push(waiting{since: q.sim.now, fn: fn})
		return
	}
	q.free--
	q.grant(waiting{since: q.sim.now, fn: fn})
}

func (q *Slots) grant(w waiting) {
	q.held++
	q.Most = max(q.Most, q.held)
	q.wait(q.sim.now - w.since)
	w.fn()
}

// Release gives back a slot that was held for the given time.
func (q *Slots) Release(held time.Duration) {
	q.busy(held)
	q.leave()
	q.held--
	if q.queue.len() > 0 {
		q.grant(q.queue.pop())
		return
	}
	q.free++
}

// Group is a station that serves who waits together, in batches: group commits. A
// batch takes First and then Each for all units of its customers.
type Group struct {
	Station
	First, Each time.Duration
	Max         int // customers of a batch
	Batches     int
	Work        func(customers int, units float64, done func()) // replaces First and Each
	queue       fifo
	running     bool
	batch       []func()
}

// NewGroup returns a station that commits in groups.
func NewGroup(s *Sim, first, each time.Duration, most int) *Group {
	return &Group{Station: newStation(s), First: first, Each: each, Max: most}
}

// Join has a customer with so many units committed with the next batch, and calls done
// then.
func (q *Group) Join(units float64, done func()) {
	q.arrive()
	q.queue.push(waiting{since: q.sim.now, fn: done, units: units})
	if !q.running {
		q.start()
	}
}

func (q *Group) start() {
	n := min(q.queue.len(), q.Max)
	q.running = n > 0
	if n == 0 {
		return
	}
	units := 0.0
	q.batch = q.batch[:0]
	for range n {
		w := q.queue.pop()
		q.wait(q.sim.now - w.since)
		units += w.units
		q.batch = append(q.batch, w.fn)
	}
	q.Batches++
	began := q.sim.now
	end := func() {
		q.busy(q.sim.now - began)
		ended := append([]func(){}, q.batch...)
		for range ended {
			q.leave()
		}
		q.start()
		for _, fn := range ended {
			fn()
		}
	}
	if q.Work != nil {
		q.Work(n, units, end)
		return
	}
	q.sim.After(q.First+time.Duration(units*float64(q.Each)), end)
}

// Limits are the rate limits of a service for one pool: each a bucket that fills at a
// rate per second and holds a burst. Customers are admitted in order, when all buckets have room.
type Limits struct {
	Station
	Rates  []float64 // a second; 0 for no limit
	bursts []float64
	level  []float64
	at     []time.Duration // of level
	last   time.Duration   // when the latest customer was admitted
	Used   []float64
}

// NewLimits returns limits with these rates a second, whose buckets hold what comes in
// the time burst and start full.
func NewLimits(s *Sim, burst time.Duration, rates ...float64) *Limits {
	l := &Limits{Station: newStation(s), Rates: rates}
	for _, r := range rates {
		l.bursts = append(l.bursts, r*burst.Seconds())
	}
	l.level = append([]float64(nil), l.bursts...)
	l.at, l.Used = make([]time.Duration, len(rates)), make([]float64, len(rates))
	return l
}

// Admit calls fn when every bucket has its cost. A cost larger than its bucket waits
// for a full one and leaves a debt.
func (l *Limits) Admit(costs []float64, fn func()) {
	l.arrive()
	at := max(l.sim.now, l.last)
	for i, r := range l.Rates {
		if r == 0 {
			continue
		}
		need := min(costs[i], l.bursts[i]) - l.level[i]
		if need > 0 {
			at = max(at, l.at[i]+time.Duration(math.Ceil(need/r*1e9)))
		}
	}
	for i, r := range l.Rates {
		if r == 0 {
			continue
		}
		l.level[i] = min(l.bursts[i], l.level[i]+r*(at-l.at[i]).Seconds()) - costs[i]
		l.at[i] = at
		l.Used[i] += costs[i]
	}
	l.last = at
	l.wait(at - l.sim.now)
	l.sim.At(at, func() {
		l.leave()
		fn()
	})
}

type waiting struct {
	since time.Duration
	fn    func()
	units float64
}

// fifo is a queue in a ring.
type fifo struct {
	ring []waiting
	head int
	n    int
}

func (f *fifo) len() int { return f.n }

func (f *fifo) push(w waiting) {
	if f.n == len(f.ring) {
		grown := make([]waiting, max(8, 2*f.n))
		for i := range f.n {
			grown[i] = f.ring[(f.head+i)%len(f.ring)]
		}
		f.ring, f.head = grown, 0
	}
	f.ring[(f.head+f.n)%len(f.ring)] = w
	f.n++
}

func (f *fifo) pop() waiting {
	w := f.ring[f.head]
	f.ring[f.head] = waiting{}
	f.head = (f.head + 1) % len(f.ring)
	f.n--
	return w
}
