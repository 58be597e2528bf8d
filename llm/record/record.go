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
	Usage         llm.Usage  // tokens of the answer, also when nothing was paid for them, and those that other attempts reported

	// CostUSD is what was paid now, as far as the service reported it, for all
	// attempts. It is 0 if nothing was sent, the answer was not live or the call
	// failed [llm.Unbilled]. It is nil if it is unknown: the model has no price,
	// or, without [Options.Metered], the call ended early.
	CostUSD *float64
	// AtLeast is the part of the cost that is known, when CostUSD is nil.
	AtLeast llm.Money
	// Uncertain reports that an attempt broke off before it reported anything,
	// and may have been billed.
	Uncertain bool
	// SavedUSD is what the answer would have cost and did not: 0 for a live
	// answer or none, nil if the model has no price.
	SavedUSD *float64

	Start    time.Time
	Duration time.Duration // until the stream ended, the consumer's own time included

	// Service is how long the service took for the attempt that answered; 0 if
	// it did not answer, or if it is unknown, as in a message batch.
	Service time.Duration
	// Waited is how long nothing was in flight: for a slot, for a rate limit, for
	// room in a budget, between attempts. It is 0 if Service is unknown.
	Waited time.Duration
	// FirstToken is how long the service took until the first piece of the
	// answer, where Service is known, else the time since Start; 0 if none came.
	FirstToken time.Duration

	Tries      []Attempt // each request that was sent, in the order in which they ended
	Attempts   int       // requests sent to the provider; 0 if none or unknown
	Code       llm.Code  // 0 for a whole answer
	StopReason string    // why the answer stopped; empty without an answer
}

// Options are the settings of [New]. The zero value is ready.
type Options struct {
	// Prices turns usage into money. Nil means [llm.Prices].
	Prices *llm.PriceTable

	// Metered reports that [Attempts] stands below, so that a call without an
	// attempt was not sent.
	Metered bool
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
	return &model{next: next, prices: prices, metered: opts.Metered, sink: sink}
}

type model struct {
	next    llm.Model
	prices  *llm.PriceTable
	metered bool
	sink    func(context.Context, Call)
}

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		r := recording{call: Call{Tags: llm.TagsOf(ctx), Agent: req.Agent, Model: req.Model, Start: time.Now()}}
		r.metered, r.req = m.metered, req
		tries := &list{}
		// Deferred, so that a consumer's panic on its way up is recorded.
		defer func() {
			r.call.Tries = tries.close()
			call := r.finish(m.prices)
			bill := llm.BillOf(ctx)
			bill.Add(call.paid())
			bill.AddTime(call.timing(bill))
			m.sink(ctx, call)
		}()
		r.outcome = outcomePanicked
		for ev, err := range m.next.Stream(context.WithValue(ctx, listKey{}, tries), req) {
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
	metered bool // the cost is that of the attempts
	req     *llm.Request
	started bool // an event other than a ping came
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
	r.started = true
}

func (r *recording) finish(prices *llm.PriceTable) Call {
	c := r.call
	c.Duration = time.Since(c.Start)
	c.SavedUSD = new(float64)
	r.end(&c)
	switch free := c.Source != "" && c.Source != llm.SourceLive; {
	case free:
		c.CostUSD, c.SavedUSD = new(float64), nil
		if cost, _, priced := prices.CostOfAnswer(r.req, r.resp); priced {
			c.SavedUSD = new(cost.USD())
		}
		if len(c.Tries) > 0 { // some were made before the answer turned out to be there
			r.sum(&c)
		}
	case r.metered && !r.takenOver(&c):
		r.sum(&c)
	case r.metered && r.resp.AttemptID != 0:
		c.Tries = append(c.Tries, r.attemptOfOther(prices))
		r.sum(&c)
		c.Waited = 0 // when it was in flight is not known
	case r.resp != nil:
		if cost, _, priced := prices.CostOfAnswer(r.req, r.resp); priced {
			c.CostUSD = new(cost.USD())
		} else {
			c.SavedUSD = nil
		}
	case !r.started && llm.Unbilled(r.err):
		c.CostUSD = new(float64)
	}
	return c
}

// takenOver reports whether the answer is live, and was made for another call
// that has left: its attempts were that call's.
func (r *recording) takenOver(c *Call) bool {
	if r.resp == nil {
		return false
	}
	for _, a := range c.Tries {
		if a.Code == 0 {
			return false
		}
	}
	return true
}

// attemptOfOther returns the attempt that the answer was made with, of whose time nothing
// is known: it began with a call that has left.
func (r *recording) attemptOfOther(prices *llm.PriceTable) Attempt {
	meter := llm.NewMeter(r.req)
	meter.See(llm.Event{Type: llm.EventDone, Response: r.resp}, nil)
	return Attempt{ID: r.resp.AttemptID, Start: r.call.Start, Charge: meter.Charge(prices)}
}

// end fills in how the call ended.
func (r *recording) end(c *Call) {
	switch {
	case r.resp != nil:
		c.ResponseModel, c.Source, c.Usage = r.resp.Model, r.resp.Source, r.resp.Usage
		c.Attempts, c.StopReason = r.resp.Attempts, r.resp.StopReason
		if c.Source == "" {
			c.Source = llm.SourceLive
		}
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
}

// sum fills in what the attempts cost and how long they took.
func (r *recording) sum(c *Call) {
	answer := c.Usage
	c.Attempts = len(c.Tries)
	known := true
	var working time.Duration
	var until time.Time
	for _, a := range c.Tries {
		if a.Code != 0 {
			answer = answer.Add(a.Charge.Usage)
		}
		c.AtLeast = c.AtLeast.Add(a.Charge.Cost)
		known = known && a.Charge.Priced
		c.Uncertain = c.Uncertain || a.Charge.Basis == llm.BasisUnknown
		if a.Code == 0 {
			c.Service, c.FirstToken = a.Duration, a.FirstToken
		}
		// Attempts of a hedged call overlap.
		begin, end := a.Start, a.Start.Add(a.Duration)
		if begin.Before(until) {
			begin = until
		}
		if end.After(begin) {
			working += end.Sub(begin)
			until = end
		}
	}
	c.Usage = answer
	if !r.req.Batch { // of whose time nothing is known
		c.Waited = max(c.Duration-working, 0)
	}
	if known {
		c.CostUSD = new(c.AtLeast.USD())
	}
}

// Sent reports whether a request was sent for the call, or answered without
// one. A call that was not sent cost nothing and is none for statistics.
func (c *Call) Sent() bool { return c.Code == 0 || c.Attempts > 0 }

// paid returns the usage and the cost for the bill of the call's context.
func (c *Call) paid() (usage llm.Usage, cost llm.Money, known bool) {
	if c.Code != 0 || c.Source == llm.SourceLive || len(c.Tries) > 0 {
		usage = c.Usage
	}
	if c.CostUSD != nil {
		return usage, llm.Dollars(*c.CostUSD), true
	}
	return usage, c.AtLeast, false
}

// timing returns how long the call took, for the bill of the call's context.
func (c *Call) timing(bill *llm.Bill) llm.Timing {
	t := llm.Timing{
		WaitedSeconds: c.Waited.Seconds(), ServiceSeconds: c.Service.Seconds(),
	}
	if c.Service > 0 {
		t.FirstTokenSeconds = c.FirstToken.Seconds()
	}
	for _, a := range c.Tries {
		if a.Duration == 0 { // in a message batch
			continue
		}
		t = t.AddLater(llm.Timing{InFlight: []llm.Span{bill.Span(a.Start, a.Duration)}})
	}
	return t
}
