package main

import (
	"math"
	"runtime/debug"
	"runtime/metrics"

	"github.com/claude-force/claude-force/engine"
)

// manyItems is from how many items of a foreach on the memory of a run is limited.
const manyItems = 10_000

// softLimit is what the runtime of Go takes at most for such a run, unless more than two
// thirds of it are in use. The results of 100,000 items fit into that.
const softLimit = 256 << 20

// memoryLimit limits the memory of a run with very many items: without a limit the heap
// grows to twice of what is in use before it is collected. It costs no more collections
// until that is reached. GOMEMLIMIT goes before it.
type memoryLimit struct {
	on     bool
	events int   // since it is on
	limit  int64 // that is set; 0 for none
}

// observe takes in an event of a run.
func (m *memoryLimit) observe(ev engine.Event) {
	if !m.on {
		m.on = ev.Items >= manyItems && debug.SetMemoryLimit(-1) == math.MaxInt64
		if !m.on {
			return
		}
	}
	if m.events%1000 == 0 {
		m.adjust(liveHeap())
	}
	m.events++
}

// adjust sets the limit for a number of bytes that are in use. A limit near to it would
// have the heap collected without end.
func (m *memoryLimit) adjust(live int64) {
	if limit := max(softLimit, live+live/2); limit != m.limit {
		m.limit = limit
		debug.SetMemoryLimit(limit)
	}
}

// liveHeap returns how many bytes the last collection left in use.
func liveHeap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
