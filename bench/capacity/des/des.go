// Package des is a discrete-event simulation of queues: a virtual clock, and stations
// at which customers wait for servers, slots, group commits and rate limits. The same
// calls in the same order give the same result to the nanosecond.
package des

import "time"

// Sim is a virtual clock with what is to happen. The zero value starts at time 0.
type Sim struct {
	now    time.Duration
	events []event // a heap with four children each
	seq    uint64
	fired  uint64
}

type event struct {
	at  time.Duration
	seq uint64 // ties are broken by the order of scheduling
	fn  func()
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// Now returns the virtual time.
func (s *Sim) Now() time.Duration { return s.now }

// Fired returns how many events have happened.
func (s *Sim) Fired() uint64 { return s.fired }

// At schedules fn. A time that has passed means now.
func (s *Sim) At(at time.Duration, fn func()) {
	s.seq++
	e := event{max(at, s.now), s.seq, fn}
	s.events = append(s.events, e)
	i := len(s.events) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(s.events[parent]) {
			break
		}
		s.events[i] = s.events[parent]
		i = parent
	}
	s.events[i] = e
}

// After schedules fn for d from now.
func (s *Sim) After(d time.Duration, fn func()) { s.At(s.now+d, fn) }

// Run lets things happen until nothing is scheduled before the given time, and sets
// the clock to it.
func (s *Sim) Run(until time.Duration) {
	for len(s.events) > 0 && s.events[0].at < until {
		s.next()
	}
	s.now = max(s.now, until)
}

// Drain lets things happen until nothing is scheduled.
func (s *Sim) Drain() {
	for len(s.events) > 0 {
		s.next()
	}
}

func (s *Sim) next() {
	first := s.events[0]
	n := len(s.events) - 1
	last := s.events[n]
	s.events[n] = event{}
	s.events = s.events[:n]
	if n > 0 {
		s.sink(last)
	}
	s.now = first.at
	s.fired++
	first.fn()
}

// sink puts an event in the place of the first one and lets it sink to its own.
func (s *Sim) sink(e event) {
	i, n := 0, len(s.events)
	for {
		child := 4*i + 1
		if child >= n {
			break
		}
		least := child
		for c := child + 1; c < min(child+4, n); c++ {
			if s.events[c].before(s.events[least]) {
				least = c
			}
		}
		if !s.events[least].before(e) {
			break
		}
		s.events[i] = s.events[least]
		i = least
	}
	s.events[i] = e
}
