// Package budget is the layer that keeps spending within limits. It reserves the
// most that a call can cost before the call is made, and settles the real cost
// afterwards. So concurrent calls, in one process or several, never exceed a
// limit together.
//
// It is two layers around one [Budget]. Calls stands above retry and decides
// whether a call may be made; Attempts stands directly above the provider and
// sees which attempts were sent and how each ended:
//
//	b := budget.New(ledger, budget.Options{})
//	model := b.Calls(retry.New(admission.New(b.Attempts(provider), gate), retry.Options{}))
//
//	ctx = budget.With(ctx, budget.Scope{Level: budget.Run, Name: id, Limits: budget.Limits{Money: 5 * llm.Dollar}})
//
// A call is charged to all [Scope]s it belongs to: those of its context, and
// those that [Options.Scopes] adds. It is made only if all have room for its
// worst case: every byte of the prompt a token, all of it written to the prompt
// cache (for an hour if a breakpoint says so), in the most expensive tier, with the
// longest answer.
//
// Where that does not fit, the part of the prompt that an earlier call had too is bounded by
// what the service reported for that call.
//
// A call whose worst case does not fit because of its max_tokens is sent with a
// lower one, if that leaves room for the longest answer of the same agent and model
// so far and a quarter more (1,024 tokens if there was none), and for four times
// that while calls are in flight. An answer that is cut by such a limit fails with an
// [ExceededError], except under [ActionPartial].
//
// The invariants:
//
//   - In every scope, spent and reserved together are at most the limit.
//   - A call waits while calls in flight may leave it room, in the order the
//     calls came. It fails as soon as they cannot, with an [ExceededError] in an
//     error of code [llm.CodeSpendLimit].
//   - An attempt that failed [llm.Unbilled] costs nothing, and its reservation
//     passes to the next attempt. One that broke off after it was sent counts as
//     spent with what it reported, and with what it may have been billed beyond
//     that, marked uncertain: see [llm.Meter]. Another attempt then needs a
//     reservation of its own. One that was never sent costs nothing.
//   - Every reservation is settled before the call's range returns, however it
//     ends.
//
// A limit holds as far as the bound of the prompt does; what the provider bills
// beyond it is charged as billed. A consumer that makes another call within its
// range over a stream can wait for its own reservation: collect first.
package budget

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/claude-force/claude-force/llm"
)

// Options are the settings of [New]. The zero value is ready.
type Options struct {
	// Prices turns usage into money. Nil means [llm.Prices].
	Prices *llm.PriceTable

	// Scopes, when set, gives the scopes of a call beside those of its
	// context: that of the day, of the agent that makes it, of every single
	// call.
	Scopes func(ctx context.Context, req *llm.Request) []Scope

	// Count, when set, counts the tokens of a prompt. It is called only when the
	// bound by bytes does not fit. 5 % are added, since counts are estimates.
	Count func(ctx context.Context, req *llm.Request) (int, error)

	// Downgrade, when set, returns a cheaper model for a call that a scope with
	// [ActionDowngrade] cannot cover, or "" for none. fits reports whether a
	// model's worst case fits. The answer is marked as [llm.Response.Altered].
	Downgrade func(ctx context.Context, req *llm.Request, fits func(model string) bool) (model string)

	// Ask, when set, returns new limits for a scope with [ActionAsk], or false. It
	// is called by one call at a time and may block. A refusal holds for all
	// later calls of the scope.
	Ask func(ctx context.Context, e *ExceededError) (Limits, bool)

	// Longest, when set, returns the tokens of the longest answer of an agent's
	// model in earlier processes; 0 if there was none. It is called when a budget
	// has no room for the worst case of a call whose like this process has not
	// seen answered.
	Longest func(agent, model string) int

	// OnLower, when set, is called when a call's max_tokens was lowered to what a
	// budget has room for; asked is the limit that its caller set. Calls that run
	// at once call it at once.
	OnLower func(req *llm.Request, asked int)

	// Note, when set, returns what the ledger keeps of an attempt that is sent or has
	// ended, until it is recorded elsewhere. See [Attempt].
	Note func(ctx context.Context, req *llm.Request, s Sending) string

	// OnExceeded, when set, is called when a scope that calls share has no room left: a call
	// is refused, after what [Scope.OnBreach] says was of no help, or its answer is cut, or
	// nothing is left of a limit once a call has ended. Calls that run at once call it at
	// once, and it is called again for a scope.
	OnExceeded func(*ExceededError)

	// OnSettle, when set, is called with each settled reservation, from
	// concurrent calls concurrently.
	OnSettle func(Settlement)
}

// Settlement is the end of a reservation.
type Settlement struct {
	Model     string
	Scopes    []Scope
	Reserved  Amount
	Spent     Amount
	Uncertain Amount // the part of Spent that may not have been billed, since an attempt broke off
	Err       error  // the ledger could not store it, so all of Reserved stays reserved
}

// Budget is a ledger and the calls of this process that wait for room in it.
// It is safe for concurrent use.
type Budget struct {
	ledger   Ledger
	opts     Options
	line     line
	metered  atomic.Bool // whether Attempts stands below
	lengths  lengths
	prefixes prefixes
	excess   excess
	full     fullAccounts

	asking chan struct{} // holds one value while Options.Ask runs

	mu      sync.Mutex // guards the field below
	answers map[string]answer
}

// New returns a budget whose amounts are in ledger.
func New(ledger Ledger, opts Options) *Budget {
	return &Budget{ledger: ledger, opts: opts, asking: make(chan struct{}, 1), answers: map[string]answer{}}
}

// Calls returns next with limits. A call without a scope passes unchanged.
//
// Without [Budget.Attempts] below it, a call counts as one attempt, which is
// safe only if next does not retry.
func (b *Budget) Calls(next llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			scopes := b.scopes(ctx, req)
			if len(scopes) == 0 {
				next.Stream(ctx, req)(yield)
				return
			}
			below := next
			if !b.metered.Load() {
				below = b.attempts(next)
			}
			newCall(b, scopes, req).run(ctx, below, yield)
		}
	})
}

// Attempts returns next with its attempts charged to the budget. Attempts of
// calls that did not pass [Budget.Calls] pass unchanged.
func (b *Budget) Attempts(next llm.Model) llm.Model {
	b.metered.Store(true)
	return b.attempts(next)
}

// attempts returns next with the attempts of b's calls charged.
func (b *Budget) attempts(next llm.Model) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			c, ok := ctx.Value(callKey{}).(*call)
			if !ok || c.b != b {
				next.Stream(ctx, req)(yield)
				return
			}
			if ctx.Err() != nil {
				yield(llm.Event{}, llm.ContextError(ctx))
				return
			}
			a, err := c.begin(ctx, req)
			if err != nil {
				yield(llm.Event{}, err)
				return
			}
			defer a.finish()
			for ev, err := range next.Stream(llm.WithSent(ctx, a.sent), req) {
				if a.see(ev, err); !yield(ev, err) {
					return
				}
			}
		}
	})
}

func (b *Budget) prices() *llm.PriceTable {
	if b.opts.Prices != nil {
		return b.opts.Prices
	}
	return llm.Prices()
}

// Balance returns what a scope has spent and reserved.
func (b *Budget) Balance(s Scope) (Balance, error) { return b.ledger.Balance(s.key()) }
