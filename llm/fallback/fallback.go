// Package fallback is the layer that asks another model when the one that was
// asked cannot answer.
//
//	model := fallback.New(budget.New(retry.New(…)), fallback.Options{
//		Models: func(context.Context, *llm.Request) []string { return []string{"claude-sonnet-5-5"} },
//	})
//
// It sits above retry, so that a model is given up only after its attempts, and
// above the budget, so that each model's call is reserved at its own price. It
// sits below the cache, which does not store an answer of one model under the
// key of another: the answer's Model says who gave it.
//
// A model is given up when it is overloaded or its service fails, when it does
// not exist, and when it refuses to answer. What would fail with every model (a
// wrong request, a refused credential, a spending limit) is not tried again, and
// neither is a rate limit, which passes.
//
// The invariants: nothing is asked again once a piece of an answer has been
// shown, so a start and pings are held back until the first piece, for ten
// seconds at most; each model is asked once; if no model answers, the outcome is
// that of the first. A call that is made [llm.Request.Once] is passed on
// untouched.
package fallback

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/claude-force/claude-force/llm"
)

// Options are the settings of [New].
type Options struct {
	// Models gives the models to ask instead of req's own, best first. Nil
	// means none: the layer does nothing.
	Models func(ctx context.Context, req *llm.Request) []string

	// OnFallback, when set, is called before another model is asked. Calls
	// that run at once call it at once.
	OnFallback func(ctx context.Context, f Fallback)
}

// Fallback is one step from a model to the next.
type Fallback struct {
	From, To string
	Err      error         // why; nil if From refused
	Refusal  *llm.Response // what From refused with, which was paid for; nil if it failed
}

// New returns next with other models to fall back on.
func New(next llm.Model, opts Options) llm.Model {
	if opts.OnFallback == nil {
		opts.OnFallback = func(context.Context, Fallback) {}
	}
	return &model{next: next, opts: opts}
}

func falls(err error) bool {
	switch llm.CodeOf(err) {
	case llm.CodeOverloaded, llm.CodeServer, llm.CodeConnection, llm.CodeIncomplete, llm.CodeNotFound:
		return true
	}
	return false
}

type model struct {
	next llm.Model
	opts Options
}

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		models := m.models(ctx, req)
		if len(models) == 1 {
			m.next.Stream(ctx, req)(yield)
			return
		}
		var first, last *try
		billed := false // some try may have been
		for i, name := range models {
			asked := req
			if i > 0 {
				m.opts.OnFallback(ctx, Fallback{From: models[i-1], To: name, Err: last.err, Refusal: last.refusal})
				asked = m.adapt(req, name)
			}
			last = &try{model: name, yield: yield, out: llm.NewHoldback(req, yield)}
			last.run(m.next.Stream(ctx, asked))
			if last.over {
				return
			}
			if first == nil {
				first = last
			}
			billed = billed || last.out.Began() || !llm.Unbilled(last.err)
			if billed {
				first.err, last.err = llm.MayBeBilled(first.err), llm.MayBeBilled(last.err)
			}
			if ctx.Err() != nil || last.err != nil && !falls(last.err) {
				break
			}
		}
		if ctx.Err() != nil {
			yield(llm.Event{}, last.err)
			return
		}
		first.fail(last)
	}
}

// models returns those to ask in turn, each once.
func (m *model) models(ctx context.Context, req *llm.Request) []string {
	models := []string{req.Model}
	if m.opts.Models == nil || req.Once || req.Wire != nil {
		return models
	}
	for _, name := range m.opts.Models(ctx, req) {
		if name != "" && !slices.Contains(models, name) {
			models = append(models, name)
		}
	}
	return models
}

// adapt returns req for another model.
func (m *model) adapt(req *llm.Request, name string) *llm.Request {
	other := *req
	other.Model = name
	return &other
}

// try is a call of one model.
type try struct {
	model string
	yield func(llm.Event, error) bool
	out   *llm.Holdback
	over  bool // the stream has ended for the consumer

	// How it failed, if it is not over: one of these.
	err     error
	refusal *llm.Response
}

// run ranges over the call's stream.
func (t *try) run(seq iter.Seq2[llm.Event, error]) {
	for ev, err := range seq {
		switch {
		case err != nil:
			t.broke(err)
			return
		case !t.out.Shown() && ev.Type == llm.EventDone && ev.Response.StopReason == llm.StopRefusal:
			t.refusal = ev.Response
			return
		}
		if !t.out.Yield(ev) || ev.Type == llm.EventDone {
			t.over = true
			return
		}
	}
	t.broke(llm.ErrIncomplete)
}

// broke ends the try with err, which is the consumer's if it was shown
// something.
func (t *try) broke(err error) {
	t.err, t.over = err, t.out.Shown()
	if t.over {
		t.yield(llm.Event{}, err)
	}
}

// fail yields how the first try failed, after the last failed too.
func (t *try) fail(last *try) {
	if !last.out.FlushUnseen() {
		return
	}
	switch {
	case t.refusal != nil:
		t.out.Yield(llm.Event{Type: llm.EventDone, Response: t.refusal})
	case t == last:
		t.yield(llm.Event{}, t.err)
	default:
		why := "it refused"
		if last.err != nil {
			why = describe(last.err).Message
		}
		out := describe(t.err)
		out.Message = fmt.Sprintf("%s; %s was asked instead: %s", out.Message, last.model, why)
		out.Err = errors.Join(t.err, last.err)
		t.yield(llm.Event{}, out)
	}
}

// describe returns a copy of the error in err's chain, or a new one.
func describe(err error) *llm.Error {
	out := llm.NewError(llm.CodeOf(err), err.Error(), nil)
	if e, ok := errors.AsType[*llm.Error](err); ok {
		*out = *e
		if out.Message == "" && e.Err != nil {
			out.Message = e.Err.Error()
		}
	}
	return out
}
