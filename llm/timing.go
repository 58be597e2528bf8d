package llm

import (
	"slices"
	"time"
)

// Timing splits the time that calls took into waiting and the service's own
// time. All fields are 0 if nothing was measured, as for an answer that was not
// live, for a message batch, and in journals of earlier versions.
type Timing struct {
	// WaitedSeconds is how long no request was in flight: for a slot, a limit, a
	// budget, a prefix that another call writes, and between attempts.
	WaitedSeconds float64 `json:"waited_seconds,omitzero"`
	// FirstTokenSeconds is how long the service took until the first piece of the
	// first answer.
	FirstTokenSeconds float64 `json:"first_token_seconds,omitzero"`
	// ServiceSeconds is how long the service took for its answers. Attempts that
	// got none are left out.
	ServiceSeconds float64 `json:"service_seconds,omitzero"`
	// InFlight is when requests were in flight, whatever came of them, in order
	// and without overlaps. A sum over several steps has none.
	InFlight []Span `json:"in_flight,omitempty"`
}

// Span is a stretch of time, measured from the start of the work that it is part
// of.
type Span struct {
	AtSeconds float64 `json:"at_seconds"`
	Seconds   float64 `json:"seconds"`
}

// Measured reports whether anything was measured.
func (t Timing) Measured() bool {
	return t.WaitedSeconds > 0 || t.ServiceSeconds > 0 || len(t.InFlight) > 0
}

// LatencySeconds returns the service time, or took if it was not measured: of
// steps in journals of earlier versions nothing else is known.
func (t Timing) LatencySeconds(took float64) float64 {
	if t.ServiceSeconds > 0 {
		return t.ServiceSeconds
	}
	return took
}

// AddLater returns the sum of t and a later part of the same work.
func (t Timing) AddLater(later Timing) Timing {
	sum := t.AddApart(later)
	if sum.FirstTokenSeconds = t.FirstTokenSeconds; sum.FirstTokenSeconds == 0 {
		sum.FirstTokenSeconds = later.FirstTokenSeconds
	}
	sum.InFlight = slices.Clone(t.InFlight)
	for _, s := range later.InFlight {
		sum.addSpan(s)
	}
	return sum
}

// AddApart returns the sum of t and the timing of other work, which may have run
// at the same time: it has neither a first token nor spans.
func (t Timing) AddApart(other Timing) Timing {
	return Timing{WaitedSeconds: t.WaitedSeconds + other.WaitedSeconds, ServiceSeconds: t.ServiceSeconds + other.ServiceSeconds}
}

// Shift returns t with its spans moved to a time that began earlier by d.
func (t Timing) Shift(d time.Duration) Timing {
	t.InFlight = slices.Clone(t.InFlight)
	for i := range t.InFlight {
		t.InFlight[i].AtSeconds += d.Seconds()
	}
	return t
}

// addSpan adds a stretch of time, merged with those that it touches.
func (t *Timing) addSpan(s Span) {
	const touching = 1e-6
	at, _ := slices.BinarySearchFunc(t.InFlight, s, func(a, b Span) int {
		switch {
		case a.AtSeconds < b.AtSeconds:
			return -1
		case a.AtSeconds > b.AtSeconds:
			return 1
		}
		return 0
	})
	t.InFlight = slices.Insert(t.InFlight, at, s)
	merged := t.InFlight[:1]
	for _, next := range t.InFlight[1:] {
		last := &merged[len(merged)-1]
		if end := last.AtSeconds + last.Seconds; next.AtSeconds <= end+touching {
			last.Seconds = max(end, next.AtSeconds+next.Seconds) - last.AtSeconds
			continue
		}
		merged = append(merged, next)
	}
	t.InFlight = merged
}
