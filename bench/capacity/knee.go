//go:build linux

package main

import "time"

// Knee is the busiest moment at a multiple of the load.
type Knee struct {
	Multiple    float64 `json:"multiple"`
	Calls       float64 `json:"calls_per_second"`
	OverheadP50 float64 `json:"overhead_p50_s"`
	OverheadP99 float64 `json:"overhead_p99_s"`
	Backlog     int     `json:"transactions_under_way"` // at its end
}

// kneeTime is how long the busiest moment lasts.
const kneeTime = 10 * time.Second

// knees simulates the busiest moment at multiples around that at which the first store bends,
// with processes, machines and limits that have grown alike: below it, what is added
// to a call hardly changes; above it, it grows for as long as the moment lasts.
func knees(w Workload, c constants, seed uint64, r *Result) []Knee {
	first := 0.0
	for _, s := range r.Resources {
		if s.Shared && s.Bends > 0 {
			first = s.Bends
			break
		}
	}
	var all []Knee
	for _, share := range []float64{1 / first, 0.5, 0.8, 1.2} {
		all = append(all, knee(w, c, seed, share*first))
	}
	return all
}

func knee(w Workload, c constants, seed uint64, multiple float64) Knee {
	w.Calls *= multiple * w.peakMean()
	w.PeakFactor = 1
	grow := func(n int) int { return max(1, int(float64(n)*max(1, multiple)+0.5)) }
	w.Workers, w.Machines, w.Pools = grow(w.Workers), grow(w.Machines), grow(w.Pools)
	m := newModel(w, c, seed)
	m.from, m.to = 0, kneeTime
	flat := func(time.Duration) float64 { return 1 }
	m.arrive(flat, kneeTime)
	m.sim.Run(kneeTime)
	backlog := m.pgConns.InSystem()
	m.sim.Drain()
	return Knee{Multiple: multiple, Calls: w.Calls / day.Seconds(), OverheadP50: m.overhead.Quantile(0.5).Seconds(), OverheadP99: m.overhead.Quantile(0.99).Seconds(), Backlog: backlog}
}

// peakMean returns the mean rate of the busiest hour, to that of the day.
func (w *Workload) peakMean() float64 {
	curve := w.curve()
	from, to := w.peak()
	sum, n := 0.0, 0
	for at := from; at < to; at += time.Minute {
		sum += curve(at)
		n++
	}
	return sum / float64(n)
}
