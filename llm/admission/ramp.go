package admission

import (
	"math"
	"time"
)

// ramp is slow start: how many calls may be in flight while little is known of
// a pool. It starts with [Options.InitialWindow] and grows by one with each
// answer, which doubles it with each round of answers. After the service has
// complained about sharp growth it does so only up to half of what was in
// flight then, and from there by one a round.
type ramp struct {
	Window float64 `json:"window"`
	Start  float64 `json:"start,omitzero"` // the largest window that it started with
	Knee   float64 `json:"knee,omitzero"`  // where doubling ends; 0 for nowhere
	Seen   int64   `json:"seen,omitzero"`  // the last answer, in Unix nanoseconds
}

const (
	// idleMinutes is after how long without an answer nothing is known.
	idleMinutes = 5
	// stall is how long the window keeps calls back if none of those in flight
	// has started to answer.
	stall     = 15 * time.Second
	maxWindow = 1e6

	// burstShare is the part of a minute's requests that may go at once at the
	// start: the service counts by the minute and may enforce less than one.
	burstShare = 0.1
	// smallBurst is how many may go at once whatever the limit. The pool's
	// buckets still hold back what exceeds it.
	smallBurst = 10
)

// initialWindow returns how many calls may be in flight at first in a pool with
// a limit of requests a minute; 0 means that none is known.
func (o *Options) initialWindow(requests float64) float64 {
	start := float64(o.InitialWindow)
	if requests <= 0 {
		return start
	}
	return min(start, max(smallBurst, math.Floor(requests*burstShare)))
}

// window returns how many calls may be in flight. A process that allows more at
// first than those before it raises the window, unless the service complained
// or failed since.
func (r *ramp) window(now time.Time, requests float64, opts *Options) int {
	start := opts.initialWindow(requests)
	switch {
	case now.UnixNano()-r.Seen > int64(idleMinutes*opts.Minute):
		r.Window, r.Start, r.Knee = start, start, 0
	case start > r.Start && r.Knee == 0 && r.Window >= r.Start:
		r.Window, r.Start = max(r.Window, start), start
	}
	return int(max(1, r.Window))
}

// answered notes an answer to a call. A window that has delayed no call since
// the call was sent does not grow.
func (r *ramp) answered(now time.Time, keptBack bool, requests float64, opts *Options) {
	r.window(now, requests, opts)
	r.Seen = now.UnixNano()
	switch {
	case !keptBack:
	case r.Knee > 0 && r.Window >= r.Knee:
		r.Window = min(maxWindow, r.Window+1/r.Window)
	default:
		r.Window = min(maxWindow, r.Window+1)
	}
}

// halve makes the window half of what is in flight.
func (r *ramp) halve(inFlight int) {
	r.Window = max(1, min(r.Window, float64(inFlight))/2)
	r.Knee = r.Window
}
