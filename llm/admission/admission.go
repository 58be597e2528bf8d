// Package admission is the layer that lets calls go when there is room for
// them: within the service's rate limits, which it learns, and within a number
// of calls in flight.
//
// It sits directly above the provider, below retry, so that every attempt is
// admitted again and no slot is held while a retry waits. The slots belong to
// a [Gate], what is known of the limits to a [Limiter]; pipelines that share a
// credential share both:
//
//	gate := admission.NewGate(10)
//	limits := admission.NewLimiter(admission.Options{Namespace: keyer.Namespace, Dir: dir})
//	provider, err := anthropic.New(anthropic.Options{OnHeaders: limits.Observe, …})
//	model := retry.New(admission.NewLimited(provider, gate, limits), retry.Options{})
//
// The invariants of the gate: at most its limit of calls are in flight; calls
// are admitted in the order they came; a call that waits holds nothing and
// leaves when its context ends; a slot is free again before the call's range
// returns, however it ends.
//
// # Limits
//
// The service counts requests, input tokens and output tokens of each pool of
// models ([PoolOf]) in buckets that refill all the time. So does the limiter,
// with three debt buckets for each pool. A call takes what it is expected to
// cost before it is sent, and the difference is settled when its usage is
// known. Expected are the input that its characters and the output that
// earlier answers to the same agent suggest, not max_tokens; what is read from
// the prompt cache does not count.
//
// The limits begin as the tier's or the configuration's, and each response's
// headers correct them: a limit sets the rate, what remains only lowers our
// view. While nothing is known of a pool, [Options.InitialWindow] calls go ahead,
// and each answer lets one more be in flight than before (slow start).
//
// Waiting calls take turns by run ([WithRun]). The call whose turn it is has
// already taken its tokens, so a large one is not starved by small ones, of
// this process or of another: with a folder, all processes of the machine that
// use the credential share the buckets, and with a [Shared] store those of several
// machines do. Where the store fails, each process keeps to its share: the limit divided by
// the number of processes that last used it.
//
// # When the service says no
//
// A 429 closes the pool until the time the service names, and halves the slow
// start if it says ramp_limit_exceeded. A reached spending limit is not a
// matter of time and passes through. A 529, a failure of the service, and a
// connection that cannot be made are never taken for a limit: [Options.Failures] of
// them in a row open the pool's circuit breaker, which lets one probe at a time
// through after pauses that grow. If nothing succeeds for [Options.Outage], calls
// fail.
//
// A call that met a closed pool in this way, and of which nothing was yielded,
// keeps its place and is sent again by this layer when the pool is open. The
// retry layer does not see it, so that an outage does not use up the attempts
// of every call. What it does see are failures before the breaker opens, and
// the last error of a call whose deadline, or [Options.Patience], does not
// allow it to wait: that one fails at once and says what it would have waited
// for, and until when.
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

// Limit returns the most calls the gate admits at once.
func (g *Gate) Limit() int { return g.limit }

// InFlight returns the number of calls that hold a slot now.
func (g *Gate) InFlight() int { return int(g.inFlight.Load()) }

// Waiting returns the number of calls that wait for a slot now.
func (g *Gate) Waiting() int { return int(g.waiting.Load()) }

func (g *Gate) enter(ctx context.Context) error {
	if err := llm.Drained(ctx); err != nil {
		return err
	}
	if !g.slots.TryAcquire(1) {
		g.waiting.Add(1)
		until, cancel := llm.UntilDrain(ctx)
		defer cancel()
		err := g.slots.Acquire(until, 1)
		g.waiting.Add(-1)
		if err != nil {
			if err := llm.Drained(ctx); err != nil && ctx.Err() == nil {
				return err
			}
			ended := llm.ContextError(ctx)
			ended.Message += fmt.Sprintf(" while it waited for one of %d slots; a longer timeout or a higher limit of calls at once would help", g.limit)
			return ended
		}
	}
	g.inFlight.Add(1)
	return nil
}

// tryEnter takes a slot if one is free and no call waits for it.
func (g *Gate) tryEnter() bool {
	if !g.slots.TryAcquire(1) {
		return false
	}
	g.inFlight.Add(1)
	return true
}

func (g *Gate) leave() {
	g.inFlight.Add(-1)
	g.slots.Release(1)
}

// New returns next behind gate: a call waits for a slot and holds it until its
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
