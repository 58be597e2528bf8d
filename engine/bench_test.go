package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/engine"
)

// BenchmarkSteps measures what the engine adds to a step: a graph of n steps,
// each with two dependencies, whose work is nothing, beside n goroutines that
// send on a channel. It reports microseconds per step and the ratio of the two.
func BenchmarkSteps(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var source strings.Builder
			source.WriteString("steps:\n")
			for i := range n {
				fmt.Fprintf(&source, "- {id: s%d, agent: x, task: t", i)
				if i >= 10 {
					fmt.Fprintf(&source, ", dependencies: [s%d, s%d]", i-10, i/2)
				}
				source.WriteString("}\n")
			}
			wf := parse(b, source.String())
			nothing := func(context.Context, engine.Attempt) (engine.Answer, error) { return engine.Answer{}, nil }

			var ours, bare time.Duration
			for b.Loop() {
				start := time.Now()
				run(b.Context(), wf, engine.Options{Execute: nothing, MaxParallel: 32})
				ours += time.Since(start)

				start = time.Now()
				done := make(chan int, n)
				for i := range n {
					go func() { done <- i }()
				}
				for range n {
					<-done
				}
				bare += time.Since(start)
			}
			b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N)/float64(n)/1e3, "us/step")
			b.ReportMetric(float64(ours)/float64(bare), "x-goroutine")
		})
	}
}
