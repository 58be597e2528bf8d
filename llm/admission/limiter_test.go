package admission_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/retry"
	"github.com/claude-force/claude-force/sim"
)

func TestLimitedSuite(t *testing.T) {
	t.Parallel()
	llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
		return admission.NewLimited(next, admission.NewGate(1), admission.NewLimiter(admission.Options{}))
	})
}

// steady returns a limiter whose random numbers are not.
func steady(opts admission.Options) *admission.Limiter {
	opts.Rand = func() float64 { return 0.5 }
	return admission.NewLimiter(opts)
}

// over returns the provider over a simulator, behind limits.
func over(t *testing.T, server *sim.Server, gate *admission.Gate, limits *admission.Limiter) llm.Model {
	t.Helper()
	provider, err := anthropic.New(anthropic.Options{
		APIKey: "sk-test", HTTPClient: &http.Client{Transport: server.RoundTripper()}, OnHeaders: limits.Observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	return admission.NewLimited(provider, gate, limits)
}

// all makes n calls at once and waits for them.
func all(ctx context.Context, t *testing.T, m llm.Model, n int, request func(i int) *llm.Request) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := llm.Collect(m.Stream(ctx, request(i))); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func numbered(i int) *llm.Request { return llmtest.Request(fmt.Sprint("Number ", i)) }

// sized returns a request of about so many tokens.
func sized(tokens int) *llm.Request {
	return llmtest.Request(strings.Repeat("word ", tokens*4/5*10/13))
}

func status(t *testing.T, l *admission.Limiter) admission.PoolStatus {
	t.Helper()
	list := l.Limits()
	if len(list) != 1 {
		t.Fatalf("%d pools, want 1: %+v", len(list), list)
	}
	return list[0]
}

func TestRequestLimitIsKeptWithoutRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 20}, Latency: sim.Fixed(2 * time.Second)})
		limits := steady(admission.Options{})
		begin := time.Now()
		all(t.Context(), t, over(t, server, nil, limits), 60, numbered)
		s := server.Stats()
		if s.RateLimited != 0 || s.Requests != 60 {
			t.Errorf("%d requests, %d refused; want 60, 0", s.Requests, s.RateLimited)
		}
		// 20 at once and 40 at 20 a minute take two minutes; the reserve and
		// the last answer come on top.
		if d := time.Since(begin); d < 2*time.Minute || d > 2*time.Minute+8*time.Second {
			t.Errorf("60 calls at 20 a minute took %v, want 2m to 2m8s", d)
		}
		if got := status(t, limits).Requests; got.Limit != 20 || got.Source != admission.SourceLearned {
			t.Errorf("learned %+v, want a limit of 20", got)
		}
	})
}

// TestTheFirstCallsGoAtOnce makes calls of a second on a limiter that knows
// nothing, of a service that sends its headers with the answer.
func TestTheFirstCallsGoAtOnce(t *testing.T) {
	t.Parallel()
	const none = 0
	for name, c := range map[string]struct {
		tier    admission.Tier
		window  int
		calls   int
		seconds time.Duration
	}{
		"as many as the window":       {admission.TierStart, 20, 20, 1},
		"a small window doubles":      {admission.TierStart, 10, 20, 2},
		"a tenth of a minute's limit": {admission.TierStart, 500, 100, 1},
		"more than the limit's tenth": {admission.TierStart, 500, 101, 2},
		"a larger tier":               {admission.TierBuild, 500, 500, 1},
		"no limit is assumed":         {admission.TierNone, 500, 500, 1},
		"one at first":                {admission.TierStart, none, 3, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 10_000}})
			server.Inject(sim.Fault{Kind: sim.FaultDelay, Delay: time.Second})
			limits := steady(admission.Options{Tier: c.tier, InitialWindow: c.window})
			begin := time.Now()
			all(t.Context(), t, over(t, server, admission.NewGate(500), limits), c.calls, numbered)
			if took := time.Since(begin); took != c.seconds*time.Second {
				t.Errorf("%s: %d calls of a second took %v, want %ds", name, c.calls, took, c.seconds)
			}
		})
	}
}

