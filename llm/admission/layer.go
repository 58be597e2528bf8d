package admission

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// NewLimited returns next behind limits and gate: a call waits until its model's
// pool has room for it, then for a slot, which it holds as with [New]. A nil
// gate means any number of calls in flight.
//
// A call that is refused with a 429, or that fails with an open breaker,
// before anything of the answer was yielded keeps its place and is sent again
// here when its pool is open again. See the package's comment.
func NewLimited(next llm.Model, gate *Gate, limits *Limiter) llm.Model {
	return &limited{next, gate, limits}
}

type limited struct {
	next   llm.Model
	gate   *Gate
	limits *Limiter
}

func (m *limited) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		c := &call{req: req, characters: size(req), gate: m.gate}
		var last error // why it is sent again
		var since time.Time
		billed := false // some attempt may have been
		for {
			a, err := m.limits.enter(ctx, c)
			if err != nil {
				yield(llm.Event{}, because(err, last))
				return
			}
			out := llm.NewHoldback(nil, yield) // what was shown is for the retries above
			again, err := m.try(ctx, a, out)
			if err == nil {
				return
			}
			billed = billed || out.Began() || !llm.Unbilled(err)
			if billed {
				err = llm.MayBeBilled(err)
			}
			if last == nil {
				since = time.Now()
			}
			if !again || time.Since(since) > m.limits.opts.Patience {
				yield(llm.Event{}, err)
				return
			}
			c.again, last = true, err
		}
	}
}

// try sends a call once. An error is still to be yielded; with again, nothing
// of the answer has been.
func (m *limited) try(ctx context.Context, a *attempt, out *llm.Holdback) (again bool, failed error) {
	defer a.end()
	for ev, err := range m.next.Stream(ctx, a.req) {
		if err != nil {
			failed = err
			break
		}
		switch ev.Type {
		case llm.EventStart, llm.EventPing:
		case llm.EventDone:
			if ev.Response != nil {
				a.settle(ev.Response.Usage)
			}
		default:
			a.answering()
		}
		if !out.Yield(ev) {
			return false, nil
		}
	}
	if failed == nil {
		out.Flush()
		return false, nil
	}
	return a.failed(failed) && !out.Shown() && ctx.Err() == nil, failed
}

// because returns err, which ended a wait, together with the failure that the call waited
// after.
func because(err, last error) error {
	ended, ok := errors.AsType[*llm.Error](err)
	if !ok || last == nil {
		return err
	}
	out := *ended
	out.Err = errors.Join(ended.Err, last)
	if failure, ok := errors.AsType[*llm.Error](last); ok {
		out.Message = fmt.Sprintf("%s; before that: %s", ended.Message, failure.Message)
		out.Status, out.RequestID, out.ServiceCode = failure.Status, failure.RequestID, failure.ServiceCode
	}
	return &out
}
