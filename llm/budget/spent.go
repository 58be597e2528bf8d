package budget

import (
	"sync"

	"github.com/claude-force/claude-force/llm"
)

// maxFull bounds the accounts that [fullAccounts] holds: of runs that have ended, it would
// hold them for good.
const maxFull = 1000

// fullAccounts holds the accounts of which everything may be spent once the calls of this
// process that are in flight have ended. It is safe for concurrent use.
type fullAccounts struct {
	mu       sync.Mutex // guards the field below
	accounts map[string]bool
}

// update adds or removes an account by its balance.
func (f *fullAccounts) update(a *Account, now *Balance) {
	full := usedUp(&a.Limits, now.Spent.Plus(now.Reserved)) != nil
	f.mu.Lock()
	defer f.mu.Unlock()
	if !full {
		delete(f.accounts, a.Key)
		return
	}
	if f.accounts == nil || len(f.accounts) >= maxFull {
		f.accounts = map[string]bool{} // the next call of one that is lost is refused, and reports it
	}
	f.accounts[a.Key] = true
}

func (f *fullAccounts) has(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accounts[key]
}

// usedUp returns a limit that an amount reaches, with what is spent; nil if it reaches
// none.
func usedUp(limits *Amount, spent Amount) *Insufficient {
	for _, k := range []struct {
		kind         Kind
		limit, spent int64
	}{{Dollars, int64(limits.Money), int64(spent.Money)}, {Tokens, limits.Tokens, spent.Tokens}, {Calls, limits.Calls, spent.Calls}} {
		if k.limit > 0 && k.spent >= k.limit {
			return &Insufficient{Kind: k.kind, Limit: k.limit, Spent: k.spent}
		}
	}
	return nil
}

// reportSpent reports the scopes of the call of which everything is spent after a
// settlement. Balances are read only where that is possible: the calls of this process have
// reserved all that was left, or more was billed than was reserved. If the last call in
// flight is one of another process, the next call, which is refused, reports the scope.
func (c *call) reportSpent(s *Settlement) {
	if c.b.opts.OnExceeded == nil || s.Err != nil || s.Spent == (Amount{}) {
		return
	}
	overbilled := s.Spent.Money > s.Reserved.Money || s.Spent.Tokens > s.Reserved.Tokens
	for i, a := range c.accounts() {
		if !overbilled && !c.b.full.has(a.Key) {
			continue
		}
		now, err := c.b.ledger.Balance(a.Key)
		if err != nil {
			continue // the next call reports it
		}
		c.b.full.update(&a, &now)
		if spent := usedUp(&a.Limits, now.Spent); spent != nil {
			spent.Account = i
			c.b.opts.OnExceeded(c.exceeded(spent))
		}
	}
}

// reportCut reports the scope that had no room for a longer answer, if that of the call was
// cut for it.
func (c *call) reportCut(resp *llm.Response) {
	if c.b.opts.OnExceeded == nil || !c.shortened(resp) {
		return
	}
	need, err := c.need(c.asked.MaxTokens)
	if err != nil {
		return
	}
	accounts := c.accounts()
	balances := make([]Balance, len(accounts))
	for i, a := range accounts {
		if balances[i], err = c.b.ledger.Balance(a.Key); err != nil {
			return
		}
	}
	if short := Check(accounts, balances, need); short != nil {
		c.b.opts.OnExceeded(c.exceeded(short))
	}
}
