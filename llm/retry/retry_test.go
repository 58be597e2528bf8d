package retry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/retry"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model {
		return retry.New(next, retry.Options{Budget: retry.NewBudget(100, 0.1)})
	})
}

// half makes the jitter exact.
func half() float64 { return 0.5 }

// outcome is what a call through the layer came to.
type outcome struct {
	resp  *llm.Response
	err   error
	took  time.Duration
	seen  []llm.EventType
	waits []time.Duration
}

// run makes one call in a bubble. A timeout of 0 is none.
func run(t *testing.T, next llm.Model, opts retry.Options, timeout time.Duration) outcome {
	t.Helper()
	var out outcome
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		if opts.Rand == nil {
			opts.Rand = half
		}
		opts.OnRetry = func(_ context.Context, attempt int, wait time.Duration, err error) {
			out.waits = append(out.waits, wait)
			if attempt != len(out.waits) || err == nil {
				t.Errorf("OnRetry(%d, %v, %v), want attempt %d and an error", attempt, wait, err, len(out.waits))
			}
		}
		begin := time.Now()
		for ev, err := range retry.New(next, opts).Stream(ctx, llmtest.Request("Hi.")) {
			if err != nil {
				out.err = err
				continue
			}
			out.seen = append(out.seen, ev.Type)
			if ev.Type == llm.EventDone {
				out.resp = ev.Response
			}
		}
		out.took = time.Since(begin)
	})
	return out
}

func fail(code llm.Code, after time.Duration) []llmtest.Step {
	e := llm.NewError(code, "try later", nil)
	e.RetryAfter, e.Status, e.RequestID = after, 429, "req_1"
	return []llmtest.Step{llmtest.Fail(e)}
}

func attempts(err error) int {
	if e, ok := errors.AsType[interface {
		error
		Attempts() int
	}](err); ok {
		return e.Attempts()
	}
	return 0
}

func TestBackoffDoubles(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript(fail(llm.CodeOverloaded, -1), fail(llm.CodeServer, -1), fail(llm.CodeConnection, -1), llmtest.Answer("at last"))
	got := run(t, next, retry.Options{}, 0)
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}
	if got.err != nil || got.resp.Text() != "at last" || got.resp.Attempts != 4 {
		t.Errorf("answer %+v, error %v; want an answer after 4 attempts", got.resp, got.err)
	}
	if !slices.Equal(got.waits, want) || got.took != 3500*time.Millisecond {
		t.Errorf("waits %v in %v, want %v in 3.5s", got.waits, got.took, want)
	}
}

func TestBackoffHasACeiling(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript(fail(llm.CodeOverloaded, -1))
	got := run(t, next, retry.Options{MaxAttempts: 70, Base: time.Second, Max: 6 * time.Second}, 0)
	if len(got.waits) != 69 || !slices.Equal(got.waits[:4], []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 3 * time.Second}) || slices.Max(got.waits) != 3*time.Second {
		t.Errorf("%d waits %v, want 69 that stop growing at 3s", len(got.waits), got.waits)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	cases := []struct{ after, want time.Duration }{
		{0, 500 * time.Millisecond},
		{7 * time.Second, 7500 * time.Millisecond},
		{2 * time.Minute, 2*time.Minute + 500*time.Millisecond},
	}
	for _, c := range cases {
		next := llmtest.NewScript(fail(llm.CodeRateLimit, c.after), llmtest.Answer("ok"))
		if got := run(t, next, retry.Options{}, 0); got.err != nil || got.took != c.want {
			t.Errorf("retry-after %v: error %v after %v, want an answer after %v", c.after, got.err, got.took, c.want)
		}
		next = llmtest.NewScript(fail(llm.CodeRateLimit, c.after), llmtest.Answer("ok"))
		if got := run(t, next, retry.Options{Rand: func() float64 { return 0 }}, 0); got.took != c.after {
			t.Errorf("retry-after %v without jitter: waited %v", c.after, got.took)
		}
	}
}

