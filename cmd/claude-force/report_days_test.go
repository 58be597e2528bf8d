package main

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
)

// TestTimeWithoutCallsIsShown: an axis has every day, week or month from the first to
// the last, in their order, and 0 for those without calls.
func TestTimeWithoutCallsIsShown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		by := rapid.SampledFrom([]analytics.Dimension{analytics.ByDay, analytics.ByWeek, analytics.ByMonth}).Draw(t, "by")
		days := rapid.SliceOfN(rapid.IntRange(0, 1500), 1, 12).Draw(t, "days")
		slices.Sort(days)
		var l series
		var starts []time.Time
		for _, n := range days {
			start := by.StartOf(time.Date(2023, time.November, 20+n, 0, 0, 0, 0, time.UTC))
			if len(starts) > 0 && starts[len(starts)-1].Equal(start) {
				continue
			}
			starts = append(starts, start)
			l.labels, l.values = append(l.labels, by.Label(start)), append(l.values, float64(len(starts)))
		}
		full := l.withEmpty()
		at, value := starts[0], 1.0
		for i, label := range full.labels {
			if want := by.Label(at); label != want {
				t.Fatalf("label %d is %s; want %s", i, label, want)
			}
			switch {
			case slices.ContainsFunc(starts, at.Equal):
				if full.values[i] != value {
					t.Fatalf("%s has %v; want %v", label, full.values[i], value)
				}
				value++
			case full.values[i] != 0:
				t.Fatalf("%s has %v, without calls", label, full.values[i])
			}
			at = by.Next(at)
		}
		if last := full.labels[len(full.labels)-1]; last != l.labels[len(l.labels)-1] {
			t.Fatalf("the axis ends with %s", last)
		}
	})
	for _, labels := range [][]string{{"a", "b"}, {"2026-01-02", "2026-01-01"}, {"2026-01-02", "2026-02"}, {"2026-W01", "2026-W60"}, {"2026-W54"}} {
		l := series{labels: labels, values: make([]float64, len(labels))}
		if got := l.withEmpty(); !slices.Equal(got.labels, labels) {
			t.Errorf("%v became %v", labels, got.labels)
		}
	}
}
