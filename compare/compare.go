// Package compare says whether what was measured has changed: between two
// benchmark files, two periods of history, or two runs.
//
//	report, err := compare.Compare(baseline, current, compare.Options{})
//	gate, err := compare.ParseGate("cost > +10%, p95 > +15%")
//	outcomes, err := gate.Check(report)
//
// The method is benchstat's, by its own library (golang.org/x/perf/benchmath):
// nothing is assumed about distributions, the figure is the median with its
// confidence interval, and the Mann-Whitney U-test says how probable samples so
// far apart are if nothing has changed. Four things are added, since many
// metrics are compared at once and by machines that are busy with other work:
//
//   - The level of significance holds for the whole report and not for each
//     metric: p-values are adjusted by Holm's method. Otherwise a report of 20
//     metrics at a level of 5 % would find a change where there is none in two
//     of three comparisons.
//   - A metric that has a floor, measured beside it, has changed only if it has
//     in itself and in relation to its floor: a busy machine slows both.
//   - A time of a benchmark file that changed by no more than [DefaultNoise], in
//     itself or in relation to its floor, has not changed.
//   - Percentiles of a metric are compared by a permutation test, since the
//     U-test says nothing of them.
//
// The invariant: a report is a function of the samples. Random permutations have
// a fixed seed.
package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/claude-force/claude-force/benchfile"
	"github.com/dustin/go-humanize/english"
)

// DefaultAlpha is how probable a report may be that finds a change where there
// is none.
const DefaultAlpha = 0.01

// DefaultNoise is by how much times in benchmark files may differ, as a share,
// without any change of the program. That two measurements differ by some
// percent, and reliably so, can come from no more than where things lie in memory
// (Mytkowicz et al., "Producing Wrong Data Without Doing Anything Obviously
// Wrong!", ASPLOS 2009). Criterion.rs has such a threshold too, of 1 %.
const DefaultNoise = 0.05

// LatencyMetric is the metric of which p50, p95 and p99 are taken too.
const LatencyMetric = "latency"

// Set is one side of a comparison.
type Set struct {
	Name    string // where it is from, for people
	Metrics []benchfile.Metric
	// Noise is by how much its times may differ from those of another set
	// without any change, as a share. Of two sets the larger counts.
	Noise float64
	// Unserved reports that the service gave no answer to measure: all were free or
	// in batches, or all calls failed. So there is no latency.
	Unserved bool
}

// FromFile returns what a benchmark file holds.
func FromFile(name string, f *benchfile.File) Set {
	return Set{Name: name, Metrics: f.Metrics, Noise: DefaultNoise}
}

// History gives samples of what was recorded from one moment to another, the
// second excluded, by the name of the metric: [LatencyMetric] of single calls in
// seconds; cost in US dollars, tokens, errors and cache_hit_rate for each call, as
// means of groups ([Means]), since most calls have 0; total_time in seconds and
// speedup of single runs; throughput of single hours ([Rates]).
type History interface {
	Samples(ctx context.Context, from, to time.Time) (map[string][]float64, error)
}

// recorded says what the metrics of a [History] are.
var recorded = []benchfile.Metric{
	{Name: LatencyMetric, Unit: "s", Better: benchfile.Lower},
	{Name: "cost", Unit: "USD", Better: benchfile.Lower},
	{Name: "tokens", Better: benchfile.Lower},
	{Name: "errors", Better: benchfile.Lower},
	{Name: "cache_hit_rate", Better: benchfile.Higher},
	{Name: "total_time", Unit: "s", Better: benchfile.Lower},
	{Name: "speedup", Unit: "x", Better: benchfile.Higher},
	{Name: "throughput", Unit: "1/h", Better: benchfile.Higher},
}

// ErrNoCalls reports a period in which no calls were recorded: there is nothing to
// compare, and nothing that a gate could refuse.
var ErrNoCalls = errors.New("no calls were recorded")

// FromHistory returns what was recorded in a time.
func FromHistory(ctx context.Context, h History, name string, from, to time.Time) (Set, error) {
	samples, err := h.Samples(ctx, from, to)
	if err != nil {
		return Set{}, fmt.Errorf("reading the calls of %s: %w", name, err)
	}
	set := Set{Name: name, Unserved: len(samples[LatencyMetric]) == 0}
	for _, m := range recorded {
		if m.Samples = samples[m.Name]; len(m.Samples) > 0 {
			set.Metrics = append(set.Metrics, m)
		}
	}
	if len(set.Metrics) == 0 {
		return Set{}, fmt.Errorf("%w in %s", ErrNoCalls, name)
	}
	return set, nil
}

// Options configure [Compare]. The zero value is ready.
type Options struct {
	Alpha float64 // 0 means DefaultAlpha
}

// Verdict says what became of a metric.
type Verdict string

// Verdicts.
const (
	Same   Verdict = "no significant change"
	Better Verdict = "better"
	Worse  Verdict = "worse"
)

// Side is one side of a row.
type Side struct {
	N      int      `json:"n"`
	Center float64  `json:"center"`       // median, or the percentile the row is about
	Lo     *float64 `json:"lo,omitempty"` // bounds of the confidence interval; nil with too few samples
	Hi     *float64 `json:"hi,omitempty"`
}

