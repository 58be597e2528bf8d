package cachedb_test

import (
	"flag"
	"testing"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cache/cachedb"
)

var benchEntries = flag.Int("entries", 1000, "answers in the store that BenchmarkHit reads from")

// BenchmarkHit measures a hit beside a map lookup and a copy of the answer, in
// turn in one loop.
func BenchmarkHit(b *testing.B) {
	s := open(b, file(b), cachedb.Options{MaxBytes: 1 << 40})
	held := map[llm.Key]*llm.Response{}
	for n := range *benchEntries {
		e := entry(n)
		put(b, s, e)
		held[e.Key] = e.Response
	}
	var hit, bare time.Duration
	n := 0
	for b.Loop() {
		n++
		key := entry(n * 7919 % *benchEntries).Key
		start := time.Now()
		if _, err := s.Get(b.Context(), key, time.Time{}); err != nil {
			b.Fatal(err)
		}
		hit += time.Since(start)
		start = time.Now()
		if held[key].Clone() == nil {
			b.Fatal("not held")
		}
		bare += time.Since(start)
	}
	b.ReportMetric(float64(hit.Microseconds())/float64(b.N), "us/hit")
	b.ReportMetric(float64(hit)/float64(bare), "x-map")
}