// TestALargerWindowCountsAtOnce starts a process that allows more calls than
// the one before it, which left what it knew in a file.
func TestALargerWindowCountsAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 1000}})
		server.Inject(sim.Fault{Kind: sim.FaultDelay, Delay: time.Second})
		for _, window := range []int{10, 30} {
			limits := steady(admission.Options{Dir: dir, InitialWindow: window})
			begin := time.Now()
			all(t.Context(), t, over(t, server, nil, limits), window, numbered)
			if took := time.Since(begin); took != time.Second {
				t.Errorf("%d calls of a second took %v", window, took)
			}
		}
	})
}

func TestTokenLimitsAreUsedWhole(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]sim.Limits{
		"input":  {InputTokensPerMinute: 40_000},
		"output": {OutputTokensPerMinute: 1500},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{Limits: &limit, Latency: sim.Realistic()})
			begin := time.Now()
			all(t.Context(), t, over(t, server, nil, steady(admission.Options{})), 150, func(i int) *llm.Request {
				req := sized(400 + 37*(i%60))
				req.Messages[0].Content[0].Text += fmt.Sprint(i)
				return req
			})
			s, minutes := server.Stats(), time.Since(begin).Minutes()
			if s.RateLimited > 1 {
				t.Errorf("%s: %d of %d requests refused, want at most 1", name, s.RateLimited, s.Requests)
			}
			used := float64(s.InputTokens)/40_000 - 1
			if name == "output" {
				used = float64(s.OutputTokens)/1500 - 1
			}
			// The first minute's worth is there at the beginning.
			if used < 0.93*minutes {
				t.Errorf("%s: %.2f minutes' worth of tokens in %.2f minutes, after one that was there", name, used, minutes)
			}
		})
	}
}

func TestUnknownStateSendsOneProbeThenDoubles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Each answer takes a second to begin.
		next := llmtest.NewScript(lasting(time.Second))
		m := admission.NewLimited(next, nil, steady(admission.Options{}))
		var wg sync.WaitGroup
		wg.Go(func() { all(t.Context(), t, m, 100, numbered) })
		var started []int
		for range 6 {
			synctest.Wait()
			started = append(started, next.Started())
			<-time.After(time.Second)
		}
		wg.Wait()
		if want := []int{1, 3, 7, 15, 31, 63}; !slices.Equal(started, want) {
			t.Errorf("calls started by the second: %v, want %v", started, want)
		}
	})
}

func TestSilentProbeDoesNotStopAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript(lasting(time.Hour), llmtest.Answer("quick"))
		m := admission.NewLimited(next, nil, steady(admission.Options{}))
		var wg sync.WaitGroup
		wg.Go(func() { all(t.Context(), t, m, 1, numbered) })
		synctest.Wait()
		begin := time.Now()
		llmtest.MustCollect(t, m, llmtest.Request("second"))
		if d := time.Since(begin); d != 15*time.Second {
			t.Errorf("a second call waited %v for a silent probe, want 15s", d)
		}
		wg.Wait()
	})
}

// refusing refuses the first calls with err.
func refusing(times int, err *llm.Error) *llmtest.Script {
	var calls [][]llmtest.Step
	for range times {
		calls = append(calls, []llmtest.Step{llmtest.Fail(err)})
	}
	return llmtest.NewScript(append(calls, llmtest.Answer("done"))...)
}

func rateLimit(after time.Duration) *llm.Error {
	return &llm.Error{Code: llm.CodeRateLimit, Message: "slow down", Status: 429, RequestID: "req_1", RetryAfter: after}
}

func TestRefusalClosesThePoolUntilRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := refusing(1, rateLimit(7*time.Second))
		limits := steady(admission.Options{Tier: admission.TierNone})
		m := admission.NewLimited(next, nil, limits)
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { all(t.Context(), t, m, 1, numbered) })
		synctest.Wait()
		if got := status(t, limits); !got.FrozenUntil.Equal(begin.Add(7*time.Second)) || got.Waiting != 1 {
			t.Errorf("frozen until %v with %d waiting, want in 7s with 1", got.FrozenUntil, got.Waiting)
		}
		// Another pool is not affected.
		other := numbered(1)
		other.Model = "claude-opus-5"
		llmtest.MustCollect(t, m, other)
		if d := time.Since(begin); d != 0 {
			t.Errorf("another pool waited %v", d)
		}
		wg.Wait()
		if d := time.Since(begin); d != 7*time.Second || next.Started() != 3 {
			t.Errorf("%d calls in %v, want 3 in 7s", next.Started(), d)
		}
	})
}

