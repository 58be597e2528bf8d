// Package promptcache is the layer that does prompt caching for its user: it places
// breakpoints on what requests have in common from their beginning, and lets
// one call fill the service's cache before others that can read from it start.
//
//	model := retry.New(promptcache.New(admission.New(provider, gate), promptcache.Options{}), retry.Options{})
//
// It sits below retry, so that it sees each attempt: a start that retry still
// holds back lets the others go, and a leader that waits to be tried again has
// passed its lead on. It sits above admission, so that a call which waits for
// another holds no slot. What is above it sees requests without its
// breakpoints; a budget that reserves the worst case must reckon with the price
// of a cache write for the whole prompt.
//
// A breakpoint makes what comes before it 1.25 times as dear (2 times, to be
// kept for an hour) for the call that writes, and ten times as cheap or more for
// the calls that read. So one is placed only where a reader is expected:
//
//   - where a prefix is in the cache already;
//   - where a call with the same prefix began less than five minutes ago, or is
//     on its way;
//   - at the end of a conversation that continues ([llm.Request.Continues]), unless
//     [Options.Continues] says that it seldom does;
//   - where [Announce] said that more calls will come: after the tools, the
//     system prompt and the blocks that are [llm.Block.Shared].
//
// An entry can be read only when the answer to the call that wrote it has
// started. So of the calls that share a prefix which is not in the cache yet, one
// leads and the others follow:
//
//	cold ── a call leads ──> warming ── its first event ──> warm ── its time to live ──> cold
//	  ^                        │
//	  └── it fails: passed on ─┘
//
// The invariants:
//
//   - A follower waits for at most [Options.MaxWait], whatever leaders come and
//     go, and no longer than its context allows. When the first event has come
//     all followers start together, and no call waits again while the prefix is
//     warm.
//   - A prefix that is being written is written by its leader only: a call that
//     does not wait goes without a breakpoint, at the plain price. Calls that
//     differ in model, tools, or anything else that the service's cache depends
//     on share nothing. A layer belongs to one credential.
//   - Breakpoints that the caller set stay, and count among the four allowed.
//   - The answer and the call's key are as they are without the layer.
package promptcache

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Options are the settings of [New]. The zero value is ready.
type Options struct {
	// WaitTokens is the size from which a prefix is worth waiting for. 0 means
	// 4,096: what a follower saves on a smaller one is a fraction of a cent,
	// and it would wait about a second for it. Smaller prefixes are cached too,
	// from the model's minimum on, but no call waits for them.
	WaitTokens int

	// MaxWait is the longest that a call waits for others. 0 means a minute.
	MaxWait time.Duration

	// Prices says how small a prefix each model's cache keeps, and how many
	// tokens a text is. Nil means [llm.Prices].
	Prices *llm.PriceTable

	// Continues, when set, reports whether another turn of a conversation is likely
	// enough to write its turn so far, which counts from 1, for it. It is called only
	// for requests whose [llm.Request.Continues] is set and that are long enough. Nil
	// means always.
	Continues func(req *llm.Request, turn int) bool

	// OnWait, when set, is called when a call has waited for another with the
	// same prefix. Calls that run at once call it at once.
	OnWait func(waited time.Duration)
}

// New returns next with prompt caching. next must use one credential.
func New(next llm.Model, opts Options) llm.Model {
	if opts.WaitTokens <= 0 {
		opts.WaitTokens = 4096
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = time.Minute
	}
	if opts.Prices == nil {
		opts.Prices = llm.Prices()
	}
	if opts.OnWait == nil {
		opts.OnWait = func(time.Duration) {}
	}
	return &model{next: next, opts: opts, memory: memory{entries: map[uint64]*entry{}}}
}

type model struct {
	next   llm.Model
	opts   Options
	memory memory
}

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		if req.Wire != nil { // its breakpoints are its client's
			m.next.Stream(ctx, req)(yield)
			return
		}
		prompt := read(req, m.opts.Prices)
		if len(prompt.points) == 0 {
			m.next.Stream(ctx, req)(yield)
			return
		}
		if last := &prompt.points[len(prompt.points)-1]; last.next && m.opts.Continues != nil {
			last.next = m.opts.Continues(req, turnOf(req))
		}
		c := m.memory.call(ctx, prompt)
		defer c.end()
		if err := m.await(ctx, c); err != nil {
			yield(llm.Event{}, err)
			return
		}
		started := false
		for ev, err := range m.next.Stream(ctx, prompt.mark(req, c.marks)) {
			switch {
			case err != nil:
				c.failed = llm.CodeOf(err)
			case !started:
				started = true
				c.answerStarted()
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

// turnOf returns which turn of its conversation a request asks for, from 1.
func turnOf(req *llm.Request) int {
	n := 1
	for _, m := range req.Messages {
		if m.Role == llm.RoleAssistant {
			n++
		}
	}
	return n
}

// await waits until the call may start, and decides on its breakpoints.
func (m *model) await(ctx context.Context, c *call) error {
	begin := time.Now()
	leader := c.plan(begin, m.opts.WaitTokens)
	if leader == nil {
		return nil
	}
	defer func() { m.opts.OnWait(time.Since(begin)) }()
	timer := time.NewTimer(m.opts.MaxWait)
	defer timer.Stop()
	for leader != nil {
		patience := m.opts.WaitTokens
		select {
		case <-leader.done:
			if leader.hopeless {
				patience = never
			}
		case <-timer.C:
			patience = never
		case <-ctx.Done():
			return llm.ContextError(ctx)
		}
		leader = c.plan(time.Now(), patience)
	}
	return nil
}

// Plan says what is known of calls to come.
type Plan struct {
	// Calls is how many calls will be made, with the same agent and model and
	// the same shared blocks.
	Calls int

	// Every is the time expected between the start of one and that of the
	// next; 0 means that they follow one another within five minutes. A hit
	// keeps an entry alive, so this matters and not how long all of them take.
	// From five minutes on, entries are kept for an hour if that pays.
	Every time.Duration
}

// Announce says that the calls made with the returned context, or one derived
// from it, are those of plan.
func Announce(ctx context.Context, plan Plan) context.Context {
	return NewGroup(plan).Join(ctx)
}

// Group is the calls of one plan, for those that have no context in common.
type Group struct{ group group }

// NewGroup makes the group of a plan.
func NewGroup(plan Plan) *Group { return &Group{group{plan: plan}} }

// Join says that the calls made with the returned context belong to the group.
func (g *Group) Join(ctx context.Context) context.Context {
	return context.WithValue(ctx, groupKey{}, &g.group)
}

type groupKey struct{}

// group is the calls of one announcement.
type group struct {
	plan    Plan
	started atomic.Int64
}

// ttl returns how long to keep what the group's calls share; none if it does not
// pay. With n calls to come, at the plain price they cost n; cached for five
// minutes 1.25 + 0.1 (n-1); for an hour 2 + 0.1 (n-1).
func (g *group) ttl() ttl {
	if g == nil {
		return none
	}
	left := int64(g.plan.Calls) - g.started.Load()
	switch {
	case left >= 2 && g.plan.Every < 5*time.Minute:
		return minutes
	case left >= 3 && g.plan.Every < time.Hour:
		return hour
	}
	return none
}
