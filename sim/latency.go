package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"
)

// Latency specifies how long answers take. The zero value means no time.
type Latency struct {
	fixed     time.Duration
	realistic bool
}

// Fixed makes every answer take d, from the request to its last byte.
func Fixed(d time.Duration) Latency { return Latency{fixed: d} }

// Realistic draws the time to the first token and the tokens per second from
// lognormal distributions. Smaller models are faster. The medians are of the
// order that users of the real API report; they promise nothing about it.
func Realistic() Latency { return Latency{realistic: true} }

// ParseLatency returns the latency that a text names: realistic, instant or a duration
// such as 1s.
func ParseLatency(text string) (Latency, error) {
	switch text {
	case "instant", "":
		return Latency{}, nil
	case "realistic":
		return Realistic(), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return Latency{}, fmt.Errorf("latency %q is none of realistic, instant and a duration such as 1s", text)
	}
	return Fixed(d), nil
}

// pace holds one answer's timing.
type pace struct {
	first time.Duration // until its first event
	whole time.Duration // until its last event
}

// speeds holds the medians of [Realistic] by model line, in seconds and tokens
// per second.
var speeds = map[string]struct{ first, perSecond float64 }{
	"haiku":  {0.45, 170},
	"sonnet": {0.80, 90},
	"opus":   {1.10, 70},
	"fable":  {1.40, 60},
	"mythos": {1.60, 50},
}

// pace draws the timing of an answer of a model of the given line.
func (s *Server) pace(line string, body []byte, a *answer) pace {
	l := s.opts.Latency
	if a.latency != nil {
		l = Fixed(*a.latency)
	}
	scale := func(d float64) time.Duration { return time.Duration(d * s.opts.TimeScale) }
	if !l.realistic {
		return pace{first: scale(float64(l.fixed) / 10), whole: scale(float64(l.fixed))}
	}
	h := fnv.New64a()
	h.Write(body)
	rng := rand.New(rand.NewPCG(s.opts.Seed, h.Sum64()))
	speed, ok := speeds[line]
	if !ok {
		speed = speeds["sonnet"]
	}
	first := speed.first * math.Exp(0.30*rng.NormFloat64()) * float64(time.Second)
	rest := float64(a.output) / (speed.perSecond * math.Exp(0.15*rng.NormFloat64())) * float64(time.Second)
	return pace{first: scale(first), whole: scale(first + rest)}
}

// waitUntil waits until the given time. It returns false if the client
// disconnects first.
func waitUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
