package engine_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// The times of all attempts are in the result, in the journal and in the result
// that is rebuilt from it; a foreach has the sums of its items.
func TestTimesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parseFiles(t, `{name: w, steps: [
  {id: a, agent: x, task: t, retries: {max: 1, backoff: 4s}},
  {id: b, agent: x, task: t, foreach: [1, 2], dependencies: [a]},
  {id: c, agent: x, task: t, on_failure: continue}]}`, nil)
		execute := func(_ context.Context, a engine.Attempt) (llm.Outcome, error) {
			time.Sleep(3 * time.Second)
			out := llm.Outcome{Source: llm.SourceLive, CostUSD: new(0.1), Timing: llm.Timing{WaitedSeconds: 1, InFlight: []llm.Span{{AtSeconds: 1, Seconds: 2}}}}
			switch {
			case a.Path == "c":
				return out, errBad
			case a.Path == "a" && a.Number == 1:
				return out, errBusy
			}
			out.Output, out.ServiceSeconds, out.FirstTokenSeconds = "done", 2, 0.5
			return out, nil
		}
		b := newBook(t)
		opts := engine.Options{RunID: bookID, MaxParallel: 4, Execute: execute, Log: b.log, Identify: identityOf(nil)}
		res := run(t.Context(), wf, opts)
		rebuilt := run(t.Context(), wf, engine.Options{RunID: bookID, Past: past(t, b.events(t)), Rebuild: true})
		for name, res := range map[string]*engine.Result{"run": res, "rebuilt": rebuilt} {
			a, each, failed := res.Steps["a"], res.Steps["b"], res.Steps["c"]
			second := a.DurationSeconds - 2 // when the second request was sent: after the first, a pause and a wait
			want := llm.Timing{WaitedSeconds: second - 2, FirstTokenSeconds: 0.5, ServiceSeconds: 2, InFlight: []llm.Span{{AtSeconds: 1, Seconds: 2}, {AtSeconds: second, Seconds: 2}}}
			if diff := cmp.Diff(want, a.Timing, cmpopts.EquateApprox(0, 1e-6)); diff != "" || second < 4 {
				t.Errorf("%s: step a of %v s (-want +got):\n%s", name, a.DurationSeconds, diff)
			}
			if diff := cmp.Diff(llm.Timing{WaitedSeconds: 2, ServiceSeconds: 4}, each.Timing); diff != "" {
				t.Errorf("%s: foreach (-want +got):\n%s", name, diff)
			}
			if diff := cmp.Diff(llm.Timing{WaitedSeconds: 1, InFlight: []llm.Span{{AtSeconds: 1, Seconds: 2}}}, failed.Timing); diff != "" {
				t.Errorf("%s: failed step (-want +got):\n%s", name, diff)
			}
		}
	})
}

// Results that are taken from another run were not served to this one, and the
// details of journals without times can be read.
func TestTimesOfEarlierRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parseFiles(t, `{name: w, steps: [{id: a, agent: x, task: t}]}`, nil)
		earlier := past(t, []journal.Event{
			{Seq: 1, Type: journal.RunStarted},
			{Seq: 2, Type: journal.StepStarted, Step: "a", Attempt: 1, Time: time.Now(), Detail: json.RawMessage(`{"agent":"x","model":"m","task":"t"}`)},
			{Seq: 3, Type: journal.StepFinished, Step: "a", Time: time.Now(), Output: "done",
				Detail: json.RawMessage(`{"model":"m","source":"live","stop_reason":"end_turn","usage":{"input_tokens":1},"cost_usd":0.5,"duration_seconds":3}`)},
		})
		res := run(t.Context(), wf, engine.Options{RunID: bookID, Past: earlier, Rebuild: true})
		if a := res.Steps["a"]; a.Measured() || a.DurationSeconds != 3 || a.LatencySeconds(a.DurationSeconds) != 3 {
			t.Errorf("%+v of %v s", a.Timing, a.DurationSeconds)
		}
	})
}

// A step that sends a request waits for as long as its server asks, within bounds.
func TestServersSayWhenToTryAgain(t *testing.T) {
	for asks, want := range map[time.Duration]time.Duration{-1: time.Millisecond, time.Minute: time.Minute, time.Hour: 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			wf := parseFiles(t, `{name: w, steps: [{id: a, http: "https://example.com", retries: {max: 1, backoff: 1ms}}]}`, nil)
			began, number := time.Now(), 0
			res := run(t.Context(), wf, engine.Options{MaxParallel: 1, Execute: func(context.Context, engine.Attempt) (llm.Outcome, error) {
				if number++; number == 1 {
					return llm.Outcome{}, &llm.Error{Code: llm.CodeRateLimit, RetryAfter: asks}
				}
				return llm.Outcome{}, nil
			}})
			if took := time.Since(began); res.Status != engine.StatusCompleted || took > want || took < want/2 {
				t.Errorf("asked to wait %v, it waited %v: %s", asks, took, res.Status)
			}
		})
	}
}
