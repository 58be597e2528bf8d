// Package batch collects calls that may wait into message batches, which cost
// half and are answered within hours.
//
//	store, err := batch.OpenDir(filepath.Join(dataDir, "batches"))
//	…
//	defer store.Close()
//	batcher := batch.New(client.Batches(), store, batch.Options{Keyer: client.Keyer()})
//	defer batcher.Close()
//	model := record.New(cache.New(coalesce.New(batcher.Model(), keyer, coalesce.Options{}), …), …)
//
// A [Batcher] takes the place of retry, admission and the provider. A call
// waits until no other call has arrived for a moment, or until [Batcher.Flush].
// Then the Batcher creates a batch and polls it; each call gets its answer when
// the batch has ended.
//
// # Exactly-once submission
//
// A batch costs money once it is created, whether or not its process lives to
// read the answers. So the Batcher submits a call only once, in spite of
// crashes, as far as the API allows: the client cannot name a batch.
//
//			           Intent            POST             Submitted          results
//			waiting ──────────▶ intent ───────▶ (unknown) ─────────▶ running ────────▶ ended
//			   ▲                   │                │ list, results
//			   └───────────────────┴──── Void ◀─────┘ show that it does not exist
//
//	  - Before the POST the Batcher stores an [Store.Intent]: a nonce, and the
//	    keys of the batch's calls. Each custom_id consists of both.
//	  - After a crash the next process adopts the crashed one's records. A
//	    repeated call finds its key there, and its answer in the running or ended
//	    batch: no batch is created.
//	  - A crash between the POST and its response, or a lost response, leaves an
//	    intent without a batch. The API shows no custom_id before a batch has
//	    ended, so the Batcher lists the account's batches created since the intent.
//	    Those with the same number of requests are candidates; it waits for each to
//	    end and compares the nonce in the results. If no candidate is left after
//	    [Options.Grace], the batch does not exist and its calls are submitted
//	    again.
//	  - A failure that proves that no batch was created (a rejection such as 429
//	    or 400, a failed connection) leaves no doubt.
//	  - Delivered answers are recorded as taken after [Options.Settle], or when
//	    the Batcher is closed, so that callers have time to store them. A call
//	    repeated after that is a new call.
//
// Limits: a batch that appears in the list only after the grace period, or with
// clocks that differ by more than ten minutes, is not found, and its calls are
// paid for twice. The same holds for a batch whose results another client
// deleted before they were read. All other failures cost time, not money; for
// example, the Batcher may wait for another client's batch of the same size.
//
// Processes that share a store share batches: if one has submitted a call, the
// others read its answer from the same batch. Calls with [llm.PolicyOff] or
// [llm.PolicyRefresh] share no answers, except those left by a crashed process.
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

// Client is the API for batches, such as the Batches of llm/anthropic. Its
// errors are [*llm.Error] values, and it retries nothing.
type Client interface {
	Params(req *llm.Request) (json.RawMessage, error)
	Create(ctx context.Context, items []llm.BatchItem, betas []string) (llm.Batch, error)
	Get(ctx context.Context, id string) (llm.Batch, error)
	List(ctx context.Context, after string) (page []llm.Batch, next string, err error)
	Cancel(ctx context.Context, id string) error
	Results(ctx context.Context, id string, request func(id string) *llm.Request) iter.Seq2[llm.BatchResult, error]
}

// Limits of the API for one batch. MaxBytes leaves room for the frame around
// the calls.
const (
	MaxCalls = 100_000
	MaxBytes = 250_000_000
)

// Options configures a [Batcher]. Zero values mean the defaults in brackets.
type Options struct {
	// Keyer identifies identical calls. It must be the client's.
	Keyer llm.Keyer

	Idle   time.Duration // time without a new call before a batch is created [2s]
	Window time.Duration // longest wait of the first call for others [30s]

	MaxCalls int // of one batch [MaxCalls]
	MaxBytes int // of the calls of one batch [MaxBytes]

	PollMin time.Duration // first poll interval [2s]
	PollMax time.Duration // longest poll interval [1m]

	// Grace is how long a batch whose creation got no response may still appear
	// in the list, from the start of this process's search [5m].
	Grace time.Duration

	// Resubmits is how often a call whose batch expired, or that failed
	// transiently, is submitted again; negative means never [2]. A call with
	// [llm.Request.Once] is submitted again only if its batch expired, because
	// then it did not run.
	Resubmits int

	// Settle is the time between the delivery of an answer and its record as
	// taken, in case a crash loses it at the caller [1m].
	Settle time.Duration

	Ping time.Duration // ping interval of a waiting call's stream [15s]

	// OnBatch, if set, is called with every event. It must be quick and safe
	// for concurrent use.
	OnBatch func(Event)
}

// EventType is a type of [Event].
type EventType string

// Event types.
const (
	BatchSubmitted EventType = "submitted" // created
	BatchFound     EventType = "found"     // created by a previous or another process; this one polls it now
	BatchInDoubt   EventType = "in_doubt"  // may have been created; the Batcher searches for it
	BatchVoid      EventType = "void"      // was not created; its calls will be submitted again
	BatchTrouble   EventType = "trouble"   // a failed step, which is repeated later
	BatchEnded     EventType = "ended"     // its answers are available
)

// Event is a change of a batch's state.
type Event struct {
	Type  EventType
	ID    string // the API's id; empty if unknown
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

// backoff yields growing waits, each shortened by up to a fifth so that
// processes do not poll in step.
type backoff struct{ next, max time.Duration }

func (o Options) backoff() *backoff { return &backoff{o.PollMin, o.PollMax} }

func (w *backoff) take() time.Duration {
	d := w.next
	w.next = min(w.next*3/2, w.max)
	return d - time.Duration(rand.Float64()*0.2*float64(d))
}
