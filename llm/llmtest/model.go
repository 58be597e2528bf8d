package llmtest

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
)

// SuiteModel checks the part of the contract that needs nothing but a model
// which answers any small request. newModel is called once per check.
//
// It runs in real time, so that models which use the network can run it.
func SuiteModel(t *testing.T, newModel func(t *testing.T) llm.Model) {
	t.Helper()
	for _, c := range modelChecks {
		t.Run(c.name, func(t *testing.T) { c.check(t, newModel(t)) })
	}
}

type modelCheck struct {
	name  string
	check func(t *testing.T, m llm.Model)
}

var modelChecks = []modelCheck{
	{"Answer", checkAnswer},
	{"Lazy", checkLazy},
	{"Rerange", checkRerange},
	{"EarlyBreak", checkEarlyBreak},
	{"CanceledBefore", checkCanceledBefore},
	{"CanceledDuring", checkCanceledDuring},
	{"DeadlinePassed", checkDeadlinePassed},
	{"RequestUntouched", checkRequestUntouched},
	{"Concurrent", checkConcurrent},
}

// result is what a whole stream came to.
type result struct {
	resp   *llm.Response
	err    error
	text   string // all EventText pieces, joined
	events int    // pairs, the last included
}

// drain ranges over a stream to its end and checks the order of its pairs: at
// most one end, and nothing after it.
func drain(t *testing.T, seq iter.Seq2[llm.Event, error]) result {
	t.Helper()
	r, problems := follow(seq)
	for _, p := range problems {
		t.Error(p)
	}
	return r
}

// follow drains a stream on any goroutine.
func follow(seq iter.Seq2[llm.Event, error]) (r result, problems []string) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	var text strings.Builder
	for ev, err := range seq {
		if r.resp != nil || r.err != nil {
			problem("pair (%q, %v) after the stream's end", ev.Type, err)
		}
		r.events++
		switch {
		case err != nil:
			r.err = err
		case ev.Type == "":
			problem("event without a type")
		case ev.Type == llm.EventDone:
			if r.resp = ev.Response; ev.Response == nil {
				problem("done event without a response")
			}
		case ev.Response != nil:
			problem("%s event with a response; only done carries one", ev.Type)
		case ev.Type == llm.EventText:
			text.WriteString(ev.Text)
		}
	}
	r.text = text.String()
	if r.resp != nil {
		if got, want := r.text, r.resp.Text(); got != want {
			problem("text pieces join to %q, the response's text is %q", got, want)
		}
		if r.resp.Source == "" {
			problem("response without a source")
		}
		if r.resp.StopReason == "" {
			problem("response without a stop reason")
		}
	}
	return r, problems
}

// wantAnswer drains a stream that must end with an answer.
func wantAnswer(t *testing.T, seq iter.Seq2[llm.Event, error]) *llm.Response {
	t.Helper()
	r := drain(t, seq)
	if r.err != nil {
		t.Fatalf("stream failed: %v", r.err)
	}
	if r.resp == nil {
		t.Fatal("stream ended without an answer and without an error")
	}
	return r.resp
}

// wantCode drains a stream that must fail with code.
func wantCode(t *testing.T, seq iter.Seq2[llm.Event, error], code llm.Code) error {
	t.Helper()
	r := drain(t, seq)
	if r.err == nil {
		t.Fatalf("stream ended without an error, want code %v (response: %v)", code, r.resp)
	}
	if got := llm.CodeOf(r.err); got != code {
		t.Errorf("stream failed with code %v (%v), want %v", got, r.err, code)
	}
	return r.err
}

func checkAnswer(t *testing.T, m llm.Model) {
	wantAnswer(t, m.Stream(t.Context(), Request("How are you?")))
}

// checkLazy ends the context between Stream and the range: a call that began
// in Stream would answer.
func checkLazy(t *testing.T, m llm.Model) {
	ctx, cancel := context.WithCancel(t.Context())
	seq := m.Stream(ctx, Request("Wait for it."))
	cancel()
	_ = wantCode(t, seq, llm.CodeCanceled)
}

func checkRerange(t *testing.T, m llm.Model) {
	seq := m.Stream(t.Context(), Request("Say it twice."))
	first, second := wantAnswer(t, seq), wantAnswer(t, seq)
	if first.Text() == "" || second.Text() == "" {
		t.Errorf("texts of two ranges = %q, %q; want two answers", first.Text(), second.Text())
	}
}

func checkEarlyBreak(t *testing.T, m llm.Model) {
	req := Request("One two three four.")
	for n := 1; ; n++ {
		seen := 0
		ended := false
		for ev, err := range m.Stream(t.Context(), req) {
			if err != nil {
				t.Fatalf("stream failed: %v", err)
			}
			seen++
			if ended = ev.Type == llm.EventDone; seen == n {
				break
			}
		}
		if seen < n || ended {
			break
		}
	}
	// A model that leaked a slot or a lock on a break cannot answer now.
	wantAnswer(t, m.Stream(t.Context(), req))
}

func checkCanceledBefore(t *testing.T, m llm.Model) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = wantCode(t, m.Stream(ctx, Request("Too late.")), llm.CodeCanceled)
	wantAnswer(t, m.Stream(t.Context(), Request("Still there?")))
}

func checkCanceledDuring(t *testing.T, m llm.Model) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seq := m.Stream(ctx, Request("One two three four five six seven."))
	r := drain(t, func(yield func(llm.Event, error) bool) {
		for ev, err := range seq {
			cancel()
			if !yield(ev, err) {
				return
			}
		}
	})
	// The rest of an answer may already be here, so both ends are right.
	if r.err != nil && llm.CodeOf(r.err) != llm.CodeCanceled {
		t.Errorf("stream failed with code %v (%v), want canceled", llm.CodeOf(r.err), r.err)
	}
	if r.err == nil && r.resp == nil {
		t.Error("stream ended without an answer and without an error")
	}
}

func checkDeadlinePassed(t *testing.T, m llm.Model) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_ = wantCode(t, m.Stream(ctx, Request("Too late.")), llm.CodeTimeout)
}

func checkRequestUntouched(t *testing.T, m llm.Model) {
	req := Request("Leave me as I am.")
	wantAnswer(t, m.Stream(t.Context(), req))
	if diff := cmp.Diff(Request("Leave me as I am."), req); diff != "" {
		t.Errorf("the call changed its request (-before +after):\n%s", diff)
	}
}

// checkConcurrent makes calls at once, half of them with one shared request;
// it is at its best under the race detector.
func checkConcurrent(t *testing.T, m llm.Model) {
	shared := Request("All together.")
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			req := shared
			if i%2 == 1 {
				req = Request(fmt.Sprintf("Number %d.", i))
			}
			r, problems := follow(m.Stream(t.Context(), req))
			for _, p := range problems {
				t.Error(p)
			}
			if r.err != nil {
				t.Errorf("call %d: %v", i, r.err)
			} else if r.resp == nil {
				t.Errorf("call %d ended without an answer and without an error", i)
			}
		})
	}
	wg.Wait()
}
