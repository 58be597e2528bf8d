package llm

import (
	"context"
	"sync"
	"time"
)

// Bill sums what the calls that are made with a context cost, and how long they
// took: failed ones and attempts that broke off included. The layer that records calls fills it in
// before the range over a call's stream returns. It is safe for concurrent use.
type Bill struct {
	start time.Time // what spans of time are measured from

	mu      sync.Mutex // guards the fields below
	calls   int
	usage   Usage
	cost    Money
	unknown bool
	timing  Timing
}

type billKey struct{}

// WithBill returns ctx with a new bill for the calls that are made with it,
// instead of the one it has. Times are measured from now.
func WithBill(ctx context.Context) (context.Context, *Bill) {
	b := &Bill{start: time.Now()}
	return context.WithValue(ctx, billKey{}, b), b
}

// WithNextBill returns ctx with a new bill for one of several calls. Times are
// measured from when the bill was made that ctx has.
func WithNextBill(ctx context.Context) (context.Context, *Bill) {
	outer := BillOf(ctx)
	ctx, b := WithBill(ctx)
	if outer != nil {
		b.start = outer.start
	}
	return ctx, b
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

// AddTime adds how long one call took. Its spans are those that [Bill.Span]
// returns. A nil bill ignores it.
func (b *Bill) AddTime(t Timing) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timing = b.timing.AddLater(t)
}

// Span returns the stretch of time from start as spans of this bill are measured.
func (b *Bill) Span(start time.Time, d time.Duration) Span {
	if b == nil {
		return Span{}
	}
	return Span{AtSeconds: max(start.Sub(b.start), 0).Seconds(), Seconds: d.Seconds()}
}

// Timing returns the sum of the times so far.
func (b *Bill) Timing() Timing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.timing
}
