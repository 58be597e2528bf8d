package budget

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

type callKey struct{}

// call is one call in progress, with its reservations.
type call struct {
	b      *Budget
	asked  *llm.Request // as the caller made it
	req    *llm.Request // as it is sent
	scopes []Scope      // those of level Call included

	input      int    // most tokens of the prompt
	added      int    // most tokens that layers below add to the prompt
	hour       bool   // layers below have it written to the prompt cache for an hour
	measured   bool   // Options.Count was called
	learned    bool   // the bound by earlier calls was taken
	downgraded bool   // Options.Downgrade was called
	needed     Amount // the worst case with the model that a layer below has chosen; zero if none has

	mu        sync.Mutex    // guards the fields below, which attempts use
	available []reservation // of no attempt yet
	sent      bool          // an attempt reached the service
	unit      bool          // a limit in calls has this call reserved or charged
	counted   bool          // it is charged
	inFlight  Amount        // reserved by attempts in flight
	lost      Amount        // spent by attempts that have ended
}

// reservation is a reservation in the ledger with its amount.
type reservation struct {
	id     Reservation
	amount Amount
}

func newCall(b *Budget, scopes []Scope, req *llm.Request) *call {
	b.raised(scopes)
	slices.SortStableFunc(scopes, func(a, b Scope) int { return cmp.Compare(alone(a), alone(b)) })
	return &call{b: b, asked: req, req: req, scopes: scopes, input: inputBound(req)}
}

// alone returns 1 for a scope that no other call shares, else 0. The ledger does
// not store such scopes, so they are sorted last.
func alone(s Scope) int {
	if s.Level == Call {
		return 1
	}
	return 0
}

// accounts returns the scopes that the ledger stores, at the same indexes.
func (c *call) accounts() []Account {
	var accounts []Account
	for _, s := range c.scopes {
		if alone(s) == 0 {
			accounts = append(accounts, Account{Key: s.key(), Limits: Amount{s.Limits.Money, s.Limits.Tokens, s.Limits.Calls}})
		}
	}
	return accounts
}

// insufficientAlone checks the limits of the single call.
func (c *call) insufficientAlone(need Amount) *Insufficient {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.insufficientLocked(need)
}

// insufficientLocked does what insufficientAlone does, with c.mu held.
func (c *call) insufficientLocked(need Amount) *Insufficient {
	for i, s := range c.scopes {
		if alone(s) == 0 {
			continue
		}
		own := Account{Limits: Amount{s.Limits.Money, s.Limits.Tokens, s.Limits.Calls}}
		if short := Check([]Account{own}, []Balance{{Spent: c.lost, Reserved: c.inFlight}}, need); short != nil {
			short.Account = i
			return short
		}
	}
	return nil
}

// run admits the call and sends it, until it ends.
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

// send makes the call with next. It reports whether the call must be admitted
// again: an attempt broke off, and another one did not fit at once. The call waits
// for room up here, where it holds no slot.
func (c *call) send(ctx, timed context.Context, next llm.Model, yield func(llm.Event, error) bool) (again bool) {
	for ev, err := range next.Stream(context.WithValue(timed, callKey{}, c), c.req) {
		if e, ok := errors.AsType[*retryError](err); ok && e.call == c {
			c.needed = e.needed
			c.added = max(c.added, e.added)
			c.hour = c.hour || e.hour
			c.release()
			return true
		}
		if err != nil && ctx.Err() == nil && timed.Err() != nil {
			if e := c.expired(timed); e != nil {
				err = e.call()
			}
		}
		if ev.Type == llm.EventDone {
			ev.Response = c.mark(ev.Response)
			c.reportCut(ev.Response)
			if e := c.cut(ev.Response); e != nil {
				ev, err = llm.Event{}, e.call()
			}
		}
		if !yield(ev, err) || err != nil {
			return false
		}
	}
	return false
}

// mark returns resp marked as altered if the budget changed its request and the
// answer shows it.
func (c *call) mark(resp *llm.Response) *llm.Response {
	cut := c.req.MaxTokens != c.asked.MaxTokens && resp != nil && resp.StopReason == llm.StopMaxTokens
	if resp == nil || resp.Altered || !cut && c.req.Model == c.asked.Model {
		return resp
	}
	resp = resp.Clone()
	resp.Altered = true
	return resp
}

// shortened reports whether an answer was cut since a budget had no room for a longer one.
func (c *call) shortened(resp *llm.Response) bool {
	return resp != nil && resp.StopReason == llm.StopMaxTokens && c.req.MaxTokens < c.asked.MaxTokens
}

