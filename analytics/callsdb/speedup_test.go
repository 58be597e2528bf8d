package callsdb_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/llm"
)

// TestFreeAnswersAreNoSpeedup mixes live, cached, shared and failed calls: no run is
// faster than its slots allow, and no duration is below 0, whatever a clock said.
func TestFreeAnswersAreNoSpeedup(t *testing.T) {
	t.Parallel()
	s, n := open(t, file(t)), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		project := fmt.Sprint("/p", n) // what nothing else is of
		slots := rapid.IntRange(1, 6).Draw(t, "slots")
		var services []time.Duration
		for _, ms := range rapid.SliceOfN(rapid.IntRange(1, 60_000), 1, 20).Draw(t, "milliseconds") {
			services = append(services, time.Duration(ms)*time.Millisecond)
		}
		calls := fanOut(project, slots, services)
		live := false
		var free []analytics.Call
		for i := range calls {
			c := &calls[i]
			switch rapid.SampledFrom([]string{"live", "failed", "cached", "shared"}).Draw(t, "kind") {
			case "live":
				live = true
			case "failed":
				c.Tries = []analytics.Attempt{{Start: c.Time.Add(c.Waited), Duration: c.Service, Code: llm.CodeServer}}
				c.Source, c.Service, c.Code = "", 0, llm.CodeServer
				live = true
			case "cached":
				c.Source, c.Duration, c.Waited, c.Service = llm.SourceCache, time.Millisecond, 0, 0
			case "shared":
				c.Source, c.Service = llm.SourceCoalesced, 0
			}
			for range rapid.IntRange(0, 3).Draw(t, "more") { // needs no slot
				f := *c
				f.Code, f.Source, f.Tries, f.Service, f.Waited = 0, llm.SourceCache, nil, 0, 0
				f.Duration = rapid.SampledFrom([]time.Duration{0, time.Millisecond, -time.Second}).Draw(t, "duration")
				free = append(free, f)
			}
		}
		if err := s.Add(t.Context(), append(calls, free...)...); err != nil {
			t.Fatal(err)
		}
		got, err := s.Summary(t.Context(), analytics.Filter{Project: project})
		if err != nil {
			t.Fatal(err)
		}
		if got.Speedup != nil && *got.Speedup > float64(slots)*1.000001 || !live && got.Speedup != nil {
			t.Fatalf("%v times as fast with %d slots", *got.Speedup, slots)
		}
		for c, err := range s.Calls(t.Context(), analytics.Filter{Project: project}) {
			if err != nil || c.Duration < 0 || c.Alone < 0 {
				t.Fatalf("%v: a call of %v, alone %v", err, c.Duration, c.Alone)
			}
		}
	})
}
