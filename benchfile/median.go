package benchfile

import "slices"

// Median returns the middle of the samples, or the mean of the two in the middle; 0
// without samples.
func Median(samples []float64) float64 {
	n := len(samples)
	if n == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Ratios returns the samples in units of their floor's; nil without a floor.
func (m *Metric) Ratios() []float64 {
	if m.Floor == nil {
		return nil
	}
	ratios := make([]float64, len(m.Samples))
	for i, v := range m.Samples {
		ratios[i] = v / m.Floor.Samples[i]
	}
	return ratios
}

// Ratio returns the median of [Metric.Ratios]; 0 without a floor.
func (m *Metric) Ratio() float64 { return Median(m.Ratios()) }

// With returns s with what t has measured.
func (s Summary) With(t Summary) Summary {
	for _, field := range []struct{ to, from **float64 }{
		{&s.WorkflowTimeBefore, &t.WorkflowTimeBefore}, {&s.WorkflowTimeAfter, &t.WorkflowTimeAfter}, {&s.Speedup, &t.Speedup},
		{&s.CostBefore, &t.CostBefore}, {&s.CostAfter, &t.CostAfter}, {&s.CostSavings, &t.CostSavings},
		{&s.CacheHitRate, &t.CacheHitRate}, {&s.ThroughputBefore, &t.ThroughputBefore}, {&s.ThroughputAfter, &t.ThroughputAfter},
	} {
		if *field.from != nil {
			*field.to = *field.from
		}
	}
	return s
}