func TestWaitsThatAreNotBegun(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		after   time.Duration
		timeout time.Duration
		want    string
	}{
		{"hint beyond deadline", 30 * time.Second, 20 * time.Second, "the next attempt would be in 30 s, after the call's deadline in 20 s"},
		{"hint at deadline", 20 * time.Second, 20 * time.Second, "call's deadline"},
		{"backoff beyond deadline", -1, 100 * time.Millisecond, "waiting 500 ms would exceed the call's deadline"},
		{"an hour without deadline", time.Hour, 0, "the next attempt would be in 1h, and the longest wait is 2m"},
	}
	for _, c := range cases {
		next := llmtest.NewScript(fail(llm.CodeRateLimit, c.after))
		got := run(t, next, retry.Options{}, c.timeout)
		if llm.CodeOf(got.err) != llm.CodeRateLimit || got.took != 0 || next.Started() != 1 {
			t.Errorf("%s: %v after %v and %d attempts, want rate_limit at once", c.name, got.err, got.took, next.Started())
		}
		if got.err == nil || !strings.Contains(got.err.Error(), c.want) || !strings.Contains(got.err.Error(), "try later") {
			t.Errorf("%s: error %q, want it to say %q and the cause", c.name, got.err, c.want)
		}
		if e, ok := errors.AsType[*llm.Error](got.err); !ok || e.RetryAfter != c.after || e.Status != 429 || e.RequestID != "req_1" {
			t.Errorf("%s: error %#v lost what the service told", c.name, got.err)
		}
	}
}

func TestExhaustion(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript(fail(llm.CodeOverloaded, -1))
	got := run(t, next, retry.Options{MaxAttempts: 3}, 0)
	if next.Started() != 3 || llm.CodeOf(got.err) != llm.CodeOverloaded || attempts(got.err) != 3 || !strings.Contains(got.err.Error(), "after 3 attempts") {
		t.Errorf("%d attempts, error %v (of %d attempts); want overloaded that says 3 attempts", next.Started(), got.err, attempts(got.err))
	}
}

func TestPermanentErrors(t *testing.T) {
	t.Parallel()
	for code := llm.CodeInvalid; code <= llm.CodeInternal; code++ {
		if code.Transient() {
			continue
		}
		scripted := fail(code, time.Second)
		next := llmtest.NewScript(scripted)
		if got := run(t, next, retry.Options{}, 0); next.Started() != 1 || got.took != 0 || llm.CodeOf(got.err) != code || attempts(got.err) != 0 {
			t.Errorf("%v: %d attempts, %v after %v; want the error itself at once", code, next.Started(), got.err, got.took)
		}
	}
	next := llmtest.NewScript(fail(llm.CodeOverloaded, -1), fail(llm.CodeAuth, -1))
	if got := run(t, next, retry.Options{}, 0); next.Started() != 2 || llm.CodeOf(got.err) != llm.CodeAuth || attempts(got.err) != 2 {
		t.Errorf("second attempt refused: %d attempts, error %v", next.Started(), got.err)
	}
}

func TestOneAttemptTurnsRetriesOff(t *testing.T) {
	t.Parallel()
	cause := llm.NewError(llm.CodeOverloaded, "busy", nil)
	next := llmtest.NewScript([]llmtest.Step{llmtest.Fail(cause)})
	if got := run(t, next, retry.Options{MaxAttempts: 1}, 0); got.err != cause {
		t.Errorf("error = %v, want the model's own", got.err)
	}
}

func TestStartAndPingsDoNotCommit(t *testing.T) {
	t.Parallel()
	begun := []llmtest.Step{llmtest.Start(), llmtest.Ping()}
	next := llmtest.NewScript(
		append(slices.Clone(begun), llmtest.FailCode(llm.CodeOverloaded)),
		begun, // cut
		append([]llmtest.Step{llmtest.Ping()}, llmtest.Answer("abc")...),
	)
	got := run(t, next, retry.Options{}, 0)
	want := []llm.EventType{llm.EventPing, llm.EventStart, llm.EventText, llm.EventText, llm.EventText, llm.EventDone}
	if got.err != nil || !slices.Equal(got.seen, want) || got.resp.Attempts != 3 {
		t.Errorf("seen %v, error %v; want %v from the third attempt only", got.seen, got.err, want)
	}
}

