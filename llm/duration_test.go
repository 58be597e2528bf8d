package llm_test

import (
	"testing"
	"time"

	"github.com/claude-force/claude-force/llm"
)

func TestShortDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 0: "0 ms", 300 * time.Millisecond: "300 ms", 999700 * time.Microsecond: "1 s", time.Second: "1 s",
		1540 * time.Millisecond: "1.5 s", 9960 * time.Millisecond: "10 s", 31566945195: "32 s", 59600 * time.Millisecond: "1m",
		75 * time.Second: "1m15s", 2 * time.Minute: "2m", 10 * time.Minute: "10m", 100 * time.Second: "1m40s",
		time.Hour: "1h", 2*time.Hour + 5*time.Minute + 3*time.Second: "2h5m", 26 * time.Hour: "26h", 20 * time.Hour: "20h",
	} {
		if got := llm.ShortDuration(d); got != want {
			t.Errorf("%v: got %q; want %q", d, got, want)
		}
	}
}
