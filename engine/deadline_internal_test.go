package engine

import (
	"testing"
	"time"
)

// A deadline holds whatever happens to the clocks: the machine sleeps, or its time of
// day is set.
func TestDeadlinePassed(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		monotonic, shown time.Duration // until the deadline, from now
		want             bool
	}{
		"there is time":  {time.Hour, time.Hour, false},
		"the time is up": {0, 0, true},
		"the machine slept, and its timers with it":       {time.Hour, -time.Minute, true},
		"the clock was set forward":                       {time.Hour, -24 * time.Hour, true},
		"the clock was set back while it waited":          {-time.Second, 24 * time.Hour, true},
		"the clock was set back, and there is still time": {time.Minute, 24 * time.Hour, false},
	} {
		if got := passed(now, now.Add(test.monotonic), now.Add(test.shown).UTC().Round(0)); got != test.want {
			t.Errorf("%s: passed is %t", name, got)
		}
	}
}
