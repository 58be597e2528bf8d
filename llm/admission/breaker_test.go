package admission_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/retry"
	"github.com/claude-force/claude-force/sim"
)

var overload = &llm.Error{Code: llm.CodeOverloaded, Message: "overloaded", Status: 529, RequestID: "req_1", RetryAfter: -1}

// TestOutageInMidRun shows the promise of the breaker: the service is down for a
// minute in the middle of a run, and the run neither fails nor storms it.
func TestOutageInMidRun(t *testing.T) {
	t.Parallel()
	const (
		// What was sent before the breaker opens: one call a slot, one more for each
		// of the two failures that leave it closed, and two more for each call from
		// before the outage that succeeds and so ends a row of failures.
		sent = 10 + 2 + 10*2
		// Pauses of 1, 2, 4, 8, 8, ... s in a minute; steady takes their variation away.
		probes = 9
		most   = sent + probes
	)
	for name, fault := range map[string]sim.Fault{
		"refused":       {Kind: sim.FaultStatus, Status: 529, For: time.Minute},
		"failing":       {Kind: sim.FaultStatus, Status: 500, For: time.Minute},
		"in the stream": {Kind: sim.FaultStreamError, After: 1, For: time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{Latency: sim.Realistic()})
			limits := steady(admission.Options{Outage: 2 * time.Minute})
			m := retry.New(over(t, server, admission.NewGate(10), limits), retry.Options{})
			var wg sync.WaitGroup
			wg.Go(func() { all(t.Context(), t, m, 200, numbered) })
			<-time.After(20 * time.Second)
			before := server.Stats()
			server.Inject(fault)
			<-time.After(time.Minute)
			during := server.Stats()
			wg.Wait()
			if n := during.Requests - before.Requests; n > most || n < 4 {
				t.Errorf("%s: %d requests during the outage, want 4 to %d", name, n, most)
			}
			if before.Requests < 20 || before.Requests > 180 {
				t.Errorf("%s: the outage was not in the middle of the run: %d requests before", name, before.Requests)
			}
			if status(t, limits).Breaker != admission.BreakerClosed {
				t.Errorf("%s: the breaker is %s at the end", name, status(t, limits).Breaker)
			}
		})
	}
}

func TestLoneCallOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{})
		server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 529, For: 5 * time.Minute})
		m := retry.New(over(t, server, nil, steady(admission.Options{Outage: 10 * time.Minute})), retry.Options{Rand: func() float64 { return 0.5 }})
		begin := time.Now()
		llmtest.MustCollect(t, m, numbered(0))
		if d := time.Since(begin); d < 5*time.Minute || d > 5*time.Minute+30*time.Second {
			t.Errorf("the call took %v, want little more than the 5m of the outage", d)
		}
		// Three until it opens, and probes after 1, 2, 4 and then every 8 seconds.
		if n := server.Stats().Requests; n != 43 {
			t.Errorf("%d requests, want 43", n)
		}
	})
}

func TestOneProbeAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fail := []llmtest.Step{llmtest.Fail(overload)}
		slowly := []llmtest.Step{llmtest.Wait(10 * time.Second), llmtest.Fail(overload)}
		next := llmtest.NewScript(fail, fail, fail, slowly, llmtest.Answer("done"))
		limits := steady(admission.Options{})
		m := retry.New(admission.NewLimited(next, nil, limits), retry.Options{Rand: func() float64 { return 0 }})
		var wg sync.WaitGroup
		wg.Go(func() { all(t.Context(), t, m, 20, numbered) })
		<-time.After(time.Millisecond)
		if got := status(t, limits); got.Breaker != admission.BreakerOpen || next.Started() != 3 {
			t.Errorf("breaker %s after %d calls, want open after 3", got.Breaker, next.Started())
		}
		<-time.After(5 * time.Second)
		if got := status(t, limits); got.Breaker != admission.BreakerProbing || next.Started() != 4 || got.InFlight != 1 {
			t.Errorf("breaker %s after %d calls with %d in flight, want probing after 4 with 1", got.Breaker, next.Started(), got.InFlight)
		}
		wg.Wait()
		if next.Started() != 24 {
			t.Errorf("%d calls, want 20 answers and 4 failures", next.Started())
		}
	})
}

