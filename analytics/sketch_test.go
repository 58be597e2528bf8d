package analytics_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/analytics"
)

// TestQuantilesWithinTheBound compares quantiles with exact ones on five
// distributions, counted in parts that are merged.
func TestQuantilesWithinTheBound(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() float64{
		"uniform":     func() float64 { return 1e6 + 1e10*rng.Float64() },
		"exponential": func() float64 { return 2e9 * rng.ExpFloat64() },
		"lognormal":   func() float64 { return math.Exp(21 + 1.2*rng.NormFloat64()) },
		"pareto":      func() float64 { return 1e8 / math.Pow(1-rng.Float64(), 1/1.5) },
		"bimodal": func() float64 {
			if rng.IntN(2) == 0 {
				return 2e5 * (1 + 0.1*rng.Float64())
			}
			return 3e9 * (1 + 0.1*rng.Float64())
		},
	} {
		var all []float64
		var merged analytics.Sketch
		for range 20 {
			var part analytics.Sketch
			for range 5000 {
				d := time.Duration(draw())
				part.Add(d)
				all = append(all, float64(d))
			}
			data, err := part.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := merged.MergeBinary(data); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(all)
		for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1} {
			exact := all[max(int(math.Ceil(q*float64(len(all)))), 1)-1]
			got := float64(merged.Quantile(q))
			// A nanosecond for rounding.
			if math.Abs(got-exact) > analytics.Accuracy*exact*(1+1e-9)+1 {
				t.Errorf("%s: quantile %g is %v; exact %v, off by %.2f %%", name, q, got, exact, 100*math.Abs(got-exact)/exact)
			}
		}
	}
}

// Of few durations too, the share asked for does not exceed a quantile, and the one
// before it is exceeded by more: of three the p95 is the longest.
func TestQuantilesOfFew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.SliceOfNDistinct(rapid.IntRange(1, 50), 1, 20, rapid.ID[int]).Draw(t, "seconds")
		percent := rapid.IntRange(1, 100).Draw(t, "percent")
		var s analytics.Sketch
		for _, n := range seconds {
			s.Add(time.Duration(n) * time.Second)
		}
		got := int(math.Round(s.Quantile(float64(percent) / 100).Seconds()))
		below, upTo := 0, 0
		for _, n := range seconds {
			if n < got {
				below++
			}
			if n <= got {
				upTo++
			}
		}
		if !slices.Contains(seconds, got) || 100*upTo < percent*len(seconds) || 100*below >= percent*len(seconds) {
			t.Fatalf("p%d of %d is %d", percent, seconds, got)
		}
	})
}

func TestSketchesMergeInAnyGrouping(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOf(rapid.Int64Range(0, math.MaxInt64)).Draw(t, "durations")
		cut := rapid.IntRange(0, len(durations)).Draw(t, "cut")
		var whole, left, right analytics.Sketch
		for i, d := range durations {
			whole.Add(time.Duration(d))
			if i < cut {
				left.Add(time.Duration(d))
			} else {
				right.Add(time.Duration(d))
			}
		}
		right.Merge(&left)
		want, _ := whole.AppendBinary(nil)
		got, _ := right.AppendBinary(nil)
		if string(got) != string(want) || right.Count() != int64(len(durations)) {
			t.Fatalf("merged parts give %x; want %x", got, want)
		}
	})
}

func TestDamagedSketches(t *testing.T) {
	t.Parallel()
	var s analytics.Sketch
	s.Add(time.Second)
	good, _ := s.AppendBinary(nil)
	for _, bad := range [][]byte{good[:len(good)-1], append(good, 0xff), {0xff, 0xff, 0xff, 0x7f, 1}} {
		if err := new(analytics.Sketch).MergeBinary(bad); err == nil {
			t.Errorf("MergeBinary(%x) gave no error", bad)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // no panic, no endless memory
		_ = new(analytics.Sketch).MergeBinary(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	})
}
