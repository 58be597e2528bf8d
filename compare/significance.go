package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/aclements/go-moremath/stats"
	"golang.org/x/perf/benchmath"

	"github.com/claude-force/claude-force/benchfile"
)

// pair is a metric on both sides, or a percentile of it.
type pair struct {
	name          string
	quantile      float64 // 0 for the median and the U-test
	before, after benchfile.Metric
	noise         float64 // the share up to which a change is none
}

func (p *pair) row(alpha float64) Row {
	thresholds := benchmath.Thresholds{CompareAlpha: alpha}
	one := benchmath.NewSample(slices.Clone(p.before.Samples), &thresholds)
	two := benchmath.NewSample(slices.Clone(p.after.Samples), &thresholds)
	row := Row{Metric: p.name, Unit: p.before.Unit, Better: p.before.Better}
	row.Baseline, row.Current = p.side(one, alpha), p.side(two, alpha)
	n, m := len(one.Values), len(two.Values)
	row.apart = one.Values[n-1] < two.Values[0] || two.Values[m-1] < one.Values[0]
	row.Ratio = ratio(row.Current.Center, row.Baseline.Center)
	if p.quantile == 0 {
		row.RatioLo, row.RatioHi = ratioInterval(one.Values, two.Values, alpha)
	} else if row.Baseline.Lo != nil && row.Current.Lo != nil && row.Baseline.Hi != nil && row.Current.Hi != nil {
		row.RatioLo, row.RatioHi = ratio(*row.Current.Lo, *row.Baseline.Hi), ratio(*row.Current.Hi, *row.Baseline.Lo)
	}
	if row.few = leastP(n, m) > alpha; row.few {
		if row.Ratio == nil || *row.Ratio != 1 {
			row.Note = "too few samples to tell from noise"
		}
		return row
	}
	row.P = new(p.test(one, two))
	if *row.P <= alpha {
		p.weigh(&row, thresholds)
		row.small = row.small || math.Abs(row.Change()) <= p.noise
		if row.small && row.Note == "" {
			row.Note = fmt.Sprintf("within the %g%% of noise", 100*p.noise)
		}
	}
	return row
}

// test returns the p-value of the hypothesis that nothing has changed.
func (p *pair) test(one, two *benchmath.Sample) float64 {
	if p.quantile != 0 {
		return quantileTest(one.Values, two.Values, p.quantile)
	}
	return benchmath.AssumeNothing.Compare(one, two).P
}

// weigh asks whether a metric with a floor has changed in relation to it too.
func (p *pair) weigh(row *Row, thresholds benchmath.Thresholds) {
	if p.before.Floor == nil || p.after.Floor == nil {
		return
	}
	one := benchmath.NewSample(p.before.Ratios(), &thresholds)
	two := benchmath.NewSample(p.after.Ratios(), &thresholds)
	against := p.test(one, two)
	before, after := p.side(one, thresholds.CompareAlpha).Center, p.side(two, thresholds.CompareAlpha).Center
	if after > before != (row.Change() > 0) {
		against = 1
	}
	row.small = math.Abs(after-before) <= p.noise*before
	if against > *row.P {
		row.P = &against
		if against > thresholds.CompareAlpha {
			row.Note = "so has its floor: the machine changed, not the program"
		}
	}
}

func (p *pair) side(s *benchmath.Sample, alpha float64) Side {
	side := Side{N: len(s.Values)}
	var lo, hi float64
	if p.quantile == 0 {
		sum := benchmath.AssumeNothing.Summary(s, 1-alpha)
		side.Center, lo, hi = sum.Center, sum.Lo, sum.Hi
	} else {
		side.Center, lo, hi = stats.QuantileCI(len(s.Values), p.quantile, 1-alpha).SampleCI(stats.Sample{Xs: s.Values, Sorted: true})
	}
	if !math.IsInf(lo, 0) {
		side.Lo = &lo
	}
	if !math.IsInf(hi, 0) {
		side.Hi = &hi
	}
	return side
}

// ratio returns a/b; 1 if both are 0, nil if only b is.
func ratio(a, b float64) *float64 {
	switch {
	case b != 0:
		return new(a / b)
	case a == 0:
		return new(1.0)
	}
	return nil
}

