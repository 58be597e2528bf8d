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
		var last error        // why it is sent again
		var refused time.Time // when the service first refused it for a time
		sent := 0
		billed := false // some attempt may have been
		for {
			a, err := m.limits.enter(ctx, c)
			if err != nil {
				yield(llm.Event{}, withSent(because(err, last), sent, last != nil || m.limits.down(req.Model)))
				return
			}
			sent++
			out := llm.NewHoldback(nil, yield) // what was shown is for the retries above
			again, err := m.try(ctx, a, out)
			if err == nil {
				return
			}
			billed = billed || out.Began() || !llm.Unbilled(err)
			if billed {
				err = llm.MayBeBilled(err)
			}
			if refused.IsZero() && llm.CodeOf(err) == llm.CodeRateLimit {
				refused = time.Now()
			}
			impatient := again && !refused.IsZero() && time.Since(refused) > m.limits.opts.Patience
			if !again || impatient {
				over := impatient || !out.Shown() && outage(err) && m.limits.down(req.Model)
				yield(llm.Event{}, withSent(err, sent, over))
				return
			}
			c.again, last = true, err
		}
	}
}

// outage reports whether a failure is one for which the breaker opens.
func outage(err error) bool {
	switch llm.CodeOf(err) {
	case llm.CodeOverloaded, llm.CodeServer:
		return true
	case llm.CodeConnection:
		return llm.Unbilled(err)
	}
	return false
}

// withSent returns the error of a call that this layer has sent so often.
func withSent(err error, sent int, gaveUp bool) error {
	ended, ok := errors.AsType[*llm.Error](err)
	if !ok || sent == 1 && !gaveUp {
		return err
	}
	out := *ended
	out.Err = &llm.SentError{Sent: sent, GaveUp: gaveUp, Err: err}
	return &out
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
		case llm.EventStart, llm.EventPing, llm.EventDone:
		default:
			a.answering()
		}
		more := out.Yield(ev)
		if ev.Type == llm.EventDone && ev.Response != nil {
			a.settle(ev.Response.Usage) // what the next call needs, this answer does not wait for
		}
		if !more {
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
	if errors.Is(ended, errOutage) {
		return last // and no more was tried
	}
	out := *ended
	out.Err = errors.Join(ended.Err, last)
	if failure, ok := errors.AsType[*llm.Error](last); ok {
		out.Message = fmt.Sprintf("%s; before that: %s", ended.Message, failure.Message)
		out.Status, out.RequestID, out.ServiceCode = failure.Status, failure.RequestID, failure.ServiceCode
	}
	return &out
}
