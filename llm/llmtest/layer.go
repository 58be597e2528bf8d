package llmtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
)

// Suite checks the whole contract of a layer. newModel wraps next in the
// layer; it is called once per check, inside a [synctest] bubble, so what it
// makes must stop its goroutines in t.Cleanup and must not use the network. A
// goroutine that outlives its call fails the suite.
//
// A layer may answer or refuse without asking next, may ask it again after an
// error that is [llm.Code.Transient], and may leave out events other than the
// last.
func Suite(t *testing.T, newModel func(t *testing.T, next llm.Model) llm.Model) {
	t.Helper()
	for _, c := range modelChecks {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.check(t, newModel(t, Echo{})) })
		})
	}
	for _, c := range layerChecks {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.check(t, func(next llm.Model) llm.Model { return newModel(t, next) })
			})
		})
	}
}

type layerCheck struct {
	name  string
	check func(t *testing.T, wrap func(llm.Model) llm.Model)
}

var layerChecks = []layerCheck{
	{"SameAnswer", checkSameAnswer},
	{"OwnAnswer", checkOwnAnswer},
	{"FullRequestUntouched", checkFullRequestUntouched},
	{"UpstreamLazy", checkUpstreamLazy},
	{"RerangeAfterError", checkRerangeAfterError},
	{"ErrorsPass", checkErrorsPass},
	{"ErrorAfterContent", checkErrorAfterContent},
	{"CutStream", checkCutStream},
	{"UnknownEvents", checkUnknownEvents},
	{"BreakReleases", checkBreakReleases},
	{"PanicReleases", checkPanicReleases},
	{"CancelWhileSilent", checkCancelWhileSilent},
	{"DeadlineWhileSilent", checkDeadlineWhileSilent},
	{"CancelBetweenEvents", checkCancelBetweenEvents},
}

// released fails the test if a call below the layer is still in flight.
func released(t *testing.T, s *Script, when string) {
	t.Helper()
	if n := s.InFlight(); n != 0 {
		t.Errorf("%d calls still in flight %s", n, when)
	}
}

func checkSameAnswer(t *testing.T, wrap func(llm.Model) llm.Model) {
	next := NewScript(Answer("forty-two, I think"))
	got := wantAnswer(t, wrap(next).Stream(t.Context(), Request("What is it?")))
	released(t, next, "after the answer")
	want := Response("forty-two, I think")
	want.AttemptID = got.AttemptID // of a layer that numbers attempts
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the layer changed the first live answer (-next +layer):\n%s", diff)
	}
}

// checkOwnAnswer makes calls with different requests at once: each must get
// the answer to its own.
func checkOwnAnswer(t *testing.T, wrap func(llm.Model) llm.Model) {
	m := wrap(Echo{})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			req := Request(fmt.Sprintf("question %d", i/2))
			r, problems := follow(m.Stream(t.Context(), req))
			for _, p := range problems {
				t.Error(p)
			}
			if r.err != nil || r.text != EchoText(req) {
				t.Errorf("call %d: answer %q, error %v; want %q", i, r.text, r.err, EchoText(req))
			}
		})
	}
	wg.Wait()
}

func checkFullRequestUntouched(t *testing.T, wrap func(llm.Model) llm.Model) {
	m := wrap(Echo{})
	for _, policy := range []llm.Policy{llm.PolicyDefault, llm.PolicyRefresh, llm.PolicyOff} {
		want, req := fullRequest("Mind the gap."), fullRequest("Mind the gap.")
		want.Policy, req.Policy = policy, policy
		wantAnswer(t, m.Stream(t.Context(), req))
		if diff := cmp.Diff(want, req); diff != "" {
			t.Errorf("the call changed its request (-before +after):\n%s", diff)
		}
	}
}

func checkUpstreamLazy(t *testing.T, wrap func(llm.Model) llm.Model) {
	next := NewScript(Answer("hello"))
	wrap(next).Stream(t.Context(), Request("No caller ranges over this."))
	synctest.Wait()
	if n := next.Started(); n != 0 {
		t.Errorf("%d calls started by a stream that no caller ranged over", n)
	}
}

func checkRerangeAfterError(t *testing.T, wrap func(llm.Model) llm.Model) {
	next := NewScript([]Step{FailCode(llm.CodeInvalid)}, Answer("better now"))
	seq := wrap(next).Stream(t.Context(), Request("Try."))
	_ = wantCode(t, seq, llm.CodeInvalid)
	if got := wantAnswer(t, seq).Text(); got != "better now" {
		t.Errorf("second range = %q, want a new call's answer", got)
	}
}

func checkErrorsPass(t *testing.T, wrap func(llm.Model) llm.Model) {
	for code := llm.CodeInvalid; code <= llm.CodeInternal; code++ {
		scripted := &llm.Error{Code: code, Message: "scripted", Status: 418, RequestID: "req_" + code.String(), RetryAfter: -1}
		next := NewScript([]Step{Fail(scripted)})
		err := wantCode(t, wrap(next).Stream(t.Context(), Request("Fail.")), code)
		released(t, next, "after an error")
		if e, ok := errors.AsType[*llm.Error](err); !ok || e.RequestID != scripted.RequestID || e.Status != scripted.Status {
			t.Errorf("error %v lost its request id or status, want those of %v", err, scripted)
		}
		models := map[string]int{}
		for _, req := range next.Requests() {
			models[req.Model]++
		}
		for model, n := range models {
			if n != 1 && !code.Transient() {
				t.Errorf("code %v: %d calls of %s, want 1: it is not transient", code, n, model)
			}
		}
	}
	plain := errors.New("plain")
	if err := wantCode(t, wrap(NewScript([]Step{Fail(plain)})).Stream(t.Context(), Request("Fail.")), llm.CodeInternal); !errors.Is(err, plain) {
		t.Errorf("error %v does not wrap its cause", err)
	}
}

