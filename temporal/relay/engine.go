package relay

import (
	"context"
	"errors"
	"time"

	"github.com/claude-force/claude-force/journal"
)

// Engine works on the runs of a journal. Its methods may be called again for what they have
// done, by any worker: the journal says what is left of it.
type Engine interface {
	// Advance does what a run can do without attempts, and returns what is to be done next
	// beside what is under way. With items, it is that of these items of a foreach.
	Advance(ctx context.Context, run string, items *Items, under []Under) (*Frontier, error)

	// Attempt makes the attempts at a unit until it ends, which it writes to the journal.
	Attempt(ctx context.Context, run string, unit journal.Unit) error

	// Cancel writes to the journal that the run is to stop for good.
	Cancel(ctx context.Context, run string) error
}

// ErrGone says that a run is none of Temporal's any more: it has ended, was removed, or
// belongs to a process.
var ErrGone = errors.New("the run is not Temporal's any more")

// Frontier is what a run comes to without making attempts. It stands in histories, so its
// names are short and it holds no text of the run.
type Frontier struct {
	Ready []Ready   `json:"r,omitempty"` // units to attempt, the most urgent first
	Wide  []Wide    `json:"w,omitempty"` // foreach whose items are advanced by children
	Wake  time.Time `json:"t,omitzero"`  // the nearest deadline of a question
	Stop  bool      `json:"x,omitempty"` // what is under way is to stop, and then Advance to be called
	Ended string    `json:"e,omitempty"` // the status of a run that has ended; "items" if the items have
}

// Ready is a unit that is to be attempted.
type Ready struct {
	Step     string `json:"s"`
	Item     string `json:"i,omitempty"`
	Priority int    `json:"p,omitempty"` // from 1, the most urgent, to 5; 0 for 3
}

// Wide is a foreach with more items than one history should have.
type Wide struct {
	Step     string `json:"s"`
	Item     string `json:"i,omitempty"`
	Count    int    `json:"n"`           // of its items
	Most     int    `json:"m"`           // attempts at once
	Priority int    `json:"p,omitempty"` // as in Ready
}

// Items are some of the items of a foreach.
type Items struct {
	Step string `json:"s"`
	Item string `json:"i,omitempty"` // of the foreach itself
	From int    `json:"a"`           // the first item, from 0
	To   int    `json:"b"`           // behind the last
	Most int    `json:"m"`           // attempts at once
}

// Under is what is under way.
type Under struct {
	Unit journal.Unit
	Most int // attempts at once in a Wide; 0 for a Ready
}
