package callsdb_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// fanOut returns the calls of the run of a project over items that share some slots, as they are
// recorded: each waits until a slot is free, then the service takes its time.
func fanOut(project string, slots int, services []time.Duration) []analytics.Call {
	free := make([]time.Duration, slots) // when each slot is
	calls := make([]analytics.Call, len(services))
	for i, took := range services {
		slot := 0
		for s, at := range free {
			if at < free[slot] {
				slot = s
			}
		}
		waited := free[slot]
		free[slot] += took
		calls[i] = analytics.Call{
			Time: epoch, Project: project, Workflow: "w", Run: "run_" + project, Step: "s", Item: fmt.Sprint(i), Agent: "a" + project, Asked: "m", Model: "m", Source: llm.SourceLive,
			Duration: waited + took, Service: took, Waited: waited, FirstToken: took / 2, Attempts: 1, StopReason: "end_turn",
		}
	}
	return calls
}

func near(t *rapid.T, what string, got, want float64) {
	t.Helper()
	if got < want*(1-2*analytics.Accuracy) || got > want*(1+2*analytics.Accuracy) {
		t.Errorf("%s is %g; want %g", what, got, want)
	}
}

// TestWaitingIsNoLatency fans out over any items and slots: the latency is that of
// the service, however long calls queued, a batch does not change it, and no run is
// faster than its slots allow.
func TestWaitingIsNoLatency(t *testing.T) {
	t.Parallel()
	s, n := open(t, file(t)), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		project := fmt.Sprint("/p", n) // what nothing else is of
		slots := rapid.IntRange(1, 12).Draw(t, "slots")
		var services []time.Duration
		for _, ms := range rapid.SliceOfN(rapid.IntRange(1, 60_000), 1, 40).Draw(t, "milliseconds") {
			services = append(services, time.Duration(ms)*time.Millisecond)
		}
		var many []time.Duration // the same distribution, more items
		for range rapid.IntRange(1, 4).Draw(t, "times") {
			many = append(many, services...)
		}
		batch := analytics.Call{
			Time: epoch, Project: project, Agent: "a" + project, Asked: "m", Model: "m", Source: llm.SourceLive,
			Usage: llm.Usage{Batch: true}, Duration: 20 * time.Hour, Attempts: 1,
		}
		if err := s.Add(t.Context(), append(fanOut(project, slots, many), batch)...); err != nil {
			t.Fatal(err)
		}
		got, err := s.Summary(t.Context(), analytics.Filter{Project: project})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(services)
		if got.Latency.Count != int64(len(many)) {
			t.Errorf("%d latencies of %d answers", got.Latency.Count, len(many))
		}
		var exact analytics.Sketch
		for _, took := range services {
			exact.Add(took)
		}
		if len(services)%2 == 1 { // else two are the median
			near(t, "p50", got.Latency.P50, exact.Quantile(0.5).Seconds())
		}
		near(t, "the longest", max(got.Latency.P99, services[len(services)-1].Seconds()), services[len(services)-1].Seconds())
		if got.Speedup == nil || *got.Speedup > float64(slots)*1.000001 {
			t.Errorf("%v times as fast with %d slots", *got.Speedup, slots)
		}
	})
}
