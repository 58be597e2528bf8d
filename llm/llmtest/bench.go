package llmtest

import (
	"testing"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Bench measures what a layer adds to a call: it makes each call twice in one
// run, with the layer and without, over [Echo], which costs about a
// microsecond. It reports the ratio of the two as "x-bare" and the difference
// as "added-ns/call".
func Bench(b *testing.B, newModel func(next llm.Model) llm.Model) {
	b.Helper()
	b.ReportAllocs()
	models := [2]llm.Model{Echo{}, newModel(Echo{})}
	req := Request("How much does one more layer cost?")
	var spent [2]time.Duration
	calls := 0
	for b.Loop() {
		for i, m := range models {
			begin := time.Now()
			if _, err := llm.Collect(m.Stream(b.Context(), req)); err != nil {
				b.Fatal(err)
			}
			spent[i] += time.Since(begin)
		}
		calls++
	}
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "x-bare")
	b.ReportMetric(float64(spent[1]-spent[0])/float64(calls), "added-ns/call")
}
