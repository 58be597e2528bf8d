package main

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/claude-force/claude-force/engine"
)

// TestMemoryLimit limits the memory of a run with many items, of no other, and never so
// that what is in use has no room.
func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	var m memoryLimit
	m.observe(engine.Event{Items: manyItems - 1})
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("a run with few items has the limit %d", got)
	}
	m.observe(engine.Event{Items: manyItems})
	if got := debug.SetMemoryLimit(-1); got < softLimit || got == math.MaxInt64 {
		t.Errorf("a run with many items has the limit %d, want %d", got, softLimit)
	}
	for _, live := range []int64{softLimit / 2, softLimit, 4 * softLimit} {
		m.adjust(live)
		if got, want := debug.SetMemoryLimit(-1), max(softLimit, live+live/2); got != want {
			t.Errorf("the limit of a run with %d bytes in use is %d, want %d", live, got, want)
		}
	}

	debug.SetMemoryLimit(1 << 40)
	var other memoryLimit
	other.observe(engine.Event{Items: manyItems})
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("the limit of the environment became %d", got)
	}
}