// cut returns the error of an answer that was cut since a budget had no room for a
// longer one; nil if it was not, or if partial answers are wanted.
func (c *call) cut(resp *llm.Response) *ExceededError {
	if !c.shortened(resp) || c.partial() {
		return nil
	}
	for _, s := range c.scopes {
		if s.Limits.Money != 0 || s.Limits.Tokens != 0 {
			return &ExceededError{Scope: s, Kind: Answer, Limit: int64(c.req.MaxTokens), Needed: int64(c.asked.MaxTokens), Action: s.OnBreach}
		}
	}
	return nil
}

// add stores a reservation for the next attempt.
func (c *call) add(r reservation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(r)
}

// charged reports whether a limit in calls has this call reserved or charged.
func (c *call) charged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unit
}

// keep stores a reservation for the next attempt. The caller holds c.mu.
func (c *call) keep(r reservation) {
	c.available = append(c.available, r)
	c.unit = c.unit || r.amount.Calls > 0
}

// release gives up the reservations of no attempt. A call that held them while it
// waits for more could wait for another that does the same.
func (c *call) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(nil, c.available, c.req.Model, Amount{}, Amount{})
	c.available = nil
	c.unit = c.counted
}

// retryError is the failure of an attempt that does not fit at once.
type retryError struct {
	call   *call
	needed Amount // what must be reserved in all; zero for the worst case of the call
	added  int    // most tokens that layers below have added to the prompt
	hour   bool   // they have it written to the prompt cache for an hour
}

func (*retryError) Error() string { return "the budget has no room for another attempt at once" }

// begin returns an attempt with its reservations: those of the call, and one for
// what is missing to the worst case. Concurrent attempts, as of a hedged call,
// each have their own.
func (c *call) begin(ctx context.Context, req *llm.Request) (*attempt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	added := c.added
	if req != c.req { // a layer below has changed it
		added = max(added, inputBound(req)-inputBound(c.req))
	}
	input := c.input + added
	need, err := c.b.worst(c.scopes, req, input, c.hour)
	if err != nil {
		return nil, err
	}
	have := total(c.available)
	if c.unit {
		need.Calls = have.Calls
	}
	short := c.insufficientLocked(need)
	if more := need.Minus(have); more != (Amount{}) || short != nil {
		// Waiting here would keep a slot from the calls that it waits for.
		var id Reservation
		if short == nil {
			if id, short, err = c.b.ledger.Reserve(c.accounts(), more); err != nil {
				return nil, c.interrupted(ctx, err)
			}
		}
		if short != nil {
			e := &retryError{call: c, added: added, hour: llm.RateOf(req).Hour}
			if req.Model != c.req.Model || req.MaxTokens > c.req.MaxTokens {
				e.needed = need
			}
			return nil, llm.NewError(llm.CodeSpendLimit, e.Error(), e)
		}
		c.keep(reservation{id, more})
	}
	if over := c.overbilled(); over != nil {
		return nil, c.refused(over)
	}
	most := total(c.available)
	estimate := c.b.prices().EstimateTokens(req.Model, max(input, inputBound(req)))
	a := &attempt{call: c, ctx: ctx, req: req, start: time.Now(), meter: llm.NewMeter(req), sent: llm.NewSent(min(input, estimate), most.Money), reserved: c.available}
	if err := c.b.ledger.Send(a.note(llm.Charge{}), ids(a.reserved)); err != nil {
		return nil, c.interrupted(ctx, err)
	}
	c.available, c.sent = nil, true
	c.inFlight = c.inFlight.Plus(total(a.reserved))
	return a, nil
}

// total returns the sum of reservations.
func total(list []reservation) (sum Amount) {
	for _, r := range list {
		sum = sum.Plus(r.amount)
	}
	return sum
}

// ids returns the ids of reservations.
func ids(list []reservation) []Reservation {
	out := make([]Reservation, len(list))
	for i, r := range list {
		out[i] = r.id
	}
	return out
}

// settle settles the reservations of an attempt, or of none, with what was spent, of
// which uncertain is a part. The caller holds c.mu.
func (c *call) settle(a *Attempt, reserved []reservation, model string, spent, uncertain Amount) {
	if len(reserved) == 0 {
		return
	}
	s := Settlement{Model: model, Scopes: c.scopes, Reserved: total(reserved), Spent: spent, Uncertain: uncertain}
	s.Err = c.b.ledger.Settle(a, ids(reserved), spent, uncertain)
	c.reportSpent(&s)
	c.counted = c.counted || spent.Calls > 0
	c.lost = c.lost.Plus(spent)
	keys := make([]string, len(c.scopes))
	for i, scope := range c.scopes {
		keys[i] = scope.key()
	}
	c.b.line.changed(keys)
	if c.b.opts.OnSettle != nil {
		c.b.opts.OnSettle(s)
	}
}

// close settles the reservations of no attempt: nothing of them was billed.
func (c *call) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var spent Amount
	if c.sent && !c.counted {
		spent.Calls = 1
	}
	c.settle(nil, c.available, c.req.Model, spent, Amount{})
	c.available = nil
}
