package compare_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/claude-force/claude-force/compare"
)

func metric(name string, samples ...float64) benchfile.Metric {
	return benchfile.Metric{Name: name, Unit: "s", Better: benchfile.Lower, Samples: samples}
}

func set(name string, metrics ...benchfile.Metric) compare.Set {
	return compare.Set{Name: name, Metrics: metrics}
}

func report(t *testing.T, before, after []benchfile.Metric) *compare.Report {
	t.Helper()
	r, err := compare.Compare(set("a.json", before...), set("b.json", after...), compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func one(t *testing.T, before, after benchfile.Metric) *compare.Row {
	t.Helper()
	return &report(t, []benchfile.Metric{before}, []benchfile.Metric{after}).Rows[0]
}

// count returns n, n+1, … as samples.
func count(from float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = from + float64(i)
	}
	return out
}

// TestPValuesAreThoseOfTheUTest compares with p-values that follow from
// counting: two samples of n that do not overlap have 2/C(2n, n).
func TestPValuesAreThoseOfTheUTest(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]float64{5: 2.0 / 252, 6: 2.0 / 924, 8: 2.0 / 12870} {
		row := one(t, metric("x", count(1, n)...), metric("x", count(101, n)...))
		if row.P == nil || math.Abs(*row.P-want) > 1e-12 || row.Verdict != compare.Worse {
			t.Errorf("n=%d: p=%v, %s; want %v and worse", n, row.P, row.Verdict, want)
		}
	}
	row := one(t, metric("x", count(1, 4)...), metric("x", count(101, 4)...))
	if row.P != nil || row.Verdict != compare.Same || !strings.Contains(row.Note, "too few samples") {
		t.Errorf("4 samples cannot show a change at a level of 1 %%: %+v", row)
	}
}

func TestMediansAndIntervals(t *testing.T) {
	t.Parallel()
	before, after := count(100, 21), count(200, 21)
	row := one(t, metric("x", before...), metric("x", after...))
	if row.Baseline.Center != 110 || row.Current.Center != 210 || *row.Ratio != 210.0/110 {
		t.Errorf("medians %v and %v, ratio %v", row.Baseline.Center, row.Current.Center, *row.Ratio)
	}
	if !(*row.RatioLo < *row.Ratio && *row.Ratio < *row.RatioHi && *row.RatioLo > 1.8 && *row.RatioHi < 2.05) {
		t.Errorf("interval %v to %v about %v", *row.RatioLo, *row.RatioHi, *row.Ratio)
	}
	if *row.Baseline.Lo >= 110 || *row.Baseline.Hi <= 110 {
		t.Errorf("the median's interval is %v to %v", *row.Baseline.Lo, *row.Baseline.Hi)
	}
	slices.Reverse(before)
	if again := one(t, metric("x", before...), metric("x", after...)); *again.P != *row.P || before[0] != 120 {
		t.Error("the order of samples matters, or they were sorted in place")
	}
}

// noise returns samples about a median as benchmarks have them: a skewed spread, and
// now and then something that takes much longer.
func noise(rng *rand.Rand, median, spread float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = median * math.Exp(spread*rng.NormFloat64())
		if rng.IntN(20) == 0 {
			out[i] *= 1 + 2*rng.Float64()
		}
	}
	return out
}

// build returns what a benchmark of one build gives: metrics with and without
// floors, calls of which percentiles are taken, and figures that do not vary.
// The machine is as slow as load says.
func build(rng *rand.Rand, samples int, load, slower float64) []benchfile.Metric {
	var metrics []benchfile.Metric
	for i := range 15 {
		m := metric(string(rune('a'+i)), noise(rng, slower*math.Pow(10, float64(i%5)), 0.05+0.01*float64(i), samples)...)
		if i%3 == 0 {
			floor := noise(rng, math.Pow(10, float64(i%5))/2, 0.05, samples)
			for j := range floor {
				// What the machine does beside it slows both.
				busy := load * math.Exp(0.1*rng.NormFloat64())
				floor[j], m.Samples[j] = floor[j]*busy, m.Samples[j]*busy
			}
			m.Floor = &benchfile.Floor{What: "floor", Samples: floor}
		}
		metrics = append(metrics, m)
	}
	metrics = append(metrics, metric(compare.LatencyMetric, noise(rng, slower, 0.3, 4*samples)...))
	return append(metrics, metric("cost", slices.Repeat([]float64{0.002}, samples)...))
}

func TestOneBuildIsFoundUnchanged(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 7))
	unchanged := 0
	for range 100 {
		r := report(t, build(rng, 20, 1, 1), build(rng, 20, 1, 1))
		if len(r.Changed()) == 0 {
			unchanged++
		}
	}
	t.Logf("no change in %d of 100 comparisons of one build", unchanged)
	if unchanged < 95 {
		t.Errorf("no change in %d of 100 comparisons of one build; want 95", unchanged)
	}
}

func TestASlowDownOfAFifthIsFound(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(8, 8))
	found := 0
	for range 100 {
		before, after := build(rng, 20, 1, 1), build(rng, 20, 1, 1)
		after[1].Samples = noise(rng, 1.2*10, 0.06, 20) // of a median of 10 and a spread of 6 %
		if report(t, before, after).Row("b").Verdict == compare.Worse {
			found++
		}
	}
	t.Logf("a slow-down of 20 %% was found in %d of 100 comparisons", found)
	if found < 95 {
		t.Errorf("a slow-down of 20 %% was found in %d of 100 comparisons; want 95", found)
	}
}

