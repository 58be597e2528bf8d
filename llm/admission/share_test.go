package admission_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

func TestLimitedSuiteShared(t *testing.T) {
	t.Parallel()
	llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
		return admission.NewLimited(next, admission.NewGate(1), admission.NewLimiter(admission.Options{Shared: admission.NewLocal("", "")}))
	})
}

// server is a shared store that can fail, and that loses what it knew when it does.
type server struct {
	mu    sync.Mutex
	store *admission.Local
	down  bool
	asked atomic.Int64
}

func newServer() *server { return &server{store: admission.NewLocal("", "")} }

var errDown = errors.New("down")

func (s *server) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.store = down, admission.NewLocal("", "")
}

func (s *server) up() (*admission.Local, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked.Add(1)
	if s.down {
		return nil, errDown
	}
	return s.store, nil
}

func (s *server) Apply(ctx context.Context, pool string, known admission.Known, op admission.Op) (admission.View, error) {
	store, err := s.up()
	if err != nil {
		return admission.View{}, err
	}
	<-time.After(time.Millisecond) // the network
	return store.Apply(ctx, pool, known, op)
}

func (s *server) Pools(ctx context.Context) ([]string, error) {
	store, err := s.up()
	if err != nil {
		return nil, err
	}
	return store.Pools(ctx)
}

func (s *server) Reset(ctx context.Context, pool string) ([]string, error) {
	store, err := s.up()
	if err != nil {
		return nil, err
	}
	return store.Reset(ctx, pool)
}

// fleet makes calls of several processes on a simulator until it has answered them all.
type fleet struct {
	processes, calls, width int
	minute                  time.Duration
	shared                  admission.Shared
}

func (f *fleet) run(t *testing.T, server *sim.Server) {
	var wg sync.WaitGroup
	for process := range f.processes {
		limits := steady(admission.Options{Shared: f.shared, Minute: f.minute, InitialWindow: 8})
		model := over(t, server, admission.NewGate(f.width), limits)
		wg.Go(func() {
			all(t.Context(), t, model, f.calls/f.processes, func(i int) *llm.Request {
				return llmtest.Request(fmt.Sprint("process ", process, " number ", i))
			})
		})
	}
	wg.Wait()
}

// TestSharedLimitsAreUsed has eight processes share a limit: next to all of it is used,
// and next to nothing refused.
func TestSharedLimitsAreUsed(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]sim.Limits{
		"requests": {RequestsPerMinute: 200},
		"input":    {InputTokensPerMinute: 4000},
		"output":   {OutputTokensPerMinute: 40_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const calls = 1200
				server := sim.New(sim.Options{Limits: &limits, Latency: sim.Fixed(2 * time.Second)})
				begin := time.Now()
				(&fleet{processes: 8, calls: calls, width: 64, shared: newServer()}).run(t, server)
				s, minutes := server.Stats(), time.Since(begin).Minutes()
				used, limit := float64(s.Requests-s.RateLimited), float64(limits.RequestsPerMinute)
				if limits.InputTokensPerMinute > 0 {
					used, limit = float64(s.InputTokens), float64(limits.InputTokensPerMinute)
				}
				if limits.OutputTokensPerMinute > 0 {
					used, limit = float64(s.OutputTokens), float64(limits.OutputTokensPerMinute)
				}
				share := used / (limit * (minutes + 1)) // a full bucket at the start
				refused := float64(s.RateLimited) / float64(s.Requests)
				t.Logf("%.1f %% of the limit used in %.1f minutes, %d of %d requests refused", 100*share, minutes, s.RateLimited, s.Requests)
				if share < 0.95 || refused > 0.005 || s.Requests-s.RateLimited != calls {
					t.Error("want at least 95 % used, at most 0.5 % refused and every call answered")
				}
			})
		})
	}
}

// TestStoreThatFails has the store fail, lose what it knew and come back in the middle of
// the calls: none is lost, and the service has to refuse next to none.
func TestStoreThatFails(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"restart": 300 * time.Millisecond, "long outage": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const calls = 1200
				server, store := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 200}, Latency: sim.Fixed(2 * time.Second)}), newServer()
				var wg sync.WaitGroup
				wg.Go(func() { (&fleet{processes: 8, calls: calls, width: 64, shared: store}).run(t, server) })
				<-time.After(time.Minute)
				store.set(true)
				before, asked := server.Stats(), store.asked.Load()
				<-time.After(pause)
				during, asks := server.Stats().Requests-before.Requests, store.asked.Load()-asked
				store.set(false)
				wg.Wait()
				s := server.Stats()
				t.Logf("%d requests in %v without the store, %d of %d refused in all", during, pause, s.RateLimited, s.Requests)
				if rate := 200 * pause.Minutes(); float64(during) > rate*1.05+2 || float64(during) < rate*0.8-2 {
					t.Errorf("%d requests without the store, want about %.0f", during, rate)
				}
				if limit := 0.005 * float64(s.Requests); float64(s.RateLimited) > limit || s.Requests-s.RateLimited != calls {
					t.Errorf("%d of %d refused", s.RateLimited, s.Requests)
				}
				// Each process tries it once a second while a call waits, and with each answer.
				if most := int64(8*(pause.Seconds()+1)) + int64(8*during+100); asks > most {
					t.Errorf("a store that fails was asked %d times, want at most %d", asks, most)
				}
			})
		})
	}
}

// TestProcessThatNeverReachedTheStore keeps to a small share: it may be one of many.
func TestProcessThatNeverReachedTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newServer()
		store.set(true)
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 200}, Latency: sim.Fixed(time.Second)})
		begin := time.Now()
		all(t.Context(), t, over(t, server, nil, steady(admission.Options{Shared: store})), 60, numbered)
		// 20 at once and 40 at 20 a minute: a tenth of the limit.
		if d := time.Since(begin); d < 110*time.Second || d > 140*time.Second {
			t.Errorf("60 calls took %v, want about 2 minutes", d)
		}
	})
}

func TestSharedRefusalAndReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newServer()
		refused := llm.NewError(llm.CodeRateLimit, "slower", nil)
		refused.RetryAfter, refused.Status = 30*time.Second, 429
		one := steady(admission.Options{Shared: store})
		two := steady(admission.Options{Shared: store})
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			all(t.Context(), t, admission.NewLimited(llmtest.NewScript([]llmtest.Step{llmtest.Fail(refused)}, llmtest.Answer("done")), nil, one), 1, numbered)
		})
		synctest.Wait()
		<-time.After(time.Second)
		all(t.Context(), t, admission.NewLimited(llmtest.Echo{}, nil, two), 1, numbered)
		wg.Wait()
		if d := time.Since(begin); d < 30*time.Second || d > 40*time.Second {
			t.Errorf("the other process was through after %v, want the 30s of the refusal", d)
		}
		stranger := admission.NewLimiter(admission.Options{Shared: store})
		if got := status(t, stranger); got.Requests.Limit != 1000 || got.Requests.Remaining > 999 {
			t.Errorf("a process that only looks sees %+v", got.Requests)
		}
		if names := stranger.Reset(""); len(names) != 1 {
			t.Errorf("reset %q", names)
		}
		if got := status(t, admission.NewLimiter(admission.Options{Shared: store})); got.Requests.Source != admission.SourceTier || got.Requests.Remaining != 1000 {
			t.Errorf("after the reset: %+v", got.Requests)
		}
	})
}
