package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// typist is a terminal whose user types when a test says so. What is typed
// and not read yet can be discarded.
type typist struct {
	typed chan byte
	out   bytes.Buffer
}

func newTerminal() *typist { return &typist{typed: make(chan byte, 1000)} }

func (t *typist) Read(p []byte) (int, error) {
	b, ok := <-t.typed
	if !ok {
		return 0, io.EOF
	}
	p[0] = b
	return 1, nil
}

func (t *typist) typeLine(text string) {
	for _, b := range []byte(text) {
		t.typed <- b
	}
}

func (t *typist) discard() {
	for len(t.typed) > 0 {
		<-t.typed
	}
}

func (t *typist) prompter() *prompter {
	p := newPrompter(t, &t.out)
	p.discard = t.discard
	return p
}

type reply struct {
	text string
	err  error
}

// start waits for the answer to q in the background.
func start(ctx context.Context, q *question) <-chan reply {
	c := make(chan reply, 1)
	go func() {
		text, err := q.answer(ctx)
		c <- reply{text, err}
	}()
	synctest.Wait()
	return c
}

func TestQuestionsAreAskedOneAtATimeInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		term := newTerminal()
		p := term.prompter()
		budget, deploy, publish := p.queue("How much? "), p.queue("Deploy? "), p.queue("Publish? ")
		third := start(t.Context(), publish) // who waits first does not matter
		second := start(t.Context(), deploy)
		first := start(t.Context(), budget)
		for i, step := range []struct {
			shown, typed string
			answer       <-chan reply
		}{{"How much? ", "5\n", first}, {"Deploy? ", " y \r\n", second}, {"Publish? ", "no\n", third}} {
			if got := term.out.String(); got != step.shown {
				t.Fatalf("question %d: the terminal shows %q; want %q", i, got, step.shown)
			}
			term.out.Reset()
			term.typeLine(step.typed)
			synctest.Wait()
			if got := <-step.answer; got != (reply{text: strings.TrimSpace(step.typed)}) {
				t.Errorf("question %d: answer %+v", i, got)
			}
		}
	})
}

func TestInputTypedBeforeTheQuestionIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		term := newTerminal()
		p := term.prompter()
		first := start(t.Context(), p.queue("How much? "))
		term.typeLine("5\ny\n") // the second line comes before the second question
		<-first
		second := start(t.Context(), p.queue("Deploy? "))
		select {
		case got := <-second:
			t.Fatalf("%+v answered a question that was not shown yet", got)
		default:
		}
		term.typeLine("no\n")
		if got := <-second; got.text != "no" {
			t.Errorf("answer %+v", got)
		}
	})
}

func TestCanceledQuestionLeavesItsLineToNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		term := newTerminal()
		p := term.prompter()
		ctx, cancel := context.WithCancel(t.Context())
		first, waiting := start(ctx, p.queue("Deploy? ")), start(ctx, p.queue("Never shown? "))
		cancel()
		for _, c := range []<-chan reply{first, waiting} {
			if got := <-c; !errors.Is(got.err, context.Canceled) {
				t.Errorf("a canceled question: %+v", got)
			}
		}
		term.typeLine("yes\n") // for no question
		synctest.Wait()
		second := start(t.Context(), p.queue("Publish? "))
		select {
		case got := <-second:
			t.Fatalf("%+v answered a later question", got)
		default:
		}
		term.typeLine("no\n")
		if got := <-second; got.text != "no" {
			t.Errorf("answer %+v", got)
		}
		if strings.Contains(term.out.String(), "Never") {
			t.Errorf("a canceled question was shown: %q", &term.out)
		}
	})
}

func TestEndOfInputEndsQuestions(t *testing.T) {
	t.Parallel()
	term := newTerminal()
	close(term.typed)
	for range 2 {
		if _, err := term.prompter().queue("Deploy? ").answer(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("error %v; want io.EOF", err)
		}
	}
	a := &app{stdin: io.NopCloser(term), stderr: &term.out, terminal: true, typed: true}
	if yes, err := a.confirm(t.Context(), "Deploy?"); yes || err != nil {
		t.Errorf("confirm at the end of the input: %t, %v; want no", yes, err)
	}
	if more, ok := a.askBudget(t.Context(), "The budget is spent."); ok {
		t.Errorf("%g dollars more at the end of the input", more)
	}
}

func TestQuestionsNeedATerminal(t *testing.T) {
	t.Parallel()
	for _, a := range []*app{{terminal: true}, {typed: true}} {
		var out bytes.Buffer
		a.stdin, a.stderr = io.NopCloser(strings.NewReader("y\n")), &out
		if _, err := a.ask(t.Context(), "Deploy? "); !errors.Is(err, errNoTerminal) || out.Len() > 0 {
			t.Errorf("without a terminal: error %v, shown %q", err, &out)
		}
	}
}

func TestInterruptEndsQuestions(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	close(stopping)
	term := newTerminal()
	a := &app{stdin: io.NopCloser(term), stderr: &term.out, terminal: true, typed: true, stopping: stopping}
	for range 100 { // the context of a question ends in a goroutine of its own
		if _, err := a.confirm(t.Context(), "Deploy?"); !errors.Is(err, errInterrupted) || term.out.Len() > 0 {
			t.Fatalf("error %v, shown %q; want errInterrupted and nothing", err, &term.out)
		}
	}
}