func TestWaitThatOutlastsTheDeadlineFailsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := refusing(9, rateLimit(time.Minute))
		m := retry.New(admission.NewLimited(next, nil, steady(admission.Options{})), retry.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		for _, want := range []string{"req_1", ""} { // the first meets the 429, the second a closed pool
			_, err := llm.Collect(m.Stream(ctx, numbered(0)))
			e, ok := errors.AsType[*llm.Error](err)
			if !ok || e.Code != llm.CodeRateLimit || e.RetryAfter != time.Minute || e.RequestID != want {
				t.Fatalf("got %v, want a rate limit with request %q", err, want)
			}
			if !strings.Contains(e.Message, "in 1m") || !strings.Contains(e.Message, "deadline is in 10 s") {
				t.Errorf("message %q does not say what and when", e.Message)
			}
		}
		if d := time.Since(begin); d != 0 || next.Started() != 1 {
			t.Errorf("%d requests in %v, want 1 at once", next.Started(), d)
		}
	})
}

func TestBucketsKnowWhatADeadlineAllows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := steady(admission.Options{Limits: map[string]admission.Limits{"": {Requests: 2}}})
		m := admission.NewLimited(llmtest.NewScript(llmtest.Answer("done")), nil, limits)
		all(t.Context(), t, m, 1, numbered)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := llm.Collect(m.Stream(ctx, numbered(1)))
		if llm.CodeOf(err) != llm.CodeRateLimit || time.Since(begin) != 0 {
			t.Errorf("after %v: %v; want a rate limit at once", time.Since(begin), err)
		}
		// What the refused call had taken is back.
		begin = time.Now()
		llmtest.MustCollect(t, m, numbered(2))
		if d := time.Since(begin).Round(time.Millisecond); d != 3*time.Second {
			t.Errorf("the next call waited %v, want 3s for the reserve", d)
		}
	})
}

func TestRampLimitHalvesTheRamp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Latency: sim.Fixed(time.Second)})
		limits := steady(admission.Options{})
		m := over(t, server, nil, limits)
		all(t.Context(), t, m, 64, numbered)
		grown := status(t, limits).Window
		server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 429, ErrorCode: "ramp_limit_exceeded", RetryAfter: "20", Times: 1})
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { all(t.Context(), t, m, 1, numbered) })
		synctest.Wait()
		got := status(t, limits)
		if grown < 16 || got.Window != 1 || got.FrozenBy != "ramp_limit_exceeded" || !got.FrozenUntil.Equal(begin.Add(20*time.Second)) {
			t.Errorf("window from %d to %d, frozen by %q until %v", grown, got.Window, got.FrozenBy, got.FrozenUntil)
		}
		wg.Wait()
		if d := time.Since(begin); d != 21*time.Second {
			t.Errorf("the call took %v, want 21s", d)
		}
	})
}

func TestSpendLimitsPass(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"enforced_spend_limit_reached", "contract_spend_limit_reached"} {
		synctest.Test(t, func(t *testing.T) {
			server := sim.New(sim.Options{})
			server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 429, ErrorCode: code})
			limits := steady(admission.Options{})
			m := retry.New(over(t, server, nil, limits), retry.Options{})
			begin := time.Now()
			_, err := llm.Collect(m.Stream(t.Context(), numbered(0)))
			if e, ok := errors.AsType[*llm.Error](err); !ok || e.Code != llm.CodeSpendLimit || e.ServiceCode != code {
				t.Errorf("%s: got %v", code, err)
			}
			if n := server.Stats().Requests; n != 1 || time.Since(begin) != 0 || !status(t, limits).FrozenUntil.IsZero() {
				t.Errorf("%s: %d requests in %v, frozen until %v; want one, at once, not frozen", code, n, time.Since(begin), status(t, limits).FrozenUntil)
			}
		})
	}
}

func TestRunsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript(llmtest.Answer("done"))
		// One call every ten seconds once the first is through.
		limits := steady(admission.Options{Limits: map[string]admission.Limits{"": {Requests: 1}}, Minute: 10 * time.Second})
		m := admission.NewLimited(next, nil, limits)
		var wg sync.WaitGroup
		for _, run := range []string{"many", "few"} {
			n := map[string]int{"many": 6, "few": 2}[run]
			for i := range n {
				wg.Go(func() {
					ctx := admission.WithRun(t.Context(), run)
					if _, err := llm.Collect(m.Stream(ctx, llmtest.Request(fmt.Sprint(run, " ", i)))); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
			}
		}
		wg.Wait()
		var got []string
		for _, req := range next.Requests() {
			got = append(got, req.Messages[0].Content[0].Text)
		}
		// The first was through and the second the next before the few came.
		want := []string{"many 0", "many 1", "many 2", "few 0", "many 3", "few 1", "many 4", "many 5"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestLargeCallIsNotStarved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{InputTokensPerMinute: 20_000}})
		m := over(t, server, nil, steady(admission.Options{}))
		ctx, cancel := context.WithCancel(t.Context())
		var small sync.WaitGroup
		for i := range 20 { // small calls without end
			small.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					req := sized(1000)
					req.Messages[0].Content[0].Text += fmt.Sprint(i, " ", n)
					_, _ = llm.Collect(m.Stream(ctx, req)) // ends with ctx
				}
			})
		}
		<-time.After(2 * time.Minute)
		begin := time.Now()
		llmtest.MustCollect(t, m, sized(15_000))
		// At most the twenty small ones before it, and its own tokens.
		if d := time.Since(begin); d > 2*time.Minute {
			t.Errorf("a call of three quarters of a minute's tokens waited %v behind small ones", d)
		}
		cancel()
		small.Wait()
	})
}

func TestReadsOfThePromptCacheDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{InputTokensPerMinute: 30_000}, Latency: sim.Fixed(time.Second)})
		m := over(t, server, nil, steady(admission.Options{}))
		document := llm.TextBlock(strings.Repeat("word ", 16_000)) // 26,000 tokens
		document.CacheControl = []byte(`{"type":"ephemeral"}`)
		ask := func(i int) *llm.Request {
			req := numbered(i)
			req.System = []llm.Block{document}
			return req
		}
		llmtest.MustCollect(t, m, ask(0)) // writes the prompt cache
		<-time.After(time.Minute)
		llmtest.MustCollect(t, m, ask(1))
		begin := time.Now()
		for i := range 20 {
			llmtest.MustCollect(t, m, ask(2+i))
		}
		// Without the cache it would take 17 minutes.
		if d := time.Since(begin); d > 2*time.Minute || server.Stats().RateLimited != 0 {
			t.Errorf("20 calls with a cached prompt took %v with %d refusals", d, server.Stats().RateLimited)
		}
	})
}

func TestLimitsThatChangeInMidRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{Limits: &sim.Limits{RequestsPerMinute: 60}, Latency: sim.Fixed(time.Second)})
		limits := steady(admission.Options{})
		m := over(t, server, nil, limits)
		var wg sync.WaitGroup
		begin := time.Now()
		var took time.Duration
		wg.Go(func() {
			all(t.Context(), t, m, 300, numbered)
			took = time.Since(begin)
		})
		for _, limit := range []int{60, 30, 90} {
			server.SetLimits(&sim.Limits{RequestsPerMinute: limit})
			<-time.After(90 * time.Second)
			if got := status(t, limits).Requests.Limit; got != limit {
				t.Errorf("the limit is taken for %d, want %d", got, limit)
			}
		}
		wg.Wait()
		// 60 at once, 90 in 90s, 45 in 90s, the remaining 105 at 90 a minute.
		if took > 4*time.Minute+16*time.Second {
			t.Errorf("300 calls took %v, want 4m10s, the reserve and an answer", took)
		}
		if s := server.Stats(); s.RateLimited > 2 {
			t.Errorf("%d of %d requests refused, want at most 2", s.RateLimited, s.Requests)
		}
	})
}

// TestAbsurdUsageDoesNotCloseThePool has a gateway report more tokens than any model
// takes or was allowed to write: later calls wait for what an answer can have taken.
func TestAbsurdUsageDoesNotCloseThePool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		usage := llm.Usage{InputTokens: 10, OutputTokens: math.MaxInt >> 3}
		gateway := llm.ModelFunc(func(_ context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
			return func(yield func(llm.Event, error) bool) {
				resp := llmtest.Response("answer")
				resp.Model, resp.Usage = req.Model, usage
				yield(llm.Event{Type: llm.EventDone, Response: resp}, nil)
			}
		})
		m := admission.NewLimited(gateway, nil, steady(admission.Options{}))
		begin := time.Now()
		for i := range 3 {
			llmtest.MustCollect(t, m, numbered(i))
		}
		if d := time.Since(begin); d > 10*time.Minute {
			t.Errorf("3 calls took %v", d)
		}
	})
}
