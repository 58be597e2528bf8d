// Package batch is the lane for calls that may wait: it collects them into
// message batches, which cost half and are answered within hours.
//
//	store, err := batch.OpenDir(filepath.Join(dataDir, "batches"))
//	…
//	defer store.Close()
//	lane := batch.New(client.Batches(), store, batch.Options{Keyer: client.Keyer()})
//	defer lane.Close()
//	model := record.New(cache.New(coalesce.New(lane.Model(), keyer, coalesce.Options{}), …), …)
//
// The lane stands where retry, admission and the provider stand for live calls.
// A call waits until no other has come for a moment, or [Lane.Flush] says that
// none will; then a batch is created, polled, and each of its calls gets its
// answer when the batch has ended.
//
// # Never twice
//
// A batch costs money from the moment it is created, whether or not its creator
// lives to see the answers. So a call is submitted once, whatever crashes, as
// far as that can be had from a service whose batches cannot be given a name:
//
//		           Intent            POST             Submitted          results
//		waiting ──────────▶ intent ───────▶ (unheard) ─────────▶ running ────────▶ ended
//		   ▲                   │                │ list, results
//		   └───────────────────┴──── Void ◀─────┘ show that it does not exist
//
//	  - Before the POST an [Store.Intent] is durable: a nonce, and the keys of the
//	    batch's calls. Each custom_id is made of both.
//	  - After a crash the records of the dead process are taken over. A call that
//	    is asked again finds its key there, and its answer in the running or ended
//	    batch: nothing is created.
//	  - A crash between the POST and its answer, or an answer that is lost, leaves
//	    an intent without a batch. The service shows no custom_id before a batch
//	    has ended. So the account's batches created since the intent are listed;
//	    those with as many requests may be it; each is waited for, and the nonce in
//	    its results decides. If none is left, and [Options.Grace] has passed since
//	    the doubt began, the batch does not exist, and its calls are submitted.
//	  - A failure that says that nothing was created (a refusal such as 429 or 400,
//	    a connection that could not be opened) is not in doubt.
//	  - Answers are remembered as taken a minute after they were given, or when
//	    the lane is closed, so that whoever took them has had time to store them. A
//	    call that is made again after that is a new call.
//
// What remains uncertain: a batch that becomes visible in the list only after
// the grace period, or by clocks that differ by more than ten minutes, is not
// found, and its calls are paid for twice; so are those of a batch whose results
// were deleted by somebody else before they were read. Everything else costs
// time, not money: another's batch of the same size is waited for in vain.
//
// Processes that share a store share batches: a call that one of them has
// submitted is not submitted by another, which reads the answer from the same
// batch. Calls that want an answer of their own ([llm.PolicyOff],
// [llm.PolicyRefresh]) share none; they find only what a dead process left.
package batch

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Client makes batches. Its errors are [*llm.Error] values, and it retries
// nothing. The Batches of llm/anthropic are one.
type Client interface {
	Params(req *llm.Request) (json.RawMessage, error)
	Create(ctx context.Context, items []llm.BatchItem, betas []string) (llm.Batch, error)
	Get(ctx context.Context, id string) (llm.Batch, error)
	List(ctx context.Context, after string) (page []llm.Batch, next string, err error)
	Cancel(ctx context.Context, id string) error
	Results(ctx context.Context, id string, asked func(id string) *llm.Request) iter.Seq2[llm.BatchResult, error]
}

// Limits of the API for one batch. The bytes leave room for what they count.
const (
	MaxCalls = 100_000
	MaxBytes = 250_000_000
)

// Options are the settings of a [Lane]. Zero values are replaced by those in
// brackets.
type Options struct {
	// Keyer says which calls are the same. It must be that of the client.
	Keyer llm.Keyer

	Idle   time.Duration // how long no call must have come before a batch is made [2s]
	Window time.Duration // the longest that the first call waits for others [30s]

	MaxCalls int // of one batch [MaxCalls]
	MaxBytes int // of the calls of one batch [MaxBytes]

	PollMin time.Duration // between looks at a batch, at first [2s]
	PollMax time.Duration // and at most [1m]

	// Grace is how long a batch that nobody heard of may still appear, from when
	// this process began to look [5m].
	Grace time.Duration

	// Resubmits is how often a call whose batch expired, or that failed in
	// passing, goes into another batch; negative means never [2]. A call that is
	// made [llm.Request.Once] does so only if it expired, which is before it ran.
	Resubmits int

	// Settle is how long after it was given an answer is remembered, in case
	// that a crash takes it from whoever got it [1m].
	Settle time.Duration

	Ping time.Duration // between the pings of a waiting call's stream [15s]

	// OnBatch, if set, is told what happens. It must be quick and safe for
	// concurrent use.
	OnBatch func(Event)
}

// EventType is what happened to a batch.
type EventType string

// What happens to batches.
const (
	BatchSubmitted EventType = "submitted" // created
	BatchFound     EventType = "found"     // of an earlier or another process, and read from now on
	BatchInDoubt   EventType = "in_doubt"  // whether it was created is not known; it is being looked for
	BatchVoid      EventType = "void"      // was not created; its calls will be submitted
	BatchTrouble   EventType = "trouble"   // a failure that is waited out
	BatchEnded     EventType = "ended"     // its answers are there
)

// Event is something that happened to a batch.
type Event struct {
	Type  EventType
	ID    string // the service's; empty if it is not known
	Calls int
	Err   error // of BatchTrouble and BatchInDoubt
}

func (o Options) withDefaults() Options {
	o.Idle = cmp.Or(o.Idle, 2*time.Second)
	o.Window = cmp.Or(o.Window, 30*time.Second)
	o.MaxCalls = min(cmp.Or(o.MaxCalls, MaxCalls), MaxCalls)
	o.MaxBytes = min(cmp.Or(o.MaxBytes, MaxBytes), MaxBytes)
	o.PollMin = cmp.Or(o.PollMin, 2*time.Second)
	o.PollMax = max(cmp.Or(o.PollMax, time.Minute), o.PollMin)
	o.Grace = cmp.Or(o.Grace, 5*time.Minute)
	o.Resubmits = max(0, cmp.Or(o.Resubmits, 2))
	o.Settle = cmp.Or(o.Settle, time.Minute)
	o.Ping = cmp.Or(o.Ping, 15*time.Second)
	return o
}

// backoff is waits that grow, each shortened by up to a fifth so that processes
// do not poll in step.
type backoff struct{ next, most time.Duration }

func (o Options) backoff() *backoff { return &backoff{o.PollMin, o.PollMax} }

func (b *backoff) take() time.Duration {
	d := b.next
	b.next = min(b.next*3/2, b.most)
	return d - time.Duration(rand.Float64()*0.2*float64(d))
}