func TestProbeThatIsCanceledLeavesTheProbeToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fail := []llmtest.Step{llmtest.Fail(overload)}
		next := llmtest.NewScript(fail, fail, fail, []llmtest.Step{llmtest.Hang()}, llmtest.Answer("done"))
		m := retry.New(admission.NewLimited(next, nil, steady(admission.Options{})), retry.Options{Rand: func() float64 { return 0 }})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := llm.Collect(m.Stream(ctx, numbered(0))); llm.CodeOf(err) != llm.CodeTimeout {
			t.Errorf("got %v, want a timeout", err)
		}
		begin := time.Now()
		llmtest.MustCollect(t, m, numbered(1))
		if d := time.Since(begin); d != time.Second {
			t.Errorf("the next call waited %v, want 1s", d)
		}
	})
}

func TestSomeFailuresAreForTheRetryLayer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := refusing(2, overload)
		limits := steady(admission.Options{})
		m := admission.NewLimited(next, nil, limits)
		for range 2 {
			if _, err := llm.Collect(m.Stream(t.Context(), numbered(0))); !errors.Is(err, overload) {
				t.Errorf("got %v, want the failure as it was", err)
			}
		}
		llmtest.MustCollect(t, m, numbered(0))
		if got := status(t, limits); got.Breaker != admission.BreakerClosed || !got.FrozenUntil.IsZero() || got.Requests.Limit != 1000 {
			t.Errorf("an overload was taken for more than it is: %+v", got)
		}
	})
}

func TestOutageEndsThePatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript([]llmtest.Step{llmtest.Fail(overload)})
		m := retry.New(admission.NewLimited(next, nil, steady(admission.Options{Outage: time.Minute})), retry.Options{})
		var wg sync.WaitGroup
		begin := time.Now()
		for range 5 {
			wg.Go(func() {
				if _, err := llm.Collect(m.Stream(t.Context(), numbered(0))); llm.CodeOf(err) != llm.CodeOverloaded {
					t.Errorf("got %v, want overloaded", err)
				}
			})
		}
		wg.Wait()
		if d := time.Since(begin); d < time.Minute || d > 3*time.Minute {
			t.Errorf("calls gave up after %v, want little more than a minute", d)
		}
		if n := next.Started(); n > 20 {
			t.Errorf("%d calls, want at most 20", n)
		}
	})
}

// TestOneAnswerEndsTheCount: time in which something succeeds is no outage, however
// long it takes.
func TestOneAnswerEndsTheCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		next := llm.ModelFunc(func(_ context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
			return func(yield func(llm.Event, error) bool) {
				if int(time.Since(begin)/(40*time.Second))%2 == 0 {
					yield(llm.Event{}, overload)
					return
				}
				yield(llm.Event{Type: llm.EventDone, Response: &llm.Response{Model: req.Model, StopReason: llm.StopEndTurn}}, nil)
			}
		})
		m := retry.New(admission.NewLimited(next, nil, steady(admission.Options{})), retry.Options{})
		for range 5 {
			llmtest.MustCollect(t, m, numbered(0))
			<-time.After(40 * time.Second) // until the next outage
		}
	})
}

// TestAttemptsAreCountedAsSent: whatever layer sends a call again.
func TestAttemptsAreCountedAsSent(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{
		"overloaded": overload,
		"server":     &llm.Error{Code: llm.CodeServer, Status: 500, Message: "no", RetryAfter: -1},
		"refused":    llm.NewError(llm.CodeConnection, "no", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
		"broken":     llm.NewError(llm.CodeConnection, "no", io.ErrUnexpectedEOF),
	} {
		synctest.Test(t, func(t *testing.T) {
			next := llmtest.NewScript([]llmtest.Step{llmtest.Fail(failure)})
			m := retry.New(admission.NewLimited(next, nil, steady(admission.Options{})), retry.Options{})
			begin := time.Now()
			_, err := llm.Collect(m.Stream(t.Context(), numbered(0)))
			if want := fmt.Sprintf("gave up after %d attempts", next.Started()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v; want %q", name, err, want)
			}
			if d := time.Since(begin); name != "broken" && (d < time.Minute || d > 80*time.Second) || d > 80*time.Second {
				t.Errorf("%s: gave up after %v", name, d)
			}
			if strings.Contains(err.Error(), "asks") || llm.CodeOf(err) != llm.CodeOf(failure) {
				t.Errorf("%s: got %v", name, err)
			}
		})
	}
}
