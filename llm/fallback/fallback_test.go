package fallback_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/fallback"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/retry"
	"github.com/claude-force/claude-force/sim"
)

func to(models ...string) func(context.Context, *llm.Request) []string {
	return func(context.Context, *llm.Request) []string { return models }
}

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]fallback.Options{
		"none": {},
		"two":  {Models: to("b", "c")},
	} {
		t.Run(name, func(t *testing.T) {
			llmtest.Suite(t, func(_ *testing.T, next llm.Model) llm.Model { return fallback.New(next, opts) })
		})
	}
}

// asked returns the models of the calls so far.
func asked(s *llmtest.Script) (models []string) {
	for _, req := range s.Requests() {
		models = append(models, req.Model)
	}
	return models
}

func refuse() []llmtest.Step {
	resp := llmtest.Response("")
	resp.Content, resp.StopReason = nil, llm.StopRefusal
	return []llmtest.Step{llmtest.Start(), llmtest.Ping(), llmtest.Done(resp)}
}

func TestWhatFallsBackAndWhatDoesNot(t *testing.T) {
	t.Parallel()
	falling := map[llm.Code]bool{
		llm.CodeOverloaded: true, llm.CodeServer: true, llm.CodeConnection: true, llm.CodeIncomplete: true, llm.CodeNotFound: true,
	}
	for code := llm.CodeInvalid; code <= llm.CodeInternal; code++ {
		next := llmtest.NewScript([]llmtest.Step{llmtest.Start(), llmtest.Ping(), llmtest.FailCode(code)}, llmtest.Answer("fine"))
		m := fallback.New(next, fallback.Options{Models: to(llmtest.Model, "b", "b", "c")})
		resp, err := llm.Collect(m.Stream(t.Context(), llmtest.Request("x")))
		want := []string{llmtest.Model}
		if falling[code] {
			want = append(want, "b")
		}
		if diff := cmp.Diff(want, asked(next)); diff != "" {
			t.Errorf("%v: models asked: %s", code, diff)
		}
		if falling[code] != (err == nil) || err == nil && resp.Text() != "fine" || err != nil && llm.CodeOf(err) != code {
			t.Errorf("%v: %v, %v", code, resp, err)
		}
	}
}

func TestARefusalIsAnsweredByAnother(t *testing.T) {
	t.Parallel()
	next := llmtest.NewScript(refuse(), llmtest.Answer("fine"))
	var steps []fallback.Fallback
	m := fallback.New(next, fallback.Options{
		Models:     to("b"),
		OnFallback: func(_ context.Context, f fallback.Fallback) { steps = append(steps, f) },
	})
	if got := llmtest.MustCollect(t, m, llmtest.Request("x")).Text(); got != "fine" {
		t.Errorf("answer %q", got)
	}
	if len(steps) != 1 || steps[0].From != llmtest.Model || steps[0].To != "b" || steps[0].Err != nil || steps[0].Refusal.Usage.InputTokens != 100 {
		t.Errorf("steps %+v; want one, with what the refusal cost", steps)
	}
}

func TestIfNoModelAnswersTheFirstOutcomeCounts(t *testing.T) {
	t.Parallel()
	overloaded := []llmtest.Step{llmtest.Fail(&llm.Error{Code: llm.CodeOverloaded, Message: "too busy", Status: 529, RetryAfter: time.Minute})}
	missing := []llmtest.Step{llmtest.FailCode(llm.CodeNotFound)}

	next := llmtest.NewScript(overloaded, missing, refuse())
	_, err := llm.Collect(fallback.New(next, fallback.Options{Models: to("b", "c")}).Stream(t.Context(), llmtest.Request("x")))
	e, ok := errors.AsType[*llm.Error](err)
	if !ok || e.Code != llm.CodeOverloaded || e.RetryAfter != time.Minute || !strings.Contains(e.Message, "too busy; c was asked instead: it refused") {
		t.Errorf("error %+v, want the first with a note on the last", err)
	}

	next = llmtest.NewScript(refuse(), overloaded)
	resp, err := llm.Collect(fallback.New(next, fallback.Options{Models: to("b")}).Stream(t.Context(), llmtest.Request("x")))
	if err != nil || resp.StopReason != llm.StopRefusal || next.Started() != 2 {
		t.Errorf("%v, %v after %d calls; want the first model's refusal after 2", resp, err, next.Started())
	}
}

func TestNothingIsAskedAgainOnceShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := []llmtest.Step{llmtest.Start(), llmtest.Wait(10 * time.Second), llmtest.Ping(), llmtest.FailCode(llm.CodeOverloaded)}
		for name, steps := range map[string][]llmtest.Step{
			"a piece":                {llmtest.Start(), llmtest.Text("a"), llmtest.FailCode(llm.CodeOverloaded)},
			"ten seconds of silence": held,
		} {
			next := llmtest.NewScript(steps)
			m := fallback.New(next, fallback.Options{Models: to("b")})
			if _, err := llm.Collect(m.Stream(t.Context(), llmtest.Request("x"))); llm.CodeOf(err) != llm.CodeOverloaded || next.Started() != 1 {
				t.Errorf("%s: %v after %d calls, want the error after 1", name, err, next.Started())
			}
		}
		next := llmtest.NewScript([]llmtest.Step{llmtest.FailCode(llm.CodeOverloaded)})
		once := llmtest.Request("x")
		once.Once = true
		if _, err := llm.Collect(fallback.New(next, fallback.Options{Models: to("b")}).Stream(t.Context(), once)); err == nil || next.Started() != 1 {
			t.Errorf("made once: %v after %d calls", err, next.Started())
		}
	})
}

func TestACanceledFallbackIsCanceled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		next := llmtest.NewScript([]llmtest.Step{llmtest.FailCode(llm.CodeOverloaded)}, []llmtest.Step{llmtest.Hang()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		m := fallback.New(next, fallback.Options{Models: to("b", "c")})
		if _, err := llm.Collect(m.Stream(ctx, llmtest.Request("x"))); llm.CodeOf(err) != llm.CodeTimeout || next.Started() != 2 {
			t.Errorf("%v after %d calls, want a timeout after 2", err, next.Started())
		}
	})
}

// TestAModelThatIsDown: the simulator overloads one model; retries come first,
// and the answer says who gave it.
func TestAModelThatIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := sim.New(sim.Options{})
		server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 529, Match: "claude-opus-5-5"})
		provider, err := anthropic.New(anthropic.Options{
			APIKey: "sk-test", KeySource: "the test", BaseURL: "http://sim.invalid", HTTPClient: &http.Client{Transport: server.RoundTripper()},
		})
		if err != nil {
			t.Fatal(err)
		}
		m := fallback.New(retry.New(provider, retry.Options{MaxAttempts: 3}), fallback.Options{Models: to("claude-sonnet-5-5")})
		req := llmtest.Request("Explain.")
		req.Model = "claude-opus-5-5"
		resp := llmtest.MustCollect(t, m, req)
		if resp.Model != "claude-sonnet-5-5" || server.Stats().Requests != 4 {
			t.Errorf("answer of %s after %d requests, want sonnet's after three attempts and one", resp.Model, server.Stats().Requests)
		}
	})
}

func TestARefusalThatWasPaidIsNotForgotten(t *testing.T) {
	t.Parallel()
	overloaded := []llmtest.Step{llmtest.FailCode(llm.CodeOverloaded)}
	for name, c := range map[string]struct {
		second   []llmtest.Step
		unbilled bool
	}{
		"both refuse the call":       {overloaded, true},
		"the second answers no":      {refuse(), false},
		"the second is cut":          {[]llmtest.Step{llmtest.FailCode(llm.CodeConnection)}, false},
		"the second starts at first": {[]llmtest.Step{llmtest.Start(), llmtest.FailCode(llm.CodeOverloaded)}, false},
	} {
		m := fallback.New(llmtest.NewScript(overloaded, c.second), fallback.Options{Models: to("b")})
		_, err := llm.Collect(m.Stream(t.Context(), llmtest.Request("x")))
		if llm.CodeOf(err) != llm.CodeOverloaded || llm.Unbilled(err) != c.unbilled {
			t.Errorf("%s: %v, unbilled %t, want overloaded and %t", name, err, llm.Unbilled(err), c.unbilled)
		}
	}
}
