package sim_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/sim"
)

func TestFixedLatencyIsExact(t *testing.T) {
	for _, stream := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{Latency: sim.Fixed(time.Second)})
			start := time.Now()
			var calls sync.WaitGroup
			for i := range 3 {
				calls.Go(func() {
					post(t, server, fmt.Sprintf(`{"model":"claude-haiku-5-5","max_tokens":500,"stream":%t,"messages":[{"role":"user","content":"task %d"}]}`, stream, i))
				})
			}
			calls.Wait()
			if took := time.Since(start); took != time.Second {
				t.Errorf("stream %t: three calls at once took %v; want 1s", stream, took)
			}
			if s := server.Stats(); s.MaxInFlight != 3 || s.InFlight != 0 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestTimeScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(scale float64) time.Duration {
			start := time.Now()
			post(t, sim.New(sim.Options{Latency: sim.Realistic(), TimeScale: scale}), `{"model":"claude-sonnet-5-5","max_tokens":500,"messages":[{"role":"user","content":"x"}]}`)
			return time.Since(start)
		}
		whole, tenth := took(1), took(0.1)
		if whole < 500*time.Millisecond || whole > time.Minute || (whole-10*tenth).Abs() > time.Microsecond {
			t.Errorf("took %v, and scaled by a tenth %v", whole, tenth)
		}
	})
}
