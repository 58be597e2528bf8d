package budget

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
)

// answer is the result of [Options.Ask] for a scope.
type answer struct {
	limits  Limits
	refused bool
}

// admit reserves the worst case of an attempt. Where a scope cannot cover it,
// admit takes the scope's action, which may change the request.
func (c *call) admit(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return c.interrupted(ctx, ctx.Err())
		}
		need, err := c.b.worst(c.scopes, c.req, c.input+c.added, c.hour)
		if err != nil {
			return err
		}
		if c.charged() {
			need.Calls = 0
		}
		if c.needed != (Amount{}) {
			need = c.needed
		}
		short := c.insufficientAlone(need)
		if short != nil && c.lowerAlone() {
			continue
		}
		if short == nil {
			var r reservation
			if r, short, err = c.b.reserve(ctx, c.accounts(), need, c.less); err != nil {
				return c.interrupted(ctx, err)
			}
			if short == nil {
				c.add(r)
				return nil
			}
		}
		e := c.exceeded(short)
		if c.learnTokens() || c.countTokens(ctx) {
			continue
		}
		if !c.act(ctx, e) {
			return c.refused(e)
		}
	}
}

// refused reports that a scope has no room for the call, and returns e as its error.
func (c *call) refused(e *ExceededError) error {
	if c.b.opts.OnExceeded != nil && alone(e.Scope) == 0 {
		c.b.opts.OnExceeded(e)
	}
	return e.call()
}

// interrupted returns the error of a call that could not reserve.
func (c *call) interrupted(ctx context.Context, err error) error {
	if e := c.expired(ctx); e != nil {
		return e.call()
	}
	if ctx.Err() != nil {
		ended := llm.ContextError(ctx)
		ended.Message += " while it waited for other calls to leave room in its budget"
		return ended
	}
	return llm.NewError(llm.CodeInternal, "the budget's ledger cannot be written, so no call is made: "+err.Error(), fault.Input(err))
}

// expired returns the error of a call whose scope's time has passed, or nil.
func (c *call) expired(ctx context.Context) *ExceededError {
	e, _ := errors.AsType[*ExceededError](context.Cause(ctx))
	return e
}

// exceeded returns s as an error that names the scope.
func (c *call) exceeded(s *Insufficient) *ExceededError {
	scope := c.scopes[s.Account]
	return &ExceededError{
		Scope: scope, Kind: s.Kind, Limit: s.Limit, Spent: s.Spent, Reserved: s.Reserved, Needed: s.Needed, Action: scope.OnBreach,
	}
}

// countTokens counts the prompt, once, and reports whether that lowered its
// bound.
func (c *call) countTokens(ctx context.Context) bool {
	if c.b.opts.Count == nil || c.measured {
		return false
	}
	c.measured = true
	n, err := c.b.opts.Count(ctx, c.req)
	if err != nil || n <= 0 {
		return false // the bound stands
	}
	n += n/20 + frameTokens
	if n >= c.input {
		return false
	}
	c.input = n
	return true
}

// act takes the scope's action and reports whether to try again.
func (c *call) act(ctx context.Context, e *ExceededError) bool {
	switch e.Action {
	case ActionAsk:
		return c.b.ask(ctx, c, e)
	case ActionDowngrade:
		return c.downgrade(ctx)
	}
	return false
}

// ask asks for new limits, unless the scope was asked before, and reports whether
// the call got some.
func (b *Budget) ask(ctx context.Context, c *call, e *ExceededError) bool {
	if b.opts.Ask == nil {
		return false
	}
	select {
	case b.asking <- struct{}{}:
		defer func() { <-b.asking }()
	case <-ctx.Done():
		return false
	}
	key := e.Scope.key()
	b.mu.Lock()
	said, asked := b.answers[key]
	b.mu.Unlock()
	switch {
	case asked && said.refused:
		return false
	case asked && said.limits != e.Scope.Limits: // while this call waited to ask
		return c.raise(key, said.limits)
	}
	limits, ok := b.opts.Ask(ctx, e)
	b.mu.Lock()
	b.answers[key] = answer{limits: limits, refused: !ok}
	b.mu.Unlock()
	return ok && c.raise(key, limits)
}

// raise sets the limits of the call's scope and reports whether that changed them.
func (c *call) raise(key string, limits Limits) bool {
	for i := range c.scopes {
		if c.scopes[i].key() == key && c.scopes[i].Limits != limits {
			c.scopes[i].Limits = limits
			return true
		}
	}
	return false
}

// raised applies the limits that Options.Ask gave earlier.
func (b *Budget) raised(scopes []Scope) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, s := range scopes {
		if said, ok := b.answers[s.key()]; ok && !said.refused && s.OnBreach == ActionAsk {
			scopes[i].Limits = said.limits
		}
	}
}

// downgrade changes the request to a cheaper model, once, and reports whether it
// did.
func (c *call) downgrade(ctx context.Context) bool {
	if c.b.opts.Downgrade == nil || c.downgraded || c.req.Wire != nil {
		return false
	}
	c.downgraded = true
	with := func(model string) *llm.Request {
		req := *c.req
		req.Model = model
		if info, ok := c.b.prices().Info(model); ok {
			req.MaxTokens = min(req.MaxTokens, info.MaxOutput)
		}
		return &req
	}
	fits := func(model string) bool {
		need, err := c.b.worst(c.scopes, with(model), c.input+c.added, c.hour)
		return err == nil && c.fits(need)
	}
	if model := c.b.opts.Downgrade(ctx, c.req, fits); model != "" && model != c.req.Model {
		c.req = with(model)
		c.learned = true // of another model: the bound stays
		return true
	}
	return false
}

// fits reports whether all scopes would have room if nothing else were in
// flight.
func (c *call) fits(need Amount) bool {
	if c.insufficientAlone(need) != nil {
		return false
	}
	accounts := c.accounts()
	balances := make([]Balance, len(accounts))
	for i, a := range accounts {
		b, err := c.b.ledger.Balance(a.Key)
		if err != nil {
			return false
		}
		balances[i].Spent = b.Spent
	}
	return Check(accounts, balances, need) == nil
}

// thinking returns the part of the answer's limit that is reserved for thinking.
func thinking(req *llm.Request) int {
	var t struct {
		BudgetTokens int `json:"budget_tokens"`
	}
	if json.Unmarshal(req.Thinking, &t) != nil {
		return 0
	}
	return t.BudgetTokens
}

// limitTime returns ctx with the earliest deadline of the scopes' times.
func (c *call) limitTime(ctx context.Context) (context.Context, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	now := time.Now()
	for _, s := range c.scopes {
		if s.Limits.Time == 0 {
			continue
		}
		limit := max(s.Limits.Time, 0) // that of [Nothing]
		start := s.Start
		if start.IsZero() {
			start = now
		}
		e := &ExceededError{Scope: s, Kind: Time, Limit: int64(limit), Spent: int64(now.Sub(start)), Action: s.OnBreach}
		inner, stop := context.WithDeadlineCause(ctx, start.Add(limit), e)
		outer := cancel
		ctx, cancel = inner, func() { stop(); outer() }
	}
	return ctx, cancel
}
