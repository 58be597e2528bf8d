package llm

import (
	"context"
	"math/rand/v2"
)

// Sent is what is known of an attempt at the service when it is sent. The layer that
// first needs it puts it into the attempt's context, and those below use the same, so
// that budgets and records say the same of one attempt.
type Sent struct {
	ID       int64 // unique among the attempts of all processes
	Input    int   // tokens of the prompt, about
	Reserved Money // the most that may be billed, as far as that is known
}

// NewSent returns what is known of an attempt, with a new id.
func NewSent(input int, reserved Money) Sent {
	return Sent{ID: 1 + rand.Int64N(1<<62), Input: input, Reserved: reserved}
}

// Uncertain returns the money that an attempt may have been billed beyond its charge:
// what the meter doubts, up to what was reserved. All that was reserved is uncertain if
// its model has no price.
func (s Sent) Uncertain(m *Meter, c Charge, prices *PriceTable) Money {
	switch {
	case c.Basis == BasisFree:
		return 0
	case !c.Priced:
		return s.Reserved
	}
	_, doubted := m.Doubt(c, prices, s.Input)
	return min(doubted, max(s.Reserved.Sub(c.Cost), 0))
}

type sentKey struct{}

// WithSent returns ctx for an attempt.
func WithSent(ctx context.Context, s Sent) context.Context {
	return context.WithValue(ctx, sentKey{}, s)
}

// SentOf returns what is known of the attempt of ctx; ok is false if it has none.
func SentOf(ctx context.Context) (s Sent, ok bool) {
	s, ok = ctx.Value(sentKey{}).(Sent)
	return s, ok
}