func TestContentCommits(t *testing.T) {
	t.Parallel()
	for _, typ := range []llm.EventType{llm.EventText, llm.EventThinking, llm.EventToolInput, "from_the_future"} {
		next := llmtest.NewScript([]llmtest.Step{llmtest.Start(), llmtest.Emit(llm.Event{Type: typ}), llmtest.FailCode(llm.CodeServer)})
		got := run(t, next, retry.Options{}, 0)
		if next.Started() != 1 || llm.CodeOf(got.err) != llm.CodeServer || !slices.Equal(got.seen, []llm.EventType{llm.EventStart, typ}) {
			t.Errorf("%s: %d attempts, seen %v, error %v; want one attempt and both events", typ, next.Started(), got.seen, got.err)
		}
	}
}

// TestUnseenCallsAreRetriedAnywhere breaks calls off behind any number of pieces.
// What comes through is the answer that ends, or the last attempt's pieces and its
// error, and never parts of two attempts.
func TestUnseenCallsAreRetriedAnywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		codes := []llm.Code{llm.CodeOverloaded, llm.CodeServer, llm.CodeConnection, llm.CodeIncomplete, llm.CodeRateLimit}
		var calls [][]llmtest.Step
		failures := rapid.IntRange(0, 4).Draw(t, "failures")
		partial := ""
		for range failures {
			steps := []llmtest.Step{llmtest.Start()}
			partial = ""
			for range rapid.IntRange(0, 3).Draw(t, "pieces") {
				steps = append(steps, llmtest.Text("ab"), llmtest.Ping())
				partial += "ab"
			}
			if rapid.Bool().Draw(t, "cut") {
				calls = append(calls, steps)
			} else {
				calls = append(calls, append(steps, llmtest.FailCode(rapid.SampledFrom(codes).Draw(t, "code"))))
			}
		}
		calls = append(calls, []llmtest.Step{llmtest.Start(), llmtest.Text("whole "), llmtest.Text("answer"), llmtest.Done(llmtest.Response("whole answer"))})
		req := llmtest.Request("Hi.")
		req.Unseen = true
		script := llmtest.NewScript(calls...)
		var text string
		var resp *llm.Response
		var failed error
		for ev, err := range retry.New(script, retry.Options{Base: 1, Max: 1}).Stream(context.Background(), req) {
			if ev.Type == llm.EventText {
				text += ev.Text
			}
			resp, failed = ev.Response, err
		}
		if failures < 4 {
			if failed != nil || resp == nil || text != "whole answer" || script.Started() != failures+1 {
				t.Fatalf("%q, %v after %d calls", text, failed, script.Started())
			}
			return
		}
		if failed == nil || text != partial || script.Started() != 4 {
			t.Fatalf("%q, %v after %d calls, want %q and an error after 4", text, failed, script.Started(), partial)
		}
	})
}

func TestLongSilenceIsNotHeldBack(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript([]llmtest.Step{
		llmtest.Start(), llmtest.Wait(5 * time.Second), llmtest.Ping(),
		llmtest.Wait(5 * time.Second), llmtest.Ping(), llmtest.FailCode(llm.CodeOverloaded),
	})
	got := run(t, next, retry.Options{}, 0)
	want := []llm.EventType{llm.EventStart, llm.EventPing, llm.EventPing}
	if next.Started() != 1 || !slices.Equal(got.seen, want) || got.err == nil {
		t.Errorf("%d attempts, seen %v, error %v; want one attempt that committed after 10s", next.Started(), got.seen, got.err)
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript(fail(llm.CodeRateLimit, time.Minute))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		begin := time.Now()
		_, err := llm.Collect(retry.New(next, retry.Options{}).Stream(ctx, llmtest.Request("Hi.")))
		if llm.CodeOf(err) != llm.CodeCanceled || time.Since(begin) != 10*time.Second || next.Started() != 1 {
			t.Errorf("error %v after %v and %d attempts, want canceled after 10s and 1", err, time.Since(begin), next.Started())
		}
		if err == nil || !strings.Contains(err.Error(), "try later") || !errors.Is(err, context.Canceled) || attempts(err) != 1 {
			t.Errorf("error %v does not tell what it waited for", err)
		}
	})
}

