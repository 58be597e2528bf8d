package budget

import "github.com/claude-force/claude-force/llm"

// Amount is what a call takes of a budget.
type Amount struct {
	Money  llm.Money
	Tokens int64
	Calls  int64
}

// Plus returns the sum of two amounts.
func (a Amount) Plus(b Amount) Amount {
	return Amount{a.Money.Add(b.Money), a.Tokens + b.Tokens, a.Calls + b.Calls}
}

// Minus returns a less b, and zero for each part of which b has more.
func (a Amount) Minus(b Amount) Amount {
	return Amount{max(a.Money-b.Money, 0), max(a.Tokens-b.Tokens, 0), max(a.Calls-b.Calls, 0)}
}

// Kind is the unit of a limit.
type Kind string

// Kinds of limits.
const (
	Dollars Kind = "dollars"
	Tokens  Kind = "tokens"
	Calls   Kind = "calls"
	Time    Kind = "time"
	Answer  Kind = "answer" // tokens of one answer, as far as a limit of another kind left room
)

// Account is one scope in a ledger, with the limits for a reservation; 0 means
// no limit.
type Account struct {
	Key    string
	Limits Amount
}

// Reservation identifies a reservation in one ledger.
type Reservation int64

// Attempt is a request to the service that reservations are for.
type Attempt struct {
	ID   int64  // unique among the attempts of all processes
	Note string // what its call is to be recorded as if this process is killed; empty for nothing
}

// Balance is the state of an account.
type Balance struct {
	Spent     Amount
	Reserved  Amount
	Uncertain Amount // the part of Spent that may not have been billed
}

// Insufficient names the account that cannot cover a reservation. If several
// cannot, it is one that will not be able to later either.
type Insufficient struct {
	Account  int // index into the accounts of the reservation
	Kind     Kind
	Limit    int64 // in billionths of a dollar, tokens or calls, like the fields below
	Spent    int64
	Reserved int64 // by calls in flight
	Needed   int64
}

// Final reports whether the account stays insufficient even if every call in
// flight turns out to cost nothing.
func (s *Insufficient) Final() bool { return s.Needed > s.Limit-s.Spent }

// Ledger stores what was spent and reserved. Implementations are safe for
// concurrent use, and each method is atomic.
type Ledger interface {
	// Reserve reserves amount in all accounts, or in none and returns the one
	// that cannot cover it. The keys of accounts differ; a new account has spent
	// nothing.
	Reserve(accounts []Account, amount Amount) (Reservation, *Insufficient, error)
	// Send assigns reservations to an attempt, before it is sent. What a killed process
	// has reserved and not assigned was not sent, and is not charged.
	Send(a Attempt, rs []Reservation) error
	// Return takes reservations from an attempt that cost nothing, for the next one.
	Return(a Attempt, rs []Reservation) error
	// Settle replaces reservations with what was spent, whether that is less or
	// more. uncertain is the part of spent that may not have been billed. An
	// unknown reservation was abandoned and has been charged in full: Settle does
	// nothing if the first is one. The attempt is nil if nothing was sent.
	Settle(a *Attempt, rs []Reservation, spent, uncertain Amount) error
	// Balance returns the state of an account; the zero Balance if it is new.
	Balance(key string) (Balance, error)
}

// Check returns the account that cannot cover amount, or nil. The balances are
// in the order of the accounts. It is for implementations of [Ledger].
func Check(accounts []Account, balances []Balance, amount Amount) *Insufficient {
	var found *Insufficient
	for i, a := range accounts {
		b := balances[i]
		for _, k := range []struct {
			kind                           Kind
			limit, spent, reserved, needed int64
		}{
			{Dollars, int64(a.Limits.Money), int64(b.Spent.Money), int64(b.Reserved.Money), int64(amount.Money)},
			{Tokens, a.Limits.Tokens, b.Spent.Tokens, b.Reserved.Tokens, amount.Tokens},
			{Calls, a.Limits.Calls, b.Spent.Calls, b.Reserved.Calls, amount.Calls},
		} {
			if k.limit == 0 || k.needed <= 0 {
				continue
			}
			k.limit = max(k.limit, 0) // that of [Nothing]
			// needed stands alone, since a sum with it may overflow.
			if k.needed <= k.limit-k.spent-k.reserved {
				continue
			}
			short := &Insufficient{Account: i, Kind: k.kind, Limit: k.limit, Spent: k.spent, Reserved: k.reserved, Needed: k.needed}
			if short.Final() {
				return short
			}
			if found == nil {
				found = short
			}
		}
	}
	return found
}
