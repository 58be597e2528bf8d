package llm

import (
	"context"
	"sync"
)

// Bill sums what the calls that are made with a context cost: failed ones and
// attempts that broke off included. The layer that records calls fills it in
// before the range over a call's stream returns. It is safe for concurrent use.
type Bill struct {
	mu      sync.Mutex // guards the fields below
	calls   int
	usage   Usage
	cost    Money
	unknown bool
}

type billKey struct{}

// WithBill returns ctx with a new bill for the calls that are made with it,
// instead of the one it has.
func WithBill(ctx context.Context) (context.Context, *Bill) {
	b := &Bill{}
	return context.WithValue(ctx, billKey{}, b), b
}

// BillOf returns the bill of ctx; nil if it has none.
func BillOf(ctx context.Context) *Bill {
	b, _ := ctx.Value(billKey{}).(*Bill)
	return b
}

// Add adds what one call cost: the usage that was paid for, and its cost. known
// is false if the cost is at least that, but not known. A nil bill ignores it.
func (b *Bill) Add(usage Usage, cost Money, known bool) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls == 0 {
		b.usage = usage
	} else {
		b.usage = b.usage.Add(usage)
	}
	b.calls++
	b.cost = b.cost.Add(cost)
	b.unknown = b.unknown || !known
}

// Total returns the sums so far: the number of calls, the usage that was paid
// for and what it cost. known is false if the cost of a call is not known.
func (b *Bill) Total() (calls int, usage Usage, cost Money, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls, b.usage, b.cost, !b.unknown
}