func checkErrorAfterContent(t *testing.T, wrap func(llm.Model) llm.Model) {
	next := NewScript([]Step{Start(), Text("half"), FailCode(llm.CodeOverloaded)}, Answer("a second answer"))
	_ = wantCode(t, wrap(next).Stream(t.Context(), Request("Break.")), llm.CodeOverloaded)
	if n := next.Started(); n != 1 {
		t.Errorf("%d calls of next, want 1: content had been yielded", n)
	}
	released(t, next, "after an error")
}

func checkCutStream(t *testing.T, wrap func(llm.Model) llm.Model) {
	cuts := map[string][]Step{
		"empty":         {},
		"after start":   {Start()},
		"after content": {Start(), Ping(), Text("half an ans")},
	}
	for name, steps := range cuts {
		next := NewScript(steps)
		r := drain(t, wrap(next).Stream(t.Context(), Request("Cut.")))
		if r.resp != nil {
			t.Errorf("%s: a cut stream became the answer %q", name, r.resp.Text())
		}
		if r.err != nil && llm.CodeOf(r.err) != llm.CodeIncomplete {
			t.Errorf("%s: code %v (%v), want incomplete", name, llm.CodeOf(r.err), r.err)
		}
		released(t, next, "after a cut stream")
	}
}

func checkUnknownEvents(t *testing.T, wrap func(llm.Model) llm.Model) {
	future := Emit(llm.Event{Type: "from_the_future", Index: 7, Text: "?"})
	next := NewScript([]Step{Ping(), Start(), future, Ping(), Text("fine"), future, Ping(), Done(Response("fine"))})
	if got := wantAnswer(t, wrap(next).Stream(t.Context(), Request("Surprise."))).Text(); got != "fine" {
		t.Errorf("answer = %q, want %q", got, "fine")
	}
}

func checkBreakReleases(t *testing.T, wrap func(llm.Model) llm.Model) {
	endless := []Step{Start(), Text("a"), Text("b"), Text("c"), Hang()}
	for n := 1; n <= 3; n++ {
		next := NewScript(endless)
		m := wrap(next)
		pieces := 0
		for ev, err := range m.Stream(t.Context(), Request("Go on.")) {
			if err != nil {
				t.Fatalf("stream failed: %v", err)
			}
			if ev.Type == llm.EventText {
				pieces++
			}
			if pieces == n {
				break
			}
		}
		released(t, next, "when a consumer that broke off got control back")
	}
}

func checkPanicReleases(t *testing.T, wrap func(llm.Model) llm.Model) {
	next := NewScript([]Step{Start(), Text("a"), Hang()}, Answer("recovered"))
	m := wrap(next)
	func() {
		defer func() {
			if got := recover(); got != "the consumer's own" {
				t.Errorf("recovered %v, want the consumer's own panic", got)
			}
		}()
		for _, err := range m.Stream(t.Context(), Request("Panic.")) {
			if err != nil {
				t.Errorf("the call failed before the consumer could panic: %v", err)
			}
			panic("the consumer's own")
		}
	}()
	released(t, next, "after a panic of the consumer")
	if got := wantAnswer(t, m.Stream(t.Context(), Request("And now?"))).Text(); got != "recovered" {
		t.Errorf("answer after a panic = %q, want %q", got, "recovered")
	}
}

// endings are the moments at which a silent service can keep a call.
var endings = map[string][]Step{
	"before anything": {Hang()},
	"after start":     {Start(), Hang()},
	"after content":   {Start(), Text("a"), Hang()},
}

func checkCancelWhileSilent(t *testing.T, wrap func(llm.Model) llm.Model) {
	for _, steps := range endings {
		next := NewScript(steps)
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(3*time.Second, cancel)
		begin := time.Now()
		_ = wantCode(t, wrap(next).Stream(ctx, Request("Silence.")), llm.CodeCanceled)
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("canceled after 3s, the stream ended after %v", d)
		}
		released(t, next, "after a cancellation")
		stop.Stop()
		cancel()
	}
}

func checkDeadlineWhileSilent(t *testing.T, wrap func(llm.Model) llm.Model) {
	for _, steps := range endings {
		next := NewScript(steps)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		begin := time.Now()
		_ = wantCode(t, wrap(next).Stream(ctx, Request("Silence.")), llm.CodeTimeout)
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("deadline after 3s, the stream ended after %v", d)
		}
		released(t, next, "after a deadline")
		cancel()
	}
}

func checkCancelBetweenEvents(t *testing.T, wrap func(llm.Model) llm.Model) {
	next := NewScript(slices.Concat([]Step{Start(), Text("a"), Wait(time.Hour)}, Answer("late")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begin := time.Now()
	_ = wantCode(t, func(yield func(llm.Event, error) bool) {
		for ev, err := range wrap(next).Stream(ctx, Request("Stop.")) {
			if ev.Type == llm.EventText {
				cancel()
			}
			if !yield(ev, err) {
				return
			}
		}
	}, llm.CodeCanceled)
	if d := time.Since(begin); d != 0 {
		t.Errorf("canceled at once, the stream ended after %v", d)
	}
	released(t, next, "after a cancellation")
}