func TestNothingIsOpenWhileWaiting(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript(fail(llm.CodeRateLimit, time.Minute), llmtest.Answer("ok"))
	synctest.Test(t, func(t *testing.T) {
		opts := retry.Options{OnRetry: func(context.Context, int, time.Duration, error) {
			if n := next.InFlight(); n != 0 {
				t.Errorf("%d calls in flight while a retry waits", n)
			}
		}}
		llmtest.MustCollect(t, retry.New(next, opts), llmtest.Request("Hi."))
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	budget := retry.NewBudget(2, 0.5)
	opts := retry.Options{Budget: budget}
	failing := llmtest.NewScript(fail(llm.CodeOverloaded, -1))
	got := run(t, failing, opts, 0)
	if failing.Started() != 3 || budget.Left() != 0 || !strings.Contains(got.err.Error(), "budget for retries") {
		t.Errorf("%d attempts, %d left, error %v; want 3, 0 and an error that names the budget", failing.Started(), budget.Left(), got.err)
	}
	for i, want := range []int{0, 1, 1, 2, 2} {
		if run(t, llmtest.Echo{}, opts, 0); budget.Left() != want {
			t.Errorf("%d retries left after %d answers, want %d", budget.Left(), i+1, want)
		}
	}
}

func TestSharedAnswerIsNotModified(t *testing.T) {
	t.Parallel()
	shared := llmtest.Response("ok")
	next := llmtest.NewScript(fail(llm.CodeServer, -1), []llmtest.Step{llmtest.Text("ok"), llmtest.Done(shared)})
	if got := run(t, next, retry.Options{}, 0); got.resp.Attempts != 2 || shared.Attempts != 1 {
		t.Errorf("attempts = %d, of the model's own answer %d; want 2 and 1", got.resp.Attempts, shared.Attempts)
	}
}

func BenchmarkRetry(b *testing.B) {
	llmtest.Bench(b, func(next llm.Model) llm.Model { return retry.New(next, retry.Options{}) })
}

// TestWhatMayBeBilled checks that the last error does not hide what an earlier
// attempt may have cost.
func TestWhatMayBeBilled(t *testing.T) {
	t.Parallel()
	refused := []llmtest.Step{llmtest.FailCode(llm.CodeOverloaded)}
	lost := []llmtest.Step{llmtest.FailCode(llm.CodeConnection)}
	started := []llmtest.Step{llmtest.Start(), llmtest.FailCode(llm.CodeOverloaded)}
	for name, c := range map[string]struct {
		steps    [][]llmtest.Step
		unbilled bool
	}{
		"all refused":            {[][]llmtest.Step{refused}, true},
		"lost, then refused":     {[][]llmtest.Step{lost, refused}, false},
		"refused, then lost":     {[][]llmtest.Step{refused, refused, refused, lost}, false},
		"started, then refused":  {[][]llmtest.Step{started, refused}, false},
		"refused, then a billed": {[][]llmtest.Step{refused, refused, refused, started}, false},
	} {
		if got := run(t, llmtest.NewScript(c.steps...), retry.Options{}, 0); got.err == nil || llm.Unbilled(got.err) != c.unbilled {
			t.Errorf("%s: error %v, unbilled %t, want %t", name, got.err, llm.Unbilled(got.err), c.unbilled)
		}
	}
}
