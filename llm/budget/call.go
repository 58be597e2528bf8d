package budget

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/claude-force/claude-force/llm"
)

type callKey struct{}

// call is one call on its way, with what it holds.
type call struct {
	b      *Budget
	asked  *llm.Request // as the caller made it
	req    *llm.Request // as it is sent
	scopes []Scope      // those of level Call included

	input      int  // most tokens of the prompt
	measured   bool // Options.Count was asked
	downgraded bool // Options.Downgrade was asked

	mu      sync.Mutex // guards the fields below, which attempts use
	holds   []held     // of no attempt yet
	sent    bool       // an attempt reached the service
	unit    bool       // the one call of limits in calls is reserved or charged
	counted bool       // it is charged
	flying  Amount     // held by attempts in flight
	lost    Amount     // spent on attempts that broke off
}

type held struct {
	hold   Hold
	amount Amount
}

func newCall(b *Budget, scopes []Scope, req *llm.Request) *call {
	b.raised(scopes)
	slices.SortStableFunc(scopes, func(a, b Scope) int { return cmp.Compare(alone(a), alone(b)) })
	return &call{b: b, asked: req, req: req, scopes: scopes, input: inputBound(req)}
}

// alone is 1 for a scope that no other call shares, which the ledger does not
// keep, so that such scopes come last.
func alone(s Scope) int {
	if s.Level == Call {
		return 1
	}
	return 0
}

// accounts are the scopes that the ledger keeps, at the same indexes.
func (c *call) accounts() []Account {
	var accounts []Account
	for _, s := range c.scopes {
		if alone(s) == 0 {
			accounts = append(accounts, Account{Key: s.key(), Limits: Amount{s.Limits.Money, s.Limits.Tokens, s.Limits.Calls}})
		}
	}
	return accounts
}

// shortAlone checks the ceilings of the single call.
func (c *call) shortAlone(need Amount) *Shortage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ownShortage(need)
}

// ownShortage is shortAlone for who holds c.mu.
func (c *call) ownShortage(need Amount) *Shortage {
	for i, s := range c.scopes {
		if alone(s) == 0 {
			continue
		}
		own := Account{Limits: Amount{s.Limits.Money, s.Limits.Tokens, s.Limits.Calls}}
		if short := Check([]Account{own}, []Balance{{Spent: c.lost, Reserved: c.flying}}, need); short != nil {
			short.Account = i
			return short
		}
	}
	return nil
}

func (c *call) run(ctx context.Context, next llm.Model, yield func(llm.Event, error) bool) {
	timed, cancel := c.limitTime(ctx)
	defer cancel()
	defer c.close()
	for {
		if err := c.admit(timed); err != nil {
			yield(llm.Event{}, err)
			return
		}
		if !c.send(ctx, timed, next, yield) {
			return
		}
	}
}

// send passes the call on, and reports whether it must be admitted again: an
// attempt broke off and there was no room for another at once, which it may
// wait for here, where it holds no slot.
func (c *call) send(ctx, timed context.Context, next llm.Model, yield func(llm.Event, error) bool) (again bool) {
	for ev, err := range next.Stream(context.WithValue(timed, callKey{}, c), c.req) {
		if e, ok := errors.AsType[*retryError](err); ok && e.call == c {
			return true
		}
		if err != nil && ctx.Err() == nil && timed.Err() != nil {
			if e := c.expired(timed); e != nil {
				err = e.call()
			}
		}
		if ev.Type == llm.EventDone {
			ev.Response = c.mark(ev.Response)
		}
		if !yield(ev, err) || err != nil {
			return false
		}
	}
	return false
}

// mark says of an answer that its request was changed, if that shows.
func (c *call) mark(resp *llm.Response) *llm.Response {
	cut := c.req.MaxTokens != c.asked.MaxTokens && resp != nil && resp.StopReason == llm.StopMaxTokens
	if resp == nil || resp.Altered || !cut && c.req.Model == c.asked.Model {
		return resp
	}
	resp = resp.Clone()
	resp.Altered = true
	return resp
}

func (c *call) hold(hold Hold, amount Amount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(held{hold, amount})
}

// charged reports whether the call is reserved or charged as one already.
func (c *call) charged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unit
}

// keep puts a reservation aside for the next attempt. The caller holds c.mu.
func (c *call) keep(h held) {
	c.holds = append(c.holds, h)
	c.unit = c.unit || h.amount.Calls > 0
}

// retryError is an attempt for which there was no room at once.
type retryError struct{ call *call }

func (*retryError) Error() string { return "the budget has no room for another attempt at once" }

// begin gives an attempt its reservation: what the call holds, and what is
// missing to the worst case. Attempts at once, as of a layer that sends a late
// call twice, each have their own.
func (c *call) begin(ctx context.Context, req *llm.Request) (*attempt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	input := c.input
	if req != c.req { // a layer below has changed it
		input += max(inputBound(req)-inputBound(c.req), 0)
	}
	need, err := c.b.worst(c.scopes, req, input)
	if err != nil {
		return nil, err
	}
	have := total(c.holds)
	if c.unit {
		need.Calls = have.Calls
	}
	short := c.ownShortage(need)
	if more := need.Minus(have); more != (Amount{}) || short != nil {
		// A wait here would keep a slot from the calls that are waited for.
		var hold Hold
		if short == nil {
			if hold, short, err = c.b.ledger.Reserve(c.accounts(), more); err != nil {
				return nil, c.interrupted(ctx, err)
			}
		}
		if short != nil {
			return nil, llm.NewError(llm.CodeSpendLimit, (&retryError{}).Error(), &retryError{call: c})
		}
		c.keep(held{hold, more})
	}
	a := &attempt{call: c, model: req.Model, rate: llm.RateOf(req), holds: c.holds}
	c.holds, c.sent = nil, true
	c.flying = c.flying.Plus(total(a.holds))
	return a, nil
}

func total(holds []held) (sum Amount) {
	for _, h := range holds {
		sum = sum.Plus(h.amount)
	}
	return sum
}

// settle ends reservations: the first takes what was spent.
func (c *call) settle(holds []held, model string, spent Amount, uncertain bool) {
	if len(holds) == 0 {
		return
	}
	s := Settlement{Model: model, Scopes: c.scopes, Reserved: total(holds), Spent: spent, Uncertain: uncertain}
	for i, h := range holds {
		amount, marked := spent, uncertain
		if i > 0 {
			amount, marked = Amount{}, false
		}
		s.Err = errors.Join(s.Err, c.b.ledger.Settle(h.hold, amount, marked))
	}
	c.counted = c.counted || spent.Calls > 0
	if uncertain {
		c.lost = c.lost.Plus(spent)
	}
	keys := make([]string, len(c.scopes))
	for i, scope := range c.scopes {
		keys[i] = scope.key()
	}
	c.b.line.changed(keys)
	if c.b.opts.OnSettle != nil {
		c.b.opts.OnSettle(s)
	}
}

// close frees what is still held: nothing of it was billed.
func (c *call) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var spent Amount
	if c.sent && !c.counted {
		spent.Calls = 1
	}
	c.settle(c.holds, c.req.Model, spent, false)
	c.holds = nil
}
