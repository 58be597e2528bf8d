package des

import (
	"math"
	"time"
)

// growth is how much larger each bucket of a histogram is than the one before, above
// a microsecond: quantiles are exact to half of that.
const growth = 1.02

var perBucket = 1 / math.Log(growth)

// Histogram counts durations in buckets that grow by 2 %. The zero value is empty.
type Histogram struct {
	counts []int // the first is of less than a microsecond
	n      int
	sum    time.Duration
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	i := 0
	if d >= time.Microsecond {
		i = 1 + int(math.Log(float64(d)/float64(time.Microsecond))*perBucket)
	}
	for len(h.counts) <= i {
		h.counts = append(h.counts, make([]int, i+1-len(h.counts)+32)...)
	}
	h.counts[i]++
	h.n++
	h.sum += d
}

// Count returns how many durations were counted.
func (h *Histogram) Count() int { return h.n }

// Mean returns the mean, which is exact; 0 if there is none.
func (h *Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return h.sum / time.Duration(h.n)
}

// Quantile returns the value below which the share q of durations lies; 0 if there is
// none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(h.n)))
	seen := 0
	for i, c := range h.counts {
		seen += c
		if c > 0 && seen >= rank {
			if i == 0 {
				return 0
			}
			return time.Duration(float64(time.Microsecond) * math.Exp((float64(i)-0.5)/perBucket))
		}
	}
	return 0
}

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(o *Histogram) {
	for len(h.counts) < len(o.counts) {
		h.counts = append(h.counts, 0)
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.sum += o.sum
}
