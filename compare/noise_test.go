package compare_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/compare"
)

// TestSmallChangesOfTimesAreNoise: what is significant is not a change yet, if
// it is a time and small; what is paid for does not depend on the machine.
func TestSmallChangesOfTimesAreNoise(t *testing.T) {
	t.Parallel()
	steady := func(unit string, center, floor float64) benchfile.Metric {
		m := benchfile.Metric{Name: "m", Unit: unit, Better: benchfile.Lower}
		var floors []float64
		for i := range 20 {
			m.Samples = append(m.Samples, center+float64(i)*center/1e4)
			floors = append(floors, floor)
		}
		if floor > 0 {
			m.Floor = &benchfile.Floor{What: "floor", Samples: floors}
		}
		return m
	}
	for _, tt := range []struct {
		name          string
		before, after benchfile.Metric
		noise         float64
		want          compare.Verdict
		note          string
	}{
		{"a small change", steady("s", 1, 0), steady("s", 1.04, 0), 0.05, compare.Same, "within the 5% of noise"},
		{"a large one", steady("s", 1, 0), steady("s", 1.06, 0), 0.05, compare.Worse, ""},
		{"for the better", steady("s", 1, 0), steady("s", 0.94, 0), 0.05, compare.Better, ""},
		{"no noise", steady("s", 1, 0), steady("s", 1.04, 0), 0, compare.Worse, ""},
		{"money", steady("USD", 1, 0), steady("USD", 1.01, 0), 0.05, compare.Worse, ""},
		{"little more than the floor", steady("s", 1, 0.5), steady("s", 1.08, 0.52), 0.05, compare.Same, "within the 5% of noise"},
		{"more than the floor", steady("s", 1, 0.5), steady("s", 1.08, 0.5), 0.05, compare.Worse, ""},
	} {
		// The larger of both counts.
		r, err := compare.Compare(compare.Set{Metrics: []benchfile.Metric{tt.before}, Noise: tt.noise}, compare.Set{Metrics: []benchfile.Metric{tt.after}}, compare.Options{})
		if err != nil {
			t.Fatal(err)
		}
		row := r.Row("m")
		if row.Verdict != tt.want || row.Note != tt.note || (row.Verdict == compare.Same) != strings.HasPrefix(row.Note, "within") || *row.P > compare.DefaultAlpha {
			t.Errorf("%s: %s, %q, p %v; want %s, %q", tt.name, row.Verdict, row.Note, *row.P, tt.want, tt.note)
		}
	}
	if set := compare.FromFile("a", &benchfile.File{}); set.Noise != compare.DefaultNoise {
		t.Errorf("a file has a noise of %v", set.Noise)
	}
}
