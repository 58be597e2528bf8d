// Package hedge is the layer that sends a second, identical call when the first
// is late to answer, and takes the answer that begins first.
//
//	model := hedge.New(admission.New(hedge.MarkStart(provider), gate), hedge.Options{Quantile: 0.95})
//
// A call is late when it has shown no event in the time in which, say, 95 % of
// the recent calls of its model had, and a twentieth more. Only the service's time counts, not that in
// the queue for it: a crowded queue is no reason to join it twice. So the layer
// sits above admission, and [MarkStart] directly below admission tells it when a
// call leaves the queue. Both calls queue and are counted as any other.
//
// It is off unless a quantile is set, since it costs money: the service bills
// what the call that lost had written until it was cut off, and does not say how
// much that was. [Options.OnHedge] reports each.
//
// The invariants:
//
//   - At most two calls at once for one, and a second for no more than
//     [Options.Share] of all calls. Nothing is hedged before 20 calls of a model
//     were timed, nor a call made [llm.Request.Once].
//   - All events are those of one call: nothing of the other is shown.
//   - Both calls have been released when the stream ends.
package hedge

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Options are the settings of [New].
type Options struct {
	// Quantile of the times to the first event after which a call is late,
	// such as 0.95. 0 turns hedging off.
	Quantile float64

	// Share is the most second calls as a share of all calls. 0 means 0.05.
	Share float64

	// OnHedge, when set, is called when one of two calls has won, or both
	// have failed, with the context of the caller. It is called concurrently.
	OnHedge func(ctx context.Context, h Hedge)
}

// Hedge is one call that was sent twice. What the loser used is not known, and
// not in the answer's usage.
type Hedge struct {
	Model  string
	After  time.Duration // from the first call's turn to the second call
	Winner Winner
}

// Winner is the call whose answer was taken.
type Winner string

// Winners of a [Hedge].
const (
	First   Winner = "first"
	Second  Winner = "second"
	Neither Winner = "neither" // both failed
)

// New returns a model that hedges late calls to next. Somewhere below next
// there must be a [MarkStart]: without one no call is ever late. With a Quantile
// of 0 it returns next itself.
func New(next llm.Model, opts Options) llm.Model {
	if opts.Quantile <= 0 {
		return next
	}
	if opts.Share <= 0 {
		opts.Share = 0.05
	}
	if opts.OnHedge == nil {
		opts.OnHedge = func(context.Context, Hedge) {}
	}
	return &model{next: next, opts: opts, times: times{quantile: opts.Quantile, models: map[string]*recent{}}}
}

// MarkStart returns a model that tells the [New] above it that a call has left
// the queue between them, and then calls next.
func MarkStart(next llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			if c, ok := ctx.Value(callKey{}).(*call); ok {
				c.start()
			}
			next.Stream(ctx, req)(yield)
		}
	})
}

type callKey struct{}

type model struct {
	next  llm.Model
	opts  Options
	times times

	mu     sync.Mutex // guards the field below
	credit float64    // second calls that may be made
}

// burst is the most credit that is saved up, so that a long time without late
// calls does not pay for a storm of second ones in an outage.
const burst = 5

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		m.mu.Lock()
		m.credit = min(burst, m.credit+m.opts.Share)
		m.mu.Unlock()
		late, known := m.times.late(req.Model)
		if req.Once || !known {
			m.alone(ctx, req, yield)
			return
		}
		r := &race{model: m, req: req, late: late}
		r.run(ctx, yield)
	}
}

// alone makes a call that is only timed.
func (m *model) alone(ctx context.Context, req *llm.Request, yield func(llm.Event, error) bool) {
	c := newCall()
	started := false
	for ev, err := range m.next.Stream(context.WithValue(ctx, callKey{}, c), req) {
		if !started && err == nil {
			started = true
			m.times.add(req.Model, c.elapsed())
		}
		if !yield(ev, err) {
			return
		}
	}
}

// take takes the credit for a second call, if there is any.
func (m *model) take() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.credit < 1 {
		return false
	}
	m.credit--
	return true
}
