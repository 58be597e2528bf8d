//go:build unix

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/claude-force/claude-force/analytics"
)

// percentiles compares those from sketches, merged from a thousand parts, with
// exact ones.
func percentiles() bool {
	rng := rand.New(rand.NewPCG(7, 7))
	fmt.Printf("percentiles from 1,000 merged sketches of 1,000 durations; error bound %.1f %%\n", 100*analytics.Accuracy)
	fmt.Printf("%-12s %10s %10s %10s %10s %12s\n", "distribution", "p50", "p95", "p99", "worst", "bytes")
	ok := true
	for _, d := range []struct {
		name string
		draw func() float64
	}{
		{"uniform", func() float64 { return 1e6 + 1e10*rng.Float64() }},
		{"exponential", func() float64 { return 2e9 * rng.ExpFloat64() }},
		{"log-normal", func() float64 { return math.Exp(21.5 + 0.6*rng.NormFloat64()) }},
		{"pareto", func() float64 { return 1e8 / math.Pow(1-rng.Float64(), 1/1.5) }},
		{"bimodal", func() float64 { return []float64{3e5, 3e9}[rng.IntN(2)] * (1 + 0.1*rng.Float64()) }},
	} {
		var all []time.Duration
		var sum analytics.Sketch
		for range 1000 {
			var part analytics.Sketch
			for range 1000 {
				v := time.Duration(d.draw())
				part.Add(v)
				all = append(all, v)
			}
			sum.Merge(&part)
		}
		slices.Sort(all)
		data, _ := sum.AppendBinary(nil) // never fails
		off := func(q float64) float64 {
			exact := float64(all[max(int(math.Ceil(q*float64(len(all))-1e-9)), 1)-1])
			return math.Abs(float64(sum.Quantile(q))-exact) / exact
		}
		worst := 0.0
		for i := range 1000 {
			worst = max(worst, off(float64(i)/1000))
		}
		ok = ok && worst <= analytics.Accuracy*1.0001
		fmt.Printf("%-12s %8.3f %% %8.3f %% %8.3f %% %8.3f %% %12d\n", d.name, 100*off(0.5), 100*off(0.95), 100*off(0.99), 100*worst, len(data))
	}
	fmt.Printf("the worst of all permilles is %s the bound\n", verdict(ok))
	return ok
}