// Row is one metric on both sides.
type Row struct {
	Metric   string           `json:"metric"`
	Unit     string           `json:"unit,omitempty"`
	Better   benchfile.Better `json:"better"`
	Baseline Side             `json:"baseline"`
	Current  Side             `json:"current"`
	Ratio    *float64         `json:"ratio,omitempty"` // current / baseline; nil if the baseline is 0 and the current is not
	RatioLo  *float64         `json:"ratio_lo,omitempty"`
	RatioHi  *float64         `json:"ratio_hi,omitempty"`
	P        *float64         `json:"p,omitempty"`          // nil if there are too few samples for a test
	Adjusted *float64         `json:"p_adjusted,omitempty"` // for the number of metrics
	Verdict  Verdict          `json:"verdict"`
	Note     string           `json:"note,omitempty"`

	apart bool // no sample of one side lies among those of the other
	few   bool // no change could have been significant
	small bool // the change is within the noise
}

// Change returns how much more than the baseline the current figure is, 0.1 for a
// tenth; infinite if only the baseline is 0.
func (r *Row) Change() float64 {
	if r.Ratio == nil {
		return math.Inf(1)
	}
	return *r.Ratio - 1
}

// Report is a comparison.
type Report struct {
	Baseline   string   `json:"baseline"`
	Current    string   `json:"current"`
	Alpha      float64  `json:"alpha"`
	Rows       []Row    `json:"metrics"`
	OnlyBefore []string `json:"only_in_baseline,omitempty"`
	OnlyAfter  []string `json:"only_in_current,omitempty"`

	unserved bool // of one side or both
}

// ErrNothing says that two sets have no metric in common.
var ErrNothing = errors.New("the two have no metric in common")

// Compare compares what is in both sets, in the order of the baseline.
func Compare(baseline, current Set, opts Options) (*Report, error) {
	alpha := cmp.Or(opts.Alpha, DefaultAlpha)
	report := &Report{Baseline: baseline.Name, Current: current.Name, Alpha: alpha, unserved: baseline.Unserved || current.Unserved}
	noise := func(m *benchfile.Metric) float64 {
		if slices.Contains(timed, m.Unit) {
			return max(baseline.Noise, current.Noise)
		}
		return 0
	}
	var pairs []pair
	for _, before := range baseline.Metrics {
		i := slices.IndexFunc(current.Metrics, func(m benchfile.Metric) bool { return m.Name == before.Name })
		if i < 0 {
			report.OnlyBefore = append(report.OnlyBefore, before.Name)
			continue
		}
		after := current.Metrics[i]
		if before.Unit != after.Unit || before.Better != after.Better {
			return nil, fmt.Errorf("metric %s is %s, better %s, in one and %s, better %s, in the other", before.Name, unitName(before.Unit), before.Better, unitName(after.Unit), after.Better)
		}
		pairs = append(pairs, pair{name: before.Name, before: before, after: after, noise: noise(&before)})
		if before.Name == LatencyMetric {
			for _, q := range []int{50, 95, 99} {
				pairs = append(pairs, pair{name: fmt.Sprintf("p%d", q), quantile: float64(q) / 100, before: before, after: after, noise: noise(&before)})
			}
		}
	}
	for _, after := range current.Metrics {
		if !slices.ContainsFunc(baseline.Metrics, func(m benchfile.Metric) bool { return m.Name == after.Name }) {
			report.OnlyAfter = append(report.OnlyAfter, after.Name)
		}
	}
	if len(pairs) == 0 {
		return nil, ErrNothing
	}
	for _, p := range pairs {
		report.Rows = append(report.Rows, p.row(alpha))
	}
	report.judge()
	return report, nil
}

// timed are the units of what depends on time: the rest, such as cost, is the same
// whenever it is measured.
var timed = []string{"s", "x", "1/h"}

func unitName(unit string) string {
	if unit == "" {
		return "a number"
	}
	return "in " + unit
}

// judge gives each row its verdict, with p-values adjusted by Holm's method.
func (r *Report) judge() {
	var tested []*Row
	for i := range r.Rows {
		row := &r.Rows[i]
		row.Verdict = Same
		if row.P != nil {
			tested = append(tested, row)
		}
	}
	slices.SortStableFunc(tested, func(a, b *Row) int { return cmp.Compare(*a.P, *b.P) })
	adjusted := 0.0
	for i, row := range tested {
		adjusted = max(adjusted, min(1, float64(len(tested)-i)**row.P))
		row.Adjusted = new(adjusted)
		if adjusted <= r.Alpha {
			if !row.small {
				row.Verdict = row.direction()
			}
			continue
		}
		row.few = leastP(row.Baseline.N, row.Current.N)*float64(len(tested)) > r.Alpha
		if row.few && row.apart && row.Note == "" {
			row.Note = fmt.Sprintf("too few samples to tell from noise: %s compared need %d on each side", english.Plural(len(tested), "metric", ""), enough(r.Alpha/float64(len(tested))))
		}
	}
}

// direction returns what the figures say, whether it means anything or not.
func (r *Row) direction() Verdict {
	change := r.Change()
	switch {
	case change == 0:
		return Same
	case change > 0 == (r.Better == benchfile.Higher):
		return Better
	}
	return Worse
}

// Row returns the row of a metric; nil if there is none.
func (r *Report) Row(metric string) *Row {
	for i := range r.Rows {
		if r.Rows[i].Metric == metric {
			return &r.Rows[i]
		}
	}
	return nil
}

// Changed returns the rows that changed.
func (r *Report) Changed() []*Row {
	var changed []*Row
	for i := range r.Rows {
		if r.Rows[i].Verdict != Same {
			changed = append(changed, &r.Rows[i])
		}
	}
	return changed
}
