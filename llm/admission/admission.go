// Package admission is the layer that bounds how many calls are in flight at
// once.
//
// It sits directly above the provider, below retry, so that every attempt is
// admitted anew and no slot is held while a retry waits. The slots belong to
// a [Gate]; pipelines that share a credential share one:
//
//	gate := admission.NewGate(10)
//	model := retry.New(admission.New(provider, gate), retry.Options{})
//
// The invariants: at most the gate's limit of calls are in flight; calls are
// admitted in the order they came; a call that waits holds nothing and leaves
// when its context ends; a slot is free again before the call's range
// returns, however it ends.
package admission

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/claude-force/claude-force/llm"
)

// DefaultLimit is the limit of a gate that was not given one.
const DefaultLimit = 10

// Gate holds the slots that calls wait for. Make one with [NewGate]; it is
// safe for concurrent use.
type Gate struct {
	limit    int
	slots    *semaphore.Weighted // first come, first served
	inFlight atomic.Int64
	waiting  atomic.Int64
}

// NewGate makes a gate that admits limit calls at once, or [DefaultLimit] if
// limit is not positive.
func NewGate(limit int) *Gate {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Gate{limit: limit, slots: semaphore.NewWeighted(int64(limit))}
}

// Limit is the most calls the gate admits at once.
func (g *Gate) Limit() int { return g.limit }

// InFlight is the number of calls that hold a slot now.
func (g *Gate) InFlight() int { return int(g.inFlight.Load()) }

// Waiting is the number of calls that wait for a slot now.
func (g *Gate) Waiting() int { return int(g.waiting.Load()) }

func (g *Gate) enter(ctx context.Context) error {
	if !g.slots.TryAcquire(1) {
		g.waiting.Add(1)
		err := g.slots.Acquire(ctx, 1)
		g.waiting.Add(-1)
		if err != nil {
			ended := llm.ContextError(ctx)
			ended.Message += fmt.Sprintf(" while it waited for one of %d slots; a longer timeout or a higher limit of calls at once would help", g.limit)
			return ended
		}
	}
	g.inFlight.Add(1)
	return nil
}

func (g *Gate) leave() {
	g.inFlight.Add(-1)
	g.slots.Release(1)
}

// New is next behind gate: a call waits for a slot and holds it until its
// stream ends, its consumer breaks off or panics. A consumer that makes
// another call from within its range over a stream needs a second slot while
// it holds the first, and can wait forever if all do; collect first.
//
// A nil gate means a gate of this model's own with [DefaultLimit].
func New(next llm.Model, gate *Gate) llm.Model {
	if gate == nil {
		gate = NewGate(0)
	}
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			if err := gate.enter(ctx); err != nil {
				yield(llm.Event{}, err)
				return
			}
			defer gate.leave()
			next.Stream(ctx, req)(yield)
		}
	})
}
