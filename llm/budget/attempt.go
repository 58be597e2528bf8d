package budget

import "github.com/claude-force/claude-force/llm"

// attempt is one try of a call at the service.
type attempt struct {
	call     *call
	model    string
	rate     llm.Rate
	reserved []reservation
	began    bool  // something of an answer came
	err      error // how it failed
	settled  bool
}

// see takes in an event or error of the attempt's stream. It settles a whole
// answer before the consumer gets it.
func (a *attempt) see(ev llm.Event, err error) {
	switch {
	case err != nil:
		a.err = err
	case ev.Type == llm.EventDone:
		a.answered(ev.Response)
	default:
		a.began = true
	}
}

// answered settles the attempt with its answer's cost.
func (a *attempt) answered(resp *llm.Response) {
	c := a.call
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case resp == nil:
		a.settleWorstCase()
		return
	case resp.Source != "" && resp.Source != llm.SourceLive:
		c.sent = false
		a.releaseReservation() // it cost nothing
		return
	}
	prices, model := c.b.prices(), resp.Model
	cost, priced := prices.CostOf(model, resp.Usage, a.rate)
	if !priced {
		// Clouds add to the name of the requested model.
		model = a.model
		cost, priced = prices.CostOf(model, resp.Usage, a.rate)
	}
	if _, known := prices.CostOf(a.model, llm.Usage{}, a.rate); known && !priced {
		a.settleWorstCase()
		return
	}
	spent := Amount{Money: cost, Tokens: int64(resp.Usage.TotalTokens())}
	if !c.counted {
		spent.Calls = 1
	}
	a.settle(model, spent, false)
}

// settle ends the attempt with what it spent. The caller holds the call's mu.
func (a *attempt) settle(model string, spent Amount, uncertain bool) {
	a.settled = true
	a.call.inFlight = a.call.inFlight.Minus(total(a.reserved))
	a.call.settle(a.reserved, model, spent, uncertain)
}

// settleWorstCase charges the attempt at its worst case. The caller holds the
// call's mu.
func (a *attempt) settleWorstCase() { a.settle(a.model, total(a.reserved), true) }

// releaseReservation returns the attempt's reservations to the call, for the next
// attempt. The caller holds the call's mu.
func (a *attempt) releaseReservation() {
	a.settled = true
	a.call.inFlight = a.call.inFlight.Minus(total(a.reserved))
	for _, r := range a.reserved {
		a.call.keep(r)
	}
}

// finish ends an attempt that did not answer: it releases the reservation if the
// attempt cost nothing, and charges an attempt that may have been billed.
func (a *attempt) finish() {
	if a.settled {
		return
	}
	a.call.mu.Lock()
	defer a.call.mu.Unlock()
	if a.err != nil && !a.began && llm.Unbilled(a.err) {
		a.releaseReservation()
		return
	}
	a.settleWorstCase()
}
