package budget

import "github.com/claude-force/claude-force/llm"

// attempt is one request that a call sends to the service.
type attempt struct {
	call     *call
	meter    *llm.Meter
	input    int // most tokens of the prompt
	size     int // its bytes
	reserved []reservation
	settled  bool
}

// see takes in an event or error of the attempt's stream. It settles a whole
// answer before the consumer gets it.
func (a *attempt) see(ev llm.Event, err error) {
	a.meter.See(ev, err)
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
		if a.meter.Answered() {
			c.sent = false // nothing reached the service
		}
		for _, r := range a.reserved {
			c.keep(r)
		}
		return
	}
	most := total(a.reserved)
	if !charge.Priced {
		// Only scopes without a limit in money let such a call pass.
		c.settle(a.reserved, charge.Model, most, most)
		return
	}
	if a.meter.Answered() {
		c.b.lengths.add(c.req, a.meter.Length(charge))
		c.b.prefixes.add(c.req, charge.Usage)
	}
	c.b.excess.add(charge.Cost, most.Money)
	spent := Amount{Money: charge.Cost, Tokens: int64(charge.Usage.TotalTokens())}
	tokens, money := a.meter.Doubt(charge, prices, min(a.input, prices.EstimateTokens(charge.Model, a.size)))
	// What is doubted was reserved: no attempt is charged more than that, unless
	// the service itself reported more.
	uncertain := Amount{Money: min(money, max(most.Money-spent.Money, 0)), Tokens: min(int64(tokens), max(most.Tokens-spent.Tokens, 0))}
	if !c.counted {
		spent.Calls = 1
		if !charge.Exact() {
			uncertain.Calls = 1
			spent.Calls = 0
		}
	}
	c.settle(a.reserved, charge.Model, spent.Plus(uncertain), uncertain)
}