// TestABusyMachineIsNoChange slows a metric and its floor alike.
func TestABusyMachineIsNoChange(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 9))
	for range 5 {
		r := report(t, build(rng, 20, 1, 1), build(rng, 20, 1.5, 1))
		row := r.Row("a")
		if row.Verdict != compare.Same || !strings.Contains(row.Note, "so has its floor") {
			t.Errorf("a machine 1.5 times as slow is taken for a change: %+v", row)
		}
		if row := report(t, build(rng, 20, 1, 1), build(rng, 20, 1.5, 1.3)).Row("a"); row.Verdict != compare.Worse {
			t.Errorf("a slow-down on a busy machine is not found: %+v", row)
		}
	}
}

// TestIntervalsHoldTheTruth checks that the interval of a ratio, of 99 %, holds
// the ratio samples were drawn with.
func TestIntervalsHoldTheTruth(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(10, 10))
	for _, n := range []int{8, 20, 600} {
		held, times := 0, 100
		if n > 100 {
			times = 40 // they take long
		}
		for range times {
			row := one(t, metric("x", noise(rng, 1, 0.2, n)...), metric("x", noise(rng, 1.3, 0.2, n)...))
			if *row.RatioLo <= 1.3 && 1.3 <= *row.RatioHi {
				held++
			}
		}
		if held < times*95/100 {
			t.Errorf("n=%d: the interval held the ratio in %d of %d", n, held, times)
		}
	}
}

func TestPercentilesAreComparedForThemselves(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 11))
	for _, n := range []int{300, 6000} { // the second by another way
		before, after := noise(rng, 1, 0.1, n), noise(rng, 1, 0.1, n)
		for i := range after {
			if i%10 == 0 {
				after[i] *= 6 // the slowest tenth is slower, the rest is as it was
			} else if i%10 == 1 {
				after[i] /= 6
			}
		}
		checkPercentiles(t, before, after)
	}
}

func checkPercentiles(t *testing.T, before, after []float64) {
	t.Helper()
	r := report(t, []benchfile.Metric{metric(compare.LatencyMetric, before...)}, []benchfile.Metric{metric(compare.LatencyMetric, after...)})
	if p50, p95 := r.Row("p50"), r.Row("p95"); p50.Verdict != compare.Same || p95.Verdict != compare.Worse {
		t.Errorf("p50 is %s (p=%v) and p95 %s (p=%v)", p50.Verdict, *p50.P, p95.Verdict, *p95.P)
	}
}

func TestDirectionsAndZeros(t *testing.T) {
	t.Parallel()
	rate := benchfile.Metric{Name: "cache_hit_rate", Better: benchfile.Higher, Samples: count(10, 10)}
	lower := rate
	lower.Samples = count(110, 10)
	if row := one(t, rate, lower); row.Verdict != compare.Better {
		t.Errorf("a higher hit rate is %s", row.Verdict)
	}
	zeros := slices.Repeat([]float64{0}, 10)
	row := one(t, metric("errors", zeros...), metric("errors", count(1, 10)...))
	if row.Ratio != nil || row.Verdict != compare.Worse {
		t.Errorf("errors from 0 are %s with a ratio of %v", row.Verdict, row.Ratio)
	}
	if row := one(t, metric("errors", zeros...), metric("errors", zeros...)); *row.Ratio != 1 || row.Verdict != compare.Same {
		t.Errorf("no errors on both sides are %+v", row)
	}
	if _, err := json.Marshal(row); err != nil {
		t.Errorf("a row with an infinite ratio has no JSON: %v", err)
	}
}

func TestWhatOnlyOneSideHas(t *testing.T) {
	t.Parallel()
	r := report(t, []benchfile.Metric{metric("x", 1), metric("old", 1)}, []benchfile.Metric{metric("new", 1), metric("x", 1)})
	if len(r.Rows) != 1 || r.OnlyBefore[0] != "old" || r.OnlyAfter[0] != "new" {
		t.Errorf("%+v", r)
	}
	if _, err := compare.Compare(set("a", metric("x", 1)), set("b", metric("y", 1)), compare.Options{}); !errors.Is(err, compare.ErrNothing) {
		t.Errorf("nothing in common: %v", err)
	}
	dollars := metric("x", 1)
	dollars.Unit = "USD"
	if _, err := compare.Compare(set("a", metric("x", 1)), set("b", dollars), compare.Options{}); err == nil {
		t.Error("seconds are compared with dollars")
	}
}

// calls is a history for tests.
type calls map[string][]float64

func (c calls) Samples(context.Context, time.Time, time.Time) (map[string][]float64, error) {
	if c == nil {
		return nil, errors.New("disk is on fire")
	}
	return c, nil
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	got, err := compare.FromHistory(t.Context(), calls{"cost": {1, 2}, "latency": {3}, "other": {4}}, "last week", time.Time{}, time.Time{})
	if err != nil || len(got.Metrics) != 2 || got.Metrics[0].Name != "latency" || got.Metrics[1].Unit != "USD" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, history := range []calls{nil, {}} {
		if _, err := compare.FromHistory(t.Context(), history, "last week", time.Time{}, time.Time{}); err == nil || !strings.Contains(err.Error(), "last week") {
			t.Errorf("%v: error %v", history, err)
		}
	}
}
