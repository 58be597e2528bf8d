package unixtime_test

import (
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/unixtime"
)

func TestUnits(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 3600)
	for name, unit := range map[string]struct {
		to   func(time.Time) int64
		from func(int64) time.Time
		size time.Duration
	}{
		"seconds": {unixtime.Seconds, unixtime.FromSeconds, time.Second},
		"millis":  {unixtime.Millis, unixtime.FromMillis, time.Millisecond},
		"nanos":   {unixtime.Nanos, unixtime.FromNanos, time.Nanosecond},
	} {
		if n := unit.to(time.Time{}); n != 0 || !unit.from(0).IsZero() {
			t.Errorf("%s: the zero time is %d, and 0 is %v", name, n, unit.from(0))
		}
		at := time.Date(2026, 3, 1, 12, 30, 15, 123456789, zone)
		if got, want := unit.from(unit.to(at)), at.UTC().Truncate(unit.size); got != want {
			t.Errorf("%s: %v is read as %v, want %v", name, at, got, want)
		}
		if n := unit.to(time.Unix(10, 0)); n != int64(10*time.Second/unit.size) {
			t.Errorf("%s: ten seconds after 1970 are %d", name, n)
		}
	}
}
