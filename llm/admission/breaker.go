package admission

import "time"

// breaker stops calls to a pool whose calls fail one after the other, and lets
// one probe at a time find out when they no longer do.
//
//	closed --Failures in a row--> open --pause--> one probe --answered--> closed
//	                               ^                  |
//	                               +--longer pause----+ failed
//
// Times are Unix nanoseconds, since processes share it through a file.
type breaker struct {
	Failures int   `json:"failures,omitzero"` // in a row, while closed
	Pauses   int   `json:"pauses,omitzero"`   // since it opened; 0 means closed
	Since    int64 `json:"since,omitzero"`    // when it opened
	Until    int64 `json:"until,omitzero"`    // end of the pause
	Probe    int64 `json:"probe,omitzero"`    // until when a probe is waited for; 0 if there is none
	Closed   int64 `json:"closed,omitzero"`   // when it last closed
}

// probeTime is how long a probe is waited for that says nothing, because its
// process died or its connection hangs.
const probeTime = time.Minute

func (b *breaker) open() bool { return b.Pauses > 0 }

// wait returns how long no call may start; 0 in an open breaker means that the next
// call is the probe.
func (b *breaker) wait(now time.Time) time.Duration {
	if !b.open() {
		return 0
	}
	return max(0, until(b.Until, now), until(b.Probe, now))
}

// failed counts a call that began at the given time.
func (b *breaker) failed(now, began time.Time, probe bool, opts *Options) {
	switch {
	case b.open() && probe:
		b.Pauses++
	case b.open() || began.UnixNano() < b.Closed:
		return // it says nothing about the time since
	default:
		if b.Failures++; b.Failures < opts.Failures {
			return
		}
		b.Pauses, b.Since = 1, now.UnixNano()
	}
	b.Probe = 0
	b.Until = now.Add(opts.pause(b.Pauses)).UnixNano()
}

// answered notes a call that the service answered, whatever with. It reports
// whether that closed the breaker, and after how many pauses.
func (b *breaker) answered(now, began time.Time, probe bool) (pauses int, closed bool) {
	if b.open() && !probe && began.UnixNano() < b.Since {
		return 0, false // an answer that began before the trouble did
	}
	pauses, closed = b.Pauses, b.open()
	*b = breaker{Closed: b.Closed}
	if closed {
		b.Closed = now.UnixNano()
	}
	return pauses, closed
}

// abandoned notes a probe that ended without telling anything.
func (b *breaker) abandoned(now time.Time, opts *Options) {
	b.Probe = 0
	b.Until = now.Add(opts.pause(1)).UnixNano()
}

// pause returns the n-th pause of an open breaker. It varies by a quarter, so that
// machines which saw the same outage do not probe together.
func (o *Options) pause(n int) time.Duration {
	d := o.Pause
	for range n - 1 {
		if d *= 2; d >= o.MaxPause {
			d = o.MaxPause
			break
		}
	}
	return time.Duration(float64(d) * (0.75 + 0.5*o.Rand()))
}

// until returns the time left up to a moment in Unix nanoseconds.
func until(moment int64, now time.Time) time.Duration {
	return time.Duration(max(0, moment-now.UnixNano()))
}
