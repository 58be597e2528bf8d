package compare_test

import (
	"math"
	"testing"

	"github.com/claude-force/claude-force/compare"
)

func TestMeansAreThoseOfGroups(t *testing.T) {
	t.Parallel()
	if got := (&compare.Means{}).Samples(); len(got) != 0 {
		t.Errorf("the means of nothing are %v", got)
	}
	for _, n := range []int{1, 49, 50, 100, 101, 200, 202, 12_345} {
		var m compare.Means
		for i := range n {
			m.Add(float64(i % 2))
		}
		got := m.Samples()
		if len(got) < min(n, compare.MeanGroups) || len(got) > 2*compare.MeanGroups {
			t.Errorf("%d values are %d groups", n, len(got))
		}
		sum := 0.0
		for _, v := range got {
			sum += v
		}
		if mean := sum / float64(len(got)); n > 1 && math.Abs(mean-0.5) > 0.02 {
			t.Errorf("%d values, half of them 1, have a mean of %v", n, mean)
		}
	}
}
