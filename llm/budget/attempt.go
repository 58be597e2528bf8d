package budget

import "github.com/claude-force/claude-force/llm"

// attempt is one try of a call at the service.
type attempt struct {
	call    *call
	model   string
	rate    llm.Rate
	holds   []held
	began   bool  // something of an answer came
	err     error // how it failed
	settled bool
}

// see follows the attempt's stream. A whole answer is settled before it is
// passed on.
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

func (a *attempt) answered(resp *llm.Response) {
	c := a.call
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case resp == nil:
		a.lose()
		return
	case resp.Source != "" && resp.Source != llm.SourceLive:
		c.sent = false
		a.giveBack() // it cost nothing
		return
	}
	prices, model := c.b.prices(), resp.Model
	cost, priced := prices.CostOf(model, resp.Usage, a.rate)
	if !priced {
		// Clouds decorate the name of the model that was asked.
		model = a.model
		cost, priced = prices.CostOf(model, resp.Usage, a.rate)
	}
	if _, known := prices.CostOf(a.model, llm.Usage{}, a.rate); known && !priced {
		a.lose()
		return
	}
	spent := Amount{Money: cost, Tokens: int64(resp.Usage.TotalTokens())}
	if !c.counted {
		spent.Calls = 1
	}
	a.settle(model, spent, false)
}

// settle, lose and giveBack end the attempt. The caller holds the call's mu.

func (a *attempt) settle(model string, spent Amount, uncertain bool) {
	a.settled = true
	a.call.flying = a.call.flying.Minus(total(a.holds))
	a.call.settle(a.holds, model, spent, uncertain)
}

// lose charges the attempt at its worst case.
func (a *attempt) lose() { a.settle(a.model, total(a.holds), true) }

// giveBack leaves the reservation to the next attempt.
func (a *attempt) giveBack() {
	a.settled = true
	a.call.flying = a.call.flying.Minus(total(a.holds))
	for _, h := range a.holds {
		a.call.keep(h)
	}
}

// finish ends an attempt that did not answer: one that the service refused
// gives its reservation back, and one that may have been billed is charged.
func (a *attempt) finish() {
	if a.settled {
		return
	}
	a.call.mu.Lock()
	defer a.call.mu.Unlock()
	if a.err != nil && !a.began && llm.Unbilled(a.err) {
		a.giveBack()
		return
	}
	a.lose()
}
