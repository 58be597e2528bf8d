package engine_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
)

// answerSize is that of the output of an item, in bytes.
const answerSize = 500

// itemLimit is what the result of a run holds for an item beside the item's output: the
// times, the usage, the cost, the key and the name of it, and its place in the lists.
const itemLimit = 800

// BenchmarkItems runs a foreach of 10,000 and of 40,000 items. It prints the time for each
// item, and the bytes that its result holds beside the output of the item, each with the
// ratio of both lists, which is 1 if nothing grows faster than the list.
func BenchmarkItems(b *testing.B) {
	for b.Loop() {
		small, large := measureItems(b, 10_000), measureItems(b, 40_000)
		b.ReportMetric(large.bytes, "B/item")
		b.ReportMetric(large.bytes/small.bytes, "B-ratio")
		b.ReportMetric(float64(large.time.Microseconds()), "us/item")
		b.ReportMetric(float64(large.time)/float64(small.time), "time-ratio")
	}
}

// TestItemsAreSmall keeps what is held for an item within its limit, and linear.
func TestItemsAreSmall(t *testing.T) {
	small, large := measureItems(t, 1000), measureItems(t, 4000)
	if large.bytes > itemLimit || large.bytes > 1.2*small.bytes {
		t.Errorf("an item of 4,000 holds %.0f bytes beside its output, one of 1,000 %.0f; want at most %d and no growth", large.bytes, small.bytes, itemLimit)
	}
}

// itemSize is what one item takes.
type itemSize struct {
	bytes float64 // held by the result beside the output
	time  time.Duration
}

func measureItems(tb testing.TB, items int) itemSize {
	wf, params := each(tb, items)
	log, err := memory.New().Create(tb.Context(), journal.Run{ID: "run_1"})
	if err != nil {
		tb.Fatal(err)
	}
	// The journal is that of an engine that writes all events; they are dropped, since a
	// store keeps them elsewhere.
	opts := engine.Options{Params: params, MaxParallel: slots, Log: dropped{log}, Execute: func(context.Context, engine.Attempt) (llm.Outcome, error) {
		return llm.Outcome{Output: strings.Repeat("a", answerSize), CostUSD: new(float64)}, nil
	}}
	before, began := heap(), time.Now()
	res, err := engine.Run(tb.Context(), wf, opts)
	took := time.Since(began)
	if err != nil || res.Status != engine.StatusCompleted || len(res.Steps["e"].Items) != items {
		tb.Fatalf("%v, %v", res.Status, err)
	}
	held := heap() - before
	runtime.KeepAlive(res)
	return itemSize{bytes: held/float64(items) - answerSize, time: took / time.Duration(items)}
}

// heap returns what is in use after a collection, in bytes.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what the first has freed of pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// dropped is a log that keeps nothing.
type dropped struct{ journal.Log }

// Append drops the events.
func (dropped) Append(...journal.Event) func() error { return func() error { return nil } }
