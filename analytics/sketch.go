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

// mostBuckets is more than the longest duration needs.
const mostBuckets = 2300

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

// Count is how many durations were added.
func (s *Sketch) Count() int64 { return int64(s.n) }

// Quantile is the duration that a share q of all do not exceed, from 0 to 1;
// 0 for an empty sketch.
func (s *Sketch) Quantile(q float64) time.Duration {
	if s.n == 0 {
		return 0
	}
	rank := uint64(min(max(q, 0), 1) * float64(s.n-1))
	seen := uint64(0)
	for i, n := range s.counts {
		if seen += n; seen > rank {
			return time.Duration(math.Round(2 * math.Pow(gamma, float64(i)) / (gamma + 1)))
		}
	}
	return 0
}

// AppendBinary appends the sketch, for each bucket that is not empty how many
// are skipped before it and its count, as varints.
func (s *Sketch) AppendBinary(b []byte) ([]byte, error) {
	next := 0
	for i, n := range s.counts {
		if n > 0 {
			b = binary.AppendUvarint(b, uint64(i-next))
			b = binary.AppendUvarint(b, n)
			next = i + 1
		}
	}
	return b, nil
}

var errSketch = errors.New("a sketch of latencies is damaged")

// MergeBinary adds a sketch that AppendBinary wrote.
func (s *Sketch) MergeBinary(b []byte) error {
	for i := 0; len(b) > 0; i++ {
		gap, n := binary.Uvarint(b)
		if n <= 0 || gap > mostBuckets {
			return errSketch
		}
		count, m := binary.Uvarint(b[n:])
		if i += int(gap); m <= 0 || i > mostBuckets {
			return errSketch
		}
		s.count(i, count)
		b = b[n+m:]
	}
	return nil
}

// Clone is a copy that can be changed without the original seeing it.
func (s *Sketch) Clone() *Sketch { return &Sketch{counts: slices.Clone(s.counts), n: s.n} }
