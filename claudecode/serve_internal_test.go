package claudecode

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/server/proxy"
)

// one is an upstream whose calls have one event, or fail.
type one struct {
	proxy.Upstream
	err error
}

func (o one) Model() llm.Model { return o }

func (o one) Stream(context.Context, *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) { yield(llm.Event{}, o.err) }
}

// TestCallsAreNotedBeforeTheProgramKnows looks at what is noted of a call while the program is
// given what came of it: it may end at once, and the task is judged by the notes.
func TestCallsAreNotedBeforeTheProgramKnows(t *testing.T) {
	t.Parallel()
	s := &service{}
	refused := errors.New("no budget")
	for n, c := range []struct{ err, noted error }{{nil, nil}, {refused, refused}, {context.Canceled, refused}, {nil, nil}} {
		for range (watched{one{err: c.err}, s}).Stream(t.Context(), &llm.Request{}) {
			if calls, failed := s.asked(); calls != n+1 || !errors.Is(failed, c.noted) {
				t.Errorf("call %d: %d calls are noted, and the error %v; want %v", n+1, calls, failed, c.noted)
			}
		}
	}
}
