package runs

import "testing"

// SetSummaryFrom sets from how many units on a run is summed up, for the time of a test.
func SetSummaryFrom(t *testing.T, units int) {
	was := summaryFrom
	summaryFrom = units
	t.Cleanup(func() { summaryFrom = was })
}

// Kept returns how many runs a reader keeps, and the bytes of their events.
func Kept(r *Reader) (n int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.known), r.bytes
}
