package admission

import "time"

// ramp is slow start: how many calls may be in flight while little is known of
// a pool. It begins with [Options.Probes] and grows by one with each answer, which
// doubles it with each round of answers. After the service has complained
// about sharp growth it does so only up to where the half of the trouble was,
// and from there by one a round.
type ramp struct {
	Window float64 `json:"window"`
	Knee   float64 `json:"knee,omitzero"` // where doubling ends; 0 for nowhere
	Seen   int64   `json:"seen,omitzero"` // the last answer, in Unix nanoseconds
}

const (
	// idleMinutes is after how long without an answer nothing is known.
	idleMinutes = 5
	// stall is how long the window keeps calls back if none of those in flight
	// has begun to answer.
	stall     = 15 * time.Second
	maxWindow = 1e6
)

// window is how many calls may be in flight.
func (r *ramp) window(now time.Time, opts *Options) int {
	if now.UnixNano()-r.Seen > int64(idleMinutes*opts.Minute) {
		r.Window, r.Knee = float64(opts.Probes), 0
	}
	return int(max(1, r.Window))
}

// answered notes an answer to a call. A window that has kept nobody back since
// the call was sent does not grow.
func (r *ramp) answered(now time.Time, keptBack bool, opts *Options) {
	r.window(now, opts)
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
