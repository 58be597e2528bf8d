package des_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/claude-force/claude-force/bench/capacity/des"
)

// erlangC returns the probability that a customer of an M/M/c queue waits.
func erlangC(c int, load float64) float64 {
	term, sum := 1.0, 0.0 // load^k/k!
	for k := range c {
		sum += term
		term *= load / float64(k+1)
	}
	last := term / (1 - load/float64(c))
	return last / (sum + last)
}

// poisson schedules n arrivals at a rate a second.
func poisson(s *des.Sim, rng *rand.Rand, n int, rate float64, arrive func()) {
	var next func()
	next = func() {
		if n--; n < 0 {
			return
		}
		s.After(time.Duration(rng.ExpFloat64()/rate*1e9), next)
		arrive()
	}
	next()
}

// TestErlangC compares queues of Poisson arrivals and exponential service with the
// formulas: the share that waits within 0.01, the mean wait within 5 %, the 99th percentile
// within 10 %, in 400,000 arrivals. Both kinds of station obey them.
func TestErlangC(t *testing.T) {
	t.Parallel()
	const arrivals = 400_000
	for _, c := range []struct {
		servers int
		rho     float64
	}{{1, 0.5}, {1, 0.8}, {2, 0.7}, {8, 0.8}, {32, 0.9}} {
		for _, kind := range []string{"servers", "slots"} {
			var s des.Sim
			rng := rand.New(rand.NewPCG(1, uint64(c.servers)))
			rate := c.rho * float64(c.servers) // a service takes a second in the mean
			servers, slots := des.NewServers(&s, c.servers), des.NewSlots(&s, c.servers)
			st := &servers.Station
			if kind == "slots" {
				st = &slots.Station
			}
			poisson(&s, rng, arrivals, rate, func() {
				service := time.Duration(rng.ExpFloat64() * 1e9)
				if kind == "servers" {
					servers.Serve(service, func() {})
					return
				}
				slots.Acquire(func() { s.After(service, func() { slots.Release(service) }) })
			})
			s.Drain()
			wait := erlangC(c.servers, rate)
			left := float64(c.servers) * (1 - c.rho) // the rate at which waits end
			if got := st.All.Waits.Mean().Seconds(); math.Abs(got/(wait/left)-1) > 0.05 {
				t.Errorf("%s: %d, load %.1f: mean wait %.4f, Erlang C %.4f", kind, c.servers, c.rho, got, wait/left)
			}
			if want := max(0, math.Log(wait/0.01)/left); math.Abs(st.All.Waits.Quantile(0.99).Seconds()/want-1) > 0.1 {
				t.Errorf("%s: %d, load %.1f: p99 %v, Erlang C %.4f s", kind, c.servers, c.rho, st.All.Waits.Quantile(0.99), want)
			}
			if got := st.All.Busy.Seconds() / s.Now().Seconds() / float64(c.servers); math.Abs(got-c.rho) > 0.01 {
				t.Errorf("%s: %d, load %.1f: utilisation %.3f", kind, c.servers, c.rho, got)
			}
			// The share that waits: 1 - the quantile at which waits begin.
			if q := st.All.Waits.Quantile(1 - wait - 0.01); q != 0 {
				t.Errorf("%s: %d, load %.1f: more wait than %.3f", kind, c.servers, c.rho, wait)
			}
			if q := st.All.Waits.Quantile(1 - wait + 0.01); q == 0 {
				t.Errorf("%s: %d, load %.1f: fewer wait than %.3f", kind, c.servers, c.rho, wait)
			}
			if st.All.Arrived != arrivals || st.All.Served != arrivals || st.InSystem() != 0 {
				t.Errorf("%s: %d arrived, %d served", kind, st.All.Arrived, st.All.Served)
			}
		}
	}
}

