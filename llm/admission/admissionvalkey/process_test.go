package admissionvalkey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/processtest"
	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/internal/valkey/valkeytest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/admission/admissionvalkey"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/sim"
)

// makeCalls makes calls at once, as another process: arguments are the server, the
// service, how many calls and the microseconds of a minute.
func makeCalls(args []string) error {
	calls, err := strconv.Atoi(args[2])
	micros, err2 := strconv.Atoi(args[3])
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	client, err := store.New(args[0], store.Options{Timeout: time.Minute, Retry: 20 * time.Millisecond})
	if err != nil {
		return err
	}
	defer client.Close()
	shared := admissionvalkey.New(client, "the-account")
	defer shared.Close()
	limits := admission.NewLimiter(admission.Options{Shared: shared, Minute: time.Duration(micros) * time.Microsecond, InitialWindow: 4})
	provider, err := anthropic.New(anthropic.Options{APIKey: "sk-test", BaseURL: args[1], OnHeaders: limits.Observe})
	if err != nil {
		return err
	}
	model := admission.NewLimited(provider, admission.NewGate(16), limits)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	failed := make(chan error, calls)
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			_, err := llm.Collect(model.Stream(ctx, llmtest.Request(fmt.Sprint("number ", i))))
			failed <- err
		})
	}
	wg.Wait()
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// TestProcessesShareLimits has eight processes share a server and the limits of a service,
// while the server lives, and while it is killed twice and comes back empty. The service
// counts: it refuses at most one request in 200, and every call is answered.
func TestProcessesShareLimits(t *testing.T) {
	for name, kills := range map[string][]int64{"the server lives": nil, "the server is killed": {250, 500}} {
		t.Run(name, func(t *testing.T) {
			server := valkeytest.Start(t)
			// 300 requests in a minute that lasts 7.5 seconds: 40 each second.
			const processes, calls, scale = 8, 100, 0.125
			service := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 300}, TimeScale: scale})
			var answered atomic.Int64
			reached := make(chan int64, processes*calls)
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				service.ServeHTTP(w, r)
				n := answered.Add(1)
				select {
				case reached <- n:
				default: // all that is waited for has come
				}
			}))
			defer web.Close()
			minute := time.Duration(float64(time.Minute) * scale).Microseconds()
			started := make([]*processtest.Process, processes)
			for i := range started {
				started[i] = processtest.Start(t.Context(), "call", server.URL(), web.URL, calls, minute)
			}
			ended := make(chan error, 1)
			go func() {
				var errs []error
				for _, p := range started {
					for range p.Lines() {
					}
					errs = append(errs, p.Wait())
				}
				ended <- errors.Join(errs...)
			}()
			// The server dies when the service has answered so many requests, and is back 50
			// answers later.
			wait := func(n int64) {
				for got := range reached {
					if got >= n {
						return
					}
				}
			}
			for _, at := range kills {
				wait(at)
				server.Kill()
				wait(at + 50)
				server.Restart()
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			server.CheckKeys("sk-test", "the-account", "number")
			s := service.Stats()
			t.Logf("%d requests, %d refused", s.Requests, s.RateLimited)
			if s.RateLimited*200 > s.Requests || s.Requests-s.RateLimited != processes*calls {
				t.Errorf("%d requests, %d refused; want %d answered, and at most one in 200 refused", s.Requests, s.RateLimited, processes*calls)
			}
		})
	}
}
