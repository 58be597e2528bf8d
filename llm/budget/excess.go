package budget

import (
	"sync/atomic"

	"github.com/claude-force/claude-force/llm"
)

// excess is how far above its worst case the service has billed a call: by a
// gateway's own prices, or for work that no bound foresees. It is safe for
// concurrent use.
type excess struct {
	permille atomic.Int64 // 0 for none yet
}

// most is the largest factor that is believed, in thousandths.
const most = 1000 * 1000

// add takes in what a call cost and what was reserved for it.
func (e *excess) add(cost, reserved llm.Money) {
	if reserved <= 0 || cost <= reserved {
		return
	}
	factor := min(int64(float64(cost)/float64(reserved)*1000)+1, most)
	for {
		known := e.permille.Load()
		if factor <= known || e.permille.CompareAndSwap(known, factor) {
			return
		}
	}
}

// times returns an amount of money as high as the excess makes it.
func (e *excess) times(m llm.Money) llm.Money {
	factor := e.permille.Load()
	if factor <= 1000 {
		return m
	}
	if m > llm.MaxMoney/llm.Money(factor) {
		return llm.MaxMoney
	}
	return m * llm.Money(factor) / 1000
}

// overbilled returns the error of a call whose reservation no longer holds, since
// the service has billed other calls above theirs: what was not sent yet stops. It
// returns nil if all scopes keep to their limits. The caller holds c.mu.
func (c *call) overbilled() *ExceededError {
	for i, a := range c.accounts() {
		b, err := c.b.ledger.Balance(a.Key)
		if err != nil {
			continue // the reservation was stored
		}
		c.b.full.update(&a, &b)
		reserved := c.b.excess.times(b.Reserved.Money)
		if limit := a.Limits.Money; limit > 0 && b.Spent.Money.Add(reserved) > limit {
			return c.exceeded(&Insufficient{Account: i, Kind: Dollars, Limit: int64(limit), Spent: int64(b.Spent.Money), Needed: int64(reserved)})
		}
		if limit := a.Limits.Tokens; limit > 0 && b.Spent.Tokens+b.Reserved.Tokens > limit {
			return c.exceeded(&Insufficient{Account: i, Kind: Tokens, Limit: limit, Spent: b.Spent.Tokens, Needed: b.Reserved.Tokens})
		}
	}
	return nil
}
