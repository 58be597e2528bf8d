package sets

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/llm"
)

// TestPeriodsHaveRunsAndHours: a day of runs of four calls, one each two hours,
// and two days in which calls take twice as long.
func TestPeriodsHaveRunsAndHours(t *testing.T) {
	t.Parallel()
	store, err := callsdb.Open(filepath.Join(t.TempDir(), "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var calls []analytics.Call
	for hour := 0; hour < 72; hour += 2 {
		took := 10 * time.Minute
		if hour >= 24 {
			took *= 2
		}
		took += time.Duration(hour) * time.Second
		c := analytics.Call{Run: fmt.Sprint(hour), Workflow: "check", Source: llm.SourceLive, Duration: took}
		for _, after := range []time.Duration{0, 0, took, took} { // two at a time
			c.Time = day.Add(time.Duration(hour)*time.Hour + after)
			calls = append(calls, c)
		}
	}
	// Work that reaches into the last day from before it, and a call outside of
	// runs.
	calls = append(calls,
		analytics.Call{Time: day.Add(47 * time.Hour), Run: "early", Source: llm.SourceLive, Duration: 80 * time.Minute},
		analytics.Call{Time: day.Add(49 * time.Hour), Source: llm.SourceLive, Duration: 15 * time.Minute})
	if err := store.Add(t.Context(), calls...); err != nil {
		t.Fatal(err)
	}
	sets := make([]compare.Set, 3)
	for i := range sets {
		from := day.AddDate(0, 0, i)
		if sets[i], err = compare.FromHistory(t.Context(), callHistory{store}, from.Format(time.DateOnly), from, from.AddDate(0, 0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	samples := map[string][]float64{}
	for _, m := range sets[2].Metrics {
		samples[m.Name] = m.Samples
	}
	// In the first hour there are four calls, of a run of 41:36 and another's last
	// 20 minutes.
	first := 4 / (time.Duration(3696) * time.Second).Hours()
	if got := samples["throughput"]; len(got) != 13 || got[0] != first || got[1] != 4 {
		t.Errorf("calls an hour were %v", got)
	}
	if got := samples["total_time"]; len(got) != 12 || got[0] != 2496 || got[11] != 2540 {
		t.Errorf("runs took %v", got)
	}
	if diff := cmp.Diff(slices.Repeat([]float64{2}, 12), samples["speedup"]); diff != "" {
		t.Error(diff)
	}

	report, err := compare.Compare(sets[0], sets[1], compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for metric, want := range map[string]compare.Verdict{"total_time": compare.Worse, "throughput": compare.Worse, "speedup": compare.Same} {
		if row := report.Row(metric); row == nil || row.Verdict != want {
			t.Errorf("%s: %+v; want %s", metric, row, want)
		}
	}
}
