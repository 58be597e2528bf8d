package analytics

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// Accuracy bounds the error of a quantile from a [Sketch], relative to the
// exact one.
const Accuracy = 0.01

// gamma is how much wider each bucket is than the one before. Taking a bucket's
// middle for what is in it is off by at most Accuracy.
const gamma = (1 + Accuracy) / (1 - Accuracy)

// logGamma is the logarithm of gamma, as 2 artanh(Accuracy).
const logGamma = 2 * (Accuracy + Accuracy*Accuracy*Accuracy/3 + Accuracy*Accuracy*Accuracy*Accuracy*Accuracy/5)

// Sketch counts durations in buckets whose bounds grow by a constant factor, as
// DDSketch does. Sketches can be added, in any order and grouping, with no loss.
// The zero value is empty.
type Sketch struct {
	counts []uint64 // counts[i] is how many are in bucket i
	n      uint64
}

// maxBuckets is more than the longest duration needs.
const maxBuckets = 2300

func bucket(d time.Duration) int {
	if d <= 1 {
		return 0
	}
	return int(math.Ceil(math.Log(float64(d)) / logGamma))
}

// Add counts a duration.
func (s *Sketch) Add(d time.Duration) { s.count(bucket(d), 1) }

func (s *Sketch) count(i int, n uint64) {
	if i >= len(s.counts) {
		s.counts = append(s.counts, make([]uint64, i+1-len(s.counts))...)
	}
	s.counts[i] += n
	s.n += n
}

// Merge adds what another has counted.
func (s *Sketch) Merge(t *Sketch) {
	for i, n := range t.counts {
		if n > 0 {
			s.count(i, n)
		}
	}
}

// Count returns how many durations were added.
func (s *Sketch) Count() int64 { return int64(s.n) }

// Quantile returns the duration that a share q of all do not exceed, from 0 to 1;
// 0 for an empty sketch.
func (s *Sketch) Quantile(q float64) time.Duration {
	if s.n == 0 {
		return 0
	}
	// The nearest rank; what is subtracted is more than the product's rounding error.
	rank := uint64(max(math.Ceil(min(max(q, 0), 1)*float64(s.n)-1e-9), 1)) - 1
	seen := uint64(0)
	for i, n := range s.counts {
		if seen += n; seen > rank {
			return time.Duration(math.Round(2 * math.Pow(gamma, float64(i)) / (gamma + 1)))
		}
	}
	return 0
}

// AppendBinary appends the sketch as varints: for each row of buckets that are
// not empty how many are skipped before it, how many it has, and their counts.
func (s *Sketch) AppendBinary(b []byte) ([]byte, error) {
	end := 0 // of the last row
	for i := 0; i < len(s.counts); i++ {
		if s.counts[i] == 0 {
			continue
		}
		row := s.counts[i:]
		if zero := slices.Index(row, 0); zero >= 0 {
			row = row[:zero]
		}
		b = binary.AppendUvarint(b, uint64(i-end))
		b = binary.AppendUvarint(b, uint64(len(row)))
		for _, n := range row {
			b = binary.AppendUvarint(b, n)
		}
		i += len(row)
		end = i
	}
	return b, nil
}

var errSketch = errors.New("a sketch of latencies is damaged")

// MergeBinary adds a sketch that AppendBinary wrote.
func (s *Sketch) MergeBinary(b []byte) error {
	next := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	for i := uint64(0); len(b) > 0; {
		gap, _ := next()
		size, ok := next()
		if !ok || gap > maxBuckets || size > maxBuckets || i+gap+size > maxBuckets {
			return errSketch
		}
		for i += gap; size > 0; size-- {
			n, ok := next()
			if !ok {
				return errSketch
			}
			s.count(int(i), n)
			i++
		}
	}
	return nil
}
