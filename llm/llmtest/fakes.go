package llmtest

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Echo is a model that answers with what it was asked: the text of the last
// message, behind "echo: ", streamed word by word. The same request always
// has the same answer, and two requests that differ in that text have
// different ones. The zero value is ready; it is safe for concurrent use.
type Echo struct{}

// Stream answers req at once.
func (Echo) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		text := EchoText(req)
		if !emit(ctx, yield, llm.Event{Type: llm.EventStart}) {
			return
		}
		for word := range strings.SplitAfterSeq(text, " ") {
			if !emit(ctx, yield, llm.Event{Type: llm.EventText, Text: word}) {
				return
			}
		}
		resp := Response(text)
		resp.ID, resp.Model = fmt.Sprintf("msg_echo_%d", len(text)), req.Model
		resp.Usage.InputTokens = len(text)
		emit(ctx, yield, llm.Event{Type: llm.EventDone, Response: resp})
	}
}

// EchoText returns what [Echo] answers to req.
func EchoText(req *llm.Request) string {
	var sb strings.Builder
	sb.WriteString("echo: ")
	if n := len(req.Messages); n > 0 {
		for _, b := range req.Messages[n-1].Content {
			if b.Type == llm.BlockText {
				sb.WriteString(b.Text)
			}
		}
	}
	return sb.String()
}

// emit yields ev, or the context's error if ctx has ended, and reports
// whether to go on.
func emit(ctx context.Context, yield func(llm.Event, error) bool, ev llm.Event) bool {
	if ctx.Err() != nil {
		yield(llm.Event{}, llm.ContextError(ctx))
		return false
	}
	return yield(ev, nil)
}

// Step is one thing that a scripted call does. A call whose steps run out
// before [Done] or [Fail] ends as a cut stream.
type Step struct {
	event llm.Event
	err   error
	wait  time.Duration
	hang  bool
	do    func(context.Context, *llm.Request)
}

// Start yields [llm.EventStart].
func Start() Step { return Emit(llm.Event{Type: llm.EventStart}) }

// Ping yields [llm.EventPing].
func Ping() Step { return Emit(llm.Event{Type: llm.EventPing}) }

// Text yields a piece of text of block 0.
func Text(piece string) Step { return Emit(llm.Event{Type: llm.EventText, Text: piece}) }

// Done ends the call with resp.
func Done(resp *llm.Response) Step { return Emit(llm.Event{Type: llm.EventDone, Response: resp}) }

// Emit yields ev.
func Emit(ev llm.Event) Step { return Step{event: ev} }

// Fail ends the call with err.
func Fail(err error) Step { return Step{err: err} }

// FailCode ends the call with an error of the given code and no retry hint.
func FailCode(code llm.Code) Step {
	return Fail(llm.NewError(code, "scripted "+code.String(), nil))
}

// Wait lets d pass, less if the context ends.
func Wait(d time.Duration) Step { return Step{wait: d} }

// Hang waits until the context ends, as a service that stays silent does.
func Hang() Step { return Step{hang: true} }

// Do calls f on the call's goroutine.
func Do(f func(context.Context, *llm.Request)) Step { return Step{do: f} }

// Answer returns the steps of a complete answer: a start, text in three pieces,
// the end.
func Answer(text string) []Step {
	a, b := len(text)/3, 2*len(text)/3
	return []Step{Start(), Text(text[:a]), Text(text[a:b]), Text(text[b:]), Done(Response(text))}
}

// Script is a model that plays steps. Its n-th call plays the n-th list given
// to [NewScript]; calls beyond the last list play the last again. It is safe
// for concurrent use; calls are numbered in the order they start.
type Script struct {
	calls [][]Step

	mu       sync.Mutex // guards the fields below
	started  int
	ended    int
	maximum  int
	requests []*llm.Request
}

// NewScript makes a script of one list of steps per call. With no list every
// call is an empty stream.
func NewScript(calls ...[]Step) *Script { return &Script{calls: calls} }

// Stream plays the next list of steps.
func (s *Script) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		steps := s.begin(req)
		defer s.end()
		for _, step := range steps {
			if step.do != nil {
				step.do(ctx, req)
				continue
			}
			if !step.pass(ctx) {
				yield(llm.Event{}, llm.ContextError(ctx))
				return
			}
			switch {
			case step.err != nil:
				yield(llm.Event{}, step.err)
				return
			case step.event.Type == "":
				continue
			case !yield(step.event, nil), step.event.Type == llm.EventDone:
				return
			}
		}
	}
}

// pass lets the step's time go by; it reports false if ctx ended.
func (s Step) pass(ctx context.Context) bool {
	switch {
	case s.hang:
		<-ctx.Done()
	case s.wait > 0:
		timer := time.NewTimer(s.wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
	return ctx.Err() == nil
}

func (s *Script) begin(req *llm.Request) []Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := min(s.started, len(s.calls)-1)
	s.started++
	s.maximum = max(s.maximum, s.started-s.ended)
	s.requests = append(s.requests, req)
	if i < 0 {
		return nil
	}
	return s.calls[i]
}

func (s *Script) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended++
}

// Started returns the number of calls started so far.
func (s *Script) Started() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started
}

// InFlight returns the number of calls started and not yet released.
func (s *Script) InFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started - s.ended
}

// MaxInFlight returns the most calls that were ever in flight at once.
func (s *Script) MaxInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maximum
}

// Requests returns the requests of the calls so far, in order of their start.
func (s *Script) Requests() []*llm.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*llm.Request(nil), s.requests...)
}
