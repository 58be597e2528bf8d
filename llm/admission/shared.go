package admission

import (
	"context"
	"time"
)

// Shared keeps the buckets of a credential's pools where several machines see them:
// limits, what is left of them, and refusals by the service. Slow start, circuit breakers
// and estimates stay with each process: that one machine does not reach the service
// says nothing of the others.
//
// The processes that use a pool are its members until they have not been heard of for
// [MemberTime]. Where the store fails, each falls back to its share, which is the limit
// divided by the last known number of members.
//
// Package admissiontest has the suite that implementations pass. They are safe for
// concurrent use, and bound the time of each operation themselves.
type Shared interface {
	// Apply changes a pool in one atomic step and returns it as it is afterwards. Each
	// operation but OpLook makes known.Member a member, and creates a pool that is not
	// there from what known says.
	Apply(ctx context.Context, pool string, known Known, op Op) (View, error)
	// Pools returns the names of the pools, in any order.
	Pools(ctx context.Context) ([]string, error)
	// Reset forgets limits, levels and refusals of a pool, or of all if the name is
	// empty, and returns the names of those it knew. Tickets of before mean nothing
	// afterwards.
	Reset(ctx context.Context, pool string) ([]string, error)
}

// MemberTime is for how long a process is counted as a member of a pool after its last
// sign of life.
const MemberTime = 15 * time.Second

// Amounts are requests, input tokens and output tokens, in this order.
type Amounts [3]float64

func (a Amounts) times(factor float64) Amounts {
	for i := range a {
		a[i] *= factor
	}
	return a
}

// Ticket is a place before the buckets of a pool: what was taken, and all that had been
// taken up to it.
type Ticket struct {
	Epoch string // marks of another epoch mean nothing
	Cost  Amounts
	Marks Amounts
}

// Known is what a process knows of a pool, for a store that knows less.
type Known struct {
	Member string        // names the process
	Minute time.Duration // what limits count for
	// Assumed are the limits until the service has named some, 0 for none, and Source
	// says where they come from.
	Assumed Amounts
	Source  Source
	// Learned are the limits that the service has named, 0 for none, and Used what is
	// used of the limits. They count where the store does not know the pool, and Used
	// also where the process is no member or has acted apart.
	Learned, Used Amounts
	// Apart says that the process has let calls go without the store since its last
	// operation.
	Apart bool
}

// OpKind says what an operation does.
type OpKind string

// The operations.
const (
	// OpTake debits Cost, unless Ticket is of the store's epoch already, and says how
	// long the call must wait; 0 means that it may go. While it waits it is to be
	// repeated with the ticket it was given.
	OpTake OpKind = "take"
	// OpUntake undoes the take of Ticket, whose call is not made.
	OpUntake OpKind = "untake"
	// OpSettle gives Cost back to the buckets; negative amounts are taken. What is given
	// back counts only in the epoch of Ticket.
	OpSettle OpKind = "settle"
	// OpLearn takes in what a response says of the limits.
	OpLearn OpKind = "learn"
	// OpRefuse gives Cost back, which the service has refused, corrects the levels and
	// closes the pool for Freeze.
	OpRefuse OpKind = "refuse"
	// OpLook changes nothing.
	OpLook OpKind = "look"
)

// Op is an operation on a pool. Which fields count depends on Kind.
type Op struct {
	Kind   OpKind
	Ticket Ticket
	Cost   Amounts

	InFlight int // of this process; their estimates may be wrong (OpTake)

	Said        [3]Quota      // by limit (OpLearn)
	Ago         time.Duration // how old Said may be (OpLearn)
	Outstanding Amounts       // what this process's calls in flight took (OpLearn)

	Counted bool          // the service said what remains (OpRefuse)
	Freeze  time.Duration // (OpRefuse)
	By      string        // the service's code (OpRefuse)
}

// Quota is what a response says about one limit.
type Quota struct {
	Limit     float64 // 0 if it does not say
	Remaining float64
	Counted   bool // it says what remains
}

// View is a pool after an operation.
type View struct {
	Ticket  Ticket        // of OpTake
	Wait    time.Duration // of OpTake
	Buckets [3]BucketView
	Frozen  time.Duration // for how long the service refuses calls; 0 if it does not
	By      string        // the service's code
	Members int
}

// BucketView is one limit and what is left of it.
type BucketView struct {
	Limit   float64
	Level   float64 // negative is debt
	Source  Source
	Learned time.Time // zero if the service has not named the limit
}
