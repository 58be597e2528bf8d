package budget

import "github.com/claude-force/claude-force/llm"

// Amount is what a call takes of a budget.
type Amount struct {
	Money  llm.Money
	Tokens int64
	Calls  int64
}

// Plus is the sum of two amounts.
func (a Amount) Plus(b Amount) Amount {
	return Amount{a.Money + b.Money, a.Tokens + b.Tokens, a.Calls + b.Calls}
}

// Minus is what is left of a without b, nothing where b is more.
func (a Amount) Minus(b Amount) Amount {
	return Amount{max(a.Money-b.Money, 0), max(a.Tokens-b.Tokens, 0), max(a.Calls-b.Calls, 0)}
}

// Kind says of what there is too little.
type Kind string

// Kinds of limits.
const (
	Dollars Kind = "dollars"
	Tokens  Kind = "tokens"
	Calls   Kind = "calls"
	Time    Kind = "time"
)

// Account is one scope in a ledger, with the ceilings that a reservation must
// keep; 0 is none.
type Account struct {
	Key    string
	Limits Amount
}

// Hold names a reservation of one ledger.
type Hold int64

// Balance is the state of an account.
type Balance struct {
	Spent     Amount
	Reserved  Amount
	Uncertain Amount // the part of Spent that may not have been billed
}

// Shortage says which account had no room. If several had not, it is one whose
// room will not come back.
type Shortage struct {
	Account  int // index into those that were asked
	Kind     Kind
	Limit    int64 // in billionths of a dollar, tokens or calls, as the rest
	Spent    int64
	Reserved int64 // by calls in flight
	Needed   int64
}

// Final reports whether nothing in flight can make the room.
func (s *Shortage) Final() bool { return s.Needed > s.Limit-s.Spent }

// Ledger keeps what was spent and reserved. Implementations are safe for
// concurrent use, and each method is one step to all others.
type Ledger interface {
	// Reserve takes amount from all accounts, or from none and says which has
	// no room. Accounts have different keys; one that is new has spent nothing.
	Reserve(accounts []Account, amount Amount) (Hold, *Shortage, error)
	// Settle ends a reservation: spent takes its place, whether it is less or
	// more. A hold that is not known is one that was taken for abandoned and
	// has been charged in full: nothing happens.
	Settle(hold Hold, spent Amount, uncertain bool) error
	// Balance is the state of an account; the zero balance if it is new.
	Balance(key string) (Balance, error)
}

// Check finds the account that has no room for amount, given their balances
// in the same order. It is for implementations of [Ledger].
func Check(accounts []Account, balances []Balance, amount Amount) *Shortage {
	var found *Shortage
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
			// What is needed is asked for last, as it may be near the largest number.
			if k.limit <= 0 || k.needed <= 0 || k.needed <= k.limit-k.spent-k.reserved {
				continue
			}
			short := &Shortage{Account: i, Kind: k.kind, Limit: k.limit, Spent: k.spent, Reserved: k.reserved, Needed: k.needed}
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
