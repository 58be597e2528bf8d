package llm

import (
	"strconv"
	"strings"
	"time"
)

// ShortDuration returns a duration as people read it: 300 ms, 1.5 s, 32 s, 1m15s,
// 2h5m.
func ShortDuration(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 999500*time.Microsecond:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	case d < 9950*time.Millisecond:
		return strings.TrimSuffix(strconv.FormatFloat(d.Seconds(), 'f', 1, 64), ".0") + " s"
	case d < 59500*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 0, 64) + " s"
	case d < time.Hour-time.Second/2:
		return trimZero(d.Round(time.Second).String(), "0s")
	}
	return trimZero(strings.TrimSuffix(d.Round(time.Minute).String(), "0s"), "0m")
}

// trimZero cuts a last unit of zero: 2m for 2m0s.
func trimZero(text, zero string) string {
	cut, ok := strings.CutSuffix(text, zero)
	if !ok || cut == "" || cut[len(cut)-1] >= '0' && cut[len(cut)-1] <= '9' {
		return text
	}
	return cut
}
