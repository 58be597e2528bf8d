// Package record is the layer that writes down every call: who asked which
// model, what came of it, how long it took and what it cost.
//
// It is the outermost layer, so that it sees the calls that were free too,
// those answered by the cache or shared with an identical call:
//
//	model := record.New(pipeline, record.Options{}, sink)
//
// The invariant: one [Call] for each range over a stream, whatever ends it,
// be it an answer, an error, a consumer that breaks off or one that panics.
// A Call holds no prompt, no answer and no credential.
package record

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Call is what happened in one call.
type Call struct {
	Tags          llm.Tags   // what it is part of
	Agent         string     // who asked; may be empty
	Model         string     // the model asked for
	ResponseModel string     // the model that answered; empty without an answer
	Source        llm.Source // where the answer came from; empty without an answer
	Usage         llm.Usage  // tokens of the answer, also when nothing was paid for them; zero without an answer

	// CostUSD is what was paid now: 0 if the answer was not live or the call
	// failed [llm.Unbilled]. It is nil if it is unknown: the model has no
	// price, or the call ended early, and the service may bill its work until
	// then without reporting it.
	CostUSD *float64
	// SavedUSD is what the answer would have cost and did not: 0 for a live
	// answer or none, nil if the model has no price.
	SavedUSD *float64

	Start      time.Time
	Duration   time.Duration // until the stream ended, the consumer's own time included
	FirstToken time.Duration // until the first piece of the answer; 0 if none came
	Attempts   int           // tries sent to the provider; 0 if none or unknown
	Code       llm.Code      // 0 for a whole answer
	StopReason string        // why the answer stopped; empty without an answer
}

// Options are the settings of [New]. The zero value is ready.
type Options struct {
	// Prices turns usage into money. Nil means [llm.Prices].
	Prices *llm.PriceTable
}

// New returns next with a sink that gets one [Call] for each range over a stream.
//
// The sink runs on the goroutine that ranged, after the call was released and
// before the range returns, so it must be quick; a sink that stores must
// queue. Calls that run at once call it at once: it must be safe for
// concurrent use. A nil sink means no layer: New returns next.
func New(next llm.Model, opts Options, sink func(context.Context, Call)) llm.Model {
	if sink == nil {
		return next
	}
	prices := opts.Prices
	if prices == nil {
		prices = llm.Prices()
	}
	return &model{next: next, prices: prices, sink: sink}
}

type model struct {
	next   llm.Model
	prices *llm.PriceTable
	sink   func(context.Context, Call)
}

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		r := recording{call: Call{Tags: llm.TagsOf(ctx), Agent: req.Agent, Model: req.Model, Start: time.Now()}}
		// Deferred, so that a consumer's panic on its way up is recorded.
		defer func() { m.sink(ctx, r.finish(m.prices)) }()
		r.outcome = outcomePanicked
		for ev, err := range m.next.Stream(ctx, req) {
			r.see(ev, err)
			r.outcome = outcomeStopped
			if !yield(ev, err) {
				return
			}
			r.outcome = outcomePanicked
		}
		r.outcome = outcomeEnded
	}
}

// outcome is how the range over next's stream ended.
type outcome int

const (
	outcomePanicked outcome = iota // next panicked
	outcomeStopped                 // the consumer broke off or panicked
	outcomeEnded                   // the stream ran to its end
)

// recording is a Call as it happens.
type recording struct {
	call    Call
	begun   bool // an event other than a ping came
	resp    *llm.Response
	err     error
	outcome outcome
}

func (r *recording) see(ev llm.Event, err error) {
	if err != nil {
		r.err = err
		return
	}
	switch ev.Type {
	case llm.EventPing:
		return
	case llm.EventText, llm.EventThinking, llm.EventToolInput:
		if r.call.FirstToken == 0 {
			// At least 1 ns, so that a clock that stood still, as it may on a
			// cache hit, does not read as "none came".
			r.call.FirstToken = max(time.Since(r.call.Start), 1)
		}
	case llm.EventDone:
		r.resp = ev.Response
	}
	r.begun = true
}

func (r *recording) finish(prices *llm.PriceTable) Call {
	c := r.call
	c.Duration = time.Since(c.Start)
	switch {
	case r.resp != nil:
		r.price(&c, prices)
		return c
	case r.err != nil:
		c.Code = llm.CodeOf(r.err)
		if e, ok := errors.AsType[interface {
			error
			Attempts() int
		}](r.err); ok {
			c.Attempts = e.Attempts()
		}
	case r.outcome == outcomeStopped:
		c.Code = llm.CodeCanceled
	case r.outcome == outcomeEnded:
		c.Code = llm.CodeIncomplete
	default:
		c.Code = llm.CodeInternal
	}
	c.SavedUSD = new(float64)
	if !r.begun && llm.Unbilled(r.err) {
		c.CostUSD = new(float64)
	}
	return c
}

// price fills in what an answer tells.
func (r *recording) price(c *Call, prices *llm.PriceTable) {
	c.ResponseModel, c.Source, c.Usage = r.resp.Model, r.resp.Source, r.resp.Usage
	c.Attempts, c.StopReason = r.resp.Attempts, r.resp.StopReason
	usd, priced := prices.Cost(cmp.Or(r.resp.Model, c.Model), r.resp.Usage)
	switch r.resp.Source {
	case llm.SourceCache, llm.SourceCoalesced, llm.SourceReplay:
		c.CostUSD = new(float64)
		if priced {
			c.SavedUSD = &usd
		}
	default:
		c.SavedUSD = new(float64)
		if priced {
			c.CostUSD = &usd
		} else {
			c.SavedUSD = nil
		}
	}
}
