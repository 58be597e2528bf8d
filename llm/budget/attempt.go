package budget

import (
	"cmp"
	"context"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Sending is an attempt at the service that is in flight or has ended.
type Sending struct {
	llm.Sent
	Start     time.Time
	Charge    llm.Charge // zero while it is in flight
	Uncertain llm.Money  // what it may be billed beyond the charge; while it is in flight, all that is reserved for it
	Code      llm.Code   // of its end; 0 while it is in flight, and for a whole answer
}

// attempt is one request that a call sends to the service.
type attempt struct {
	call     *call
	ctx      context.Context //nolint:containedctx // of the attempt
	req      *llm.Request    // as it is sent
	start    time.Time
	meter    *llm.Meter
	sent     llm.Sent
	code     llm.Code
	reserved []reservation
	settled  bool
}

// note returns the attempt for the ledger: in flight if the charge is zero.
func (a *attempt) note(charge llm.Charge) Attempt {
	note := a.call.b.opts.Note
	if note == nil {
		return Attempt{ID: a.sent.ID}
	}
	s := Sending{Sent: a.sent, Start: a.start, Charge: charge, Uncertain: a.sent.Reserved}
	if charge.Basis != "" {
		s.Uncertain = a.sent.Uncertain(a.meter, charge, a.call.b.prices())
		if !a.meter.Answered() {
			s.Code = cmp.Or(a.code, llm.CodeCanceled)
		}
	}
	return Attempt{ID: a.sent.ID, Note: note(a.ctx, a.req, s)}
}

// see takes in an event or error of the attempt's stream. It settles a whole
// answer before the consumer gets it.
func (a *attempt) see(ev llm.Event, err error) {
	a.meter.See(ev, err)
	if err != nil {
		a.code = llm.CodeOf(err)
	}
	if a.meter.Answered() {
		a.finish()
	}
}

// finish ends the attempt. A free one returns its reservation to the call, for the
// next attempt. Others are charged what the service reported, and what it may have
// billed beyond that.
func (a *attempt) finish() {
	if a.settled {
		return
	}
	a.settled = true
	c := a.call
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight = c.inFlight.Minus(total(a.reserved))
	prices := c.b.prices()
	charge := a.meter.Charge(prices)
	if charge.Basis == llm.BasisFree {
		back := a.note(charge)
		if a.meter.Answered() {
			c.sent = false // nothing reached the service
			back.Note = ""
		}
		// If this fails, the reservation counts as sent if the process is killed.
		_ = c.b.ledger.Return(back, ids(a.reserved))
		for _, r := range a.reserved {
			c.keep(r)
		}
		return
	}
	most, end := total(a.reserved), a.note(charge)
	if !charge.Priced {
		// Only scopes without a limit in money let such a call pass.
		c.settle(&end, a.reserved, charge.Model, most, most)
		return
	}
	if a.meter.Answered() && charge.Exact() {
		c.b.lengths.add(c.req, a.meter.Length(charge))
		c.b.prefixes.add(c.req, charge.Usage)
	}
	c.b.excess.add(charge.Cost, most.Money)
	spent := Amount{Money: charge.Cost, Tokens: int64(charge.Usage.TotalTokens())}
	// What is doubted was reserved: no attempt is charged more than that, unless
	// the service itself reported more.
	doubted, _ := a.meter.Doubt(charge, prices, a.sent.Input)
	uncertain := Amount{Money: a.sent.Uncertain(a.meter, charge, prices), Tokens: min(int64(doubted), max(most.Tokens-spent.Tokens, 0))}
	if !c.counted {
		spent.Calls = 1
		if !charge.Exact() {
			uncertain.Calls = 1
			spent.Calls = 0
		}
	}
	c.settle(&end, a.reserved, charge.Model, spent.Plus(uncertain), uncertain)
}