// TestLittle: the mean number in the system is the rate times the mean time in it, in
// every kind of station and at any moment at which the simulation is stopped.
func TestLittle(t *testing.T) {
	t.Parallel()
	var s des.Sim
	rng := rand.New(rand.NewPCG(2, 2))
	group := des.NewGroup(&s, 5*time.Millisecond, time.Millisecond, 16)
	limits := des.NewLimits(&s, time.Second, 95, 0)
	var inside int
	var area, before, total time.Duration
	count := func(d int) {
		area += time.Duration(inside) * (s.Now() - before)
		before = s.Now()
		inside += d
	}
	in, out := 0, 0
	poisson(&s, rng, 50_000, 90, func() {
		in++
		count(1)
		since := s.Now()
		limits.Admit([]float64{1, 1}, func() {
			group.Join(1, func() {
				out++
				count(-1)
				total += s.Now() - since
			})
		})
	})
	for _, at := range []time.Duration{time.Second, time.Minute, 5 * time.Minute} {
		s.Run(at)
		if in != out+limits.InSystem()+group.InSystem() {
			t.Errorf("at %v: %d arrived, %d left, %d and %d inside", at, in, out, limits.InSystem(), group.InSystem())
		}
	}
	s.Drain()
	if in != 50_000 || out != in || area != total {
		t.Errorf("%d arrived, %d left; customers and time %v, times inside %v", in, out, area, total)
	}
	if limits.Used[0] != 50_000 || group.Batches >= out {
		t.Errorf("used %v, %d batches", limits.Used, group.Batches)
	}
}

// TestGroupCommit: customers that come at once are one batch after the first; a batch
// takes First, and Each for every unit.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	var s des.Sim
	g := des.NewGroup(&s, 10*time.Millisecond, time.Millisecond, 4)
	var ends []time.Duration
	for range 6 {
		g.Join(2, func() { ends = append(ends, s.Now()) })
	}
	s.Drain()
	// One alone, for 12 ms; four, for 18 ms; one, for 12 ms.
	want := []time.Duration{12, 30, 30, 30, 30, 42}
	for i, w := range want {
		if len(ends) != len(want) || ends[i] != w*time.Millisecond {
			t.Fatalf("committed at %v, want %v ms", ends, want)
		}
	}
	if g.All.Busy != 42*time.Millisecond || g.Batches != 3 {
		t.Errorf("busy for %v in %d batches", g.All.Busy, g.Batches)
	}
}

// TestLimits: in no window of time do more pass than the rate and the burst allow, and
// what is offered at a higher rate passes at the limit.
func TestLimits(t *testing.T) {
	t.Parallel()
	var s des.Sim
	rng := rand.New(rand.NewPCG(3, 3))
	l := des.NewLimits(&s, 2*time.Second, 10, 1000)
	type passed struct {
		at     time.Duration
		tokens float64
	}
	var all []passed
	poisson(&s, rng, 2000, 40, func() {
		tokens := 50 + 100*rng.Float64()
		l.Admit([]float64{1, tokens}, func() { all = append(all, passed{s.Now(), tokens}) })
	})
	s.Drain()
	for i := range all {
		n, tokens := 0.0, 0.0
		for _, p := range all[i:min(i+200, len(all))] {
			n, tokens = n+1, tokens+p.tokens
			span := (p.at - all[i].at).Seconds()
			if n > 20+10*span+1e-6 || tokens > 2000+1000*span+1e-3 {
				t.Fatalf("%v requests and %v tokens passed in %v s", n, tokens, span)
			}
		}
	}
	if got := l.Used[1] / s.Now().Seconds(); got < 950 || got > 1050 {
		t.Errorf("%.0f tokens a second passed, the limit is 1000", got)
	}
}

// TestWindow: what a window counts is part of the whole.
func TestWindow(t *testing.T) {
	t.Parallel()
	var s des.Sim
	q := des.NewServers(&s, 1)
	q.SetWindow(3*time.Second, 6*time.Second)
	for i := range 10 {
		s.At(time.Duration(i)*time.Second, func() { q.Serve(500*time.Millisecond, func() {}) })
	}
	s.Drain()
	if q.Window.Arrived != 3 || q.Window.Served != 3 || q.Window.Busy != 1500*time.Millisecond || q.All.Arrived != 10 {
		t.Errorf("the window counted %+v", q.Window)
	}
}