// most is how many samples of a side an interval of ratios looks at. Of more,
// as many of their quantiles are taken.
const most = 500

// ratioInterval returns the confidence interval of the ratio between two samples:
// the ratios that the U-test would not reject, which lie between two ranks of the
// ratios of all pairs. Both must be sorted.
func ratioInterval(one, two []float64, alpha float64) (lo, hi *float64) {
	if one[0] <= 0 || two[0] < 0 {
		return nil, nil
	}
	n, m := float64(len(one)), float64(len(two))
	margin := stats.StdNormal.InvCDF(1-alpha/2) * math.Sqrt(n*m*(n+m+1)/12)
	share := (n*m/2 - margin) / (n * m) // of the pairs, below the interval and above it
	if share < 0 {
		return nil, nil
	}
	one, two = thin(one), thin(two)
	ratios := make([]float64, 0, len(one)*len(two))
	for _, a := range one {
		for _, b := range two {
			ratios = append(ratios, b/a)
		}
	}
	slices.Sort(ratios)
	k := int(share * float64(len(ratios)))
	return &ratios[k], &ratios[len(ratios)-1-k]
}

func thin(sorted []float64) []float64 {
	if len(sorted) <= most {
		return sorted
	}
	thinned := make([]float64, most)
	for i := range thinned {
		thinned[i] = sorted[(2*i+1)*len(sorted)/(2*most)]
	}
	return thinned
}

// leastP returns the least p-value that the U-test can give for samples of these
// sizes: when all of one are above all of the other.
func leastP(n, m int) float64 {
	p := 2.0
	for i := 1; i <= n; i++ {
		p *= float64(i) / float64(m+i)
	}
	return min(1, p)
}

// enough returns how many samples a side needs for a p-value as low as p.
func enough(p float64) int {
	n := 1
	for leastP(n, n) > p {
		n++
	}
	return n
}

// many is the number of samples from which a quantile's own spread says enough,
// and permutations would take long.
const many = 4000

// quantileTest returns how probable it is that a quantile of two samples is as far
// apart as it is if nothing has changed. Both must be sorted.
func quantileTest(one, two []float64, q float64) float64 {
	if len(one) > many && len(two) > many {
		return spreadTest(one, two, q)
	}
	return permute(one, two, q)
}

// spreadTest takes the quantiles as normally distributed, with the spread that
// their order statistics show.
func spreadTest(one, two []float64, q float64) float64 {
	const confidence = 0.95
	z := stats.StdNormal.InvCDF((1 + confidence) / 2)
	var difference, variance float64
	for i, xs := range [][]float64{one, two} {
		center, lo, hi := stats.QuantileCI(len(xs), q, confidence).SampleCI(stats.Sample{Xs: xs, Sorted: true})
		difference += center * float64(2*i-1)
		variance += math.Pow((hi-lo)/(2*z), 2)
	}
	if difference == 0 {
		return 1
	}
	return 2 * stats.StdNormal.CDF(-math.Abs(difference)/math.Sqrt(variance))
}

// Of permutations there are so many at most, and no more once chance alone has
// brought about as large a difference so many times: then the p-value is high,
// whatever it is.
const (
	maxRounds = 9_999
	maxHits   = 50
)

// permute lets chance decide which sample a value is in, many times, and counts
// how often the quantiles are as far apart as they are.
func permute(one, two []float64, q float64) float64 {
	all := slices.Concat(one, two)
	n := len(one)
	seen := math.Abs(quantile(slices.Clone(one), q) - quantile(slices.Clone(two), q))
	rng := rand.New(rand.NewPCG(1, uint64(len(all))))
	as, bs := make([]float64, n), make([]float64, len(two))
	hits := 0
	for round := range maxRounds {
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		copy(as, all[:n])
		copy(bs, all[n:])
		if math.Abs(quantile(as, q)-quantile(bs, q)) >= seen {
			if hits++; hits == maxHits {
				return maxHits / float64(round+1)
			}
		}
	}
	return float64(hits+1) / (maxRounds + 1) // what was seen is one of the permutations
}

// quantile sorts values.
func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return stats.Sample{Xs: values, Sorted: true}.Quantile(q)
}
