package runs

import "testing"

// SetSummaryFrom sets from how many units on a run is summed up, for the time of a test.
func SetSummaryFrom(t *testing.T, units int) {
	was := summaryFrom
	summaryFrom = units
	t.Cleanup(func() { summaryFrom = was })
}
