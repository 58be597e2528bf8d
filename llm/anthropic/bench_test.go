package anthropic

import (
	"slices"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

// BenchmarkStream reads an answer of 1,000 text deltas; "ns/event" is the cost
// of one of them.
func BenchmarkStream(b *testing.B) {
	b.ReportAllocs()
	events := append([]string{evStart, evText0}, slices.Repeat([]string{evHello}, 1000)...)
	body := sse(append(events, evStop0, evEnd, evStop)...)
	c := testClient(b, respond(200, body))
	req := testRequest()
	for b.Loop() {
		if _, err := llm.Collect(c.Stream(b.Context(), req)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1005), "ns/event")
}
