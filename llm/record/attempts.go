package record

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Attempt is one request that was sent to the service.
type Attempt struct {
	ID         int64         // see [llm.Sent]
	Charge     llm.Charge    // what it reported, and what it costs
	Uncertain  llm.Money     // what it may have been billed beyond its charge
	Start      time.Time     // when it was sent
	Duration   time.Duration // of the service: until the stream ended; 0 in a message batch
	FirstToken time.Duration // of the service: until the first piece of the answer; 0 if none came, and in a message batch
	Code       llm.Code      // 0 for a whole answer
}

// AttemptOptions are the settings of [Attempts]. The zero value is ready.
type AttemptOptions struct {
	// Prices turns usage into money. Nil means [llm.Prices].
	Prices *llm.PriceTable

	// Late, when set, receives an attempt that outlasted the call which made it, since
	// other calls share it. One that was answered is charged to the call that takes it
	// over.
	Late func(context.Context, Attempt)

	// OnSend, when set, is called before an attempt is sent of which no layer above has
	// taken note, as a budget does. It is not called for message batches, whose answers
	// a later process reads.
	OnSend func(context.Context, *llm.Request, llm.Sent)
}

// newSent returns what is known of an attempt that no budget has reserved for.
func newSent(req *llm.Request, prices *llm.PriceTable) llm.Sent {
	input := prices.EstimateTokens(req.Model, promptSize(req))
	most, _ := prices.WorstCase(req.Model, input, max(req.MaxTokens, 0), llm.RateOf(req))
	return llm.NewSent(input, most)
}

// pictureSize is about what an image or a page counts for, in characters.
const pictureSize = 6000

// promptSize returns the characters of a prompt, roughly.
func promptSize(req *llm.Request) int {
	n := len(req.OutputConfig)
	blocks := func(list []llm.Block) {
		for i := range list {
			b := &list[i]
			n += len(b.Text) + len(b.Input) + len(b.Name)
			if b.Media != nil {
				n += pictureSize * max(b.Media.Pages, 1)
			} else {
				n += len(b.Raw)
			}
		}
	}
	blocks(req.System)
	for _, m := range req.Messages {
		blocks(m.Content)
	}
	for _, t := range req.Tools {
		n += len(t.Name) + len(t.Description) + len(t.InputSchema) + len(t.Raw)
	}
	return n
}

// Attempts returns next with each attempt measured for the [New] above it. It
// stands directly around the provider, below everything that waits, so that it
// times the service alone. A call whose layers are set to [Options.Metered]
// costs what its attempts cost.
//
// An attempt whose [llm.Sent] is not in its context gets its own.
func Attempts(next llm.Model, opts AttemptOptions) llm.Model {
	prices := sync.OnceValue(func() *llm.PriceTable {
		if opts.Prices != nil {
			return opts.Prices
		}
		return llm.Prices()
	})
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			meter := llm.NewMeter(req)
			sent, known := llm.SentOf(ctx)
			if !known {
				sent = newSent(req, prices())
			}
			a := Attempt{ID: sent.ID, Start: time.Now()}
			if !known && opts.OnSend != nil && !req.Batch {
				opts.OnSend(ctx, req, sent)
			}
			ended := false
			end := func(err error) {
				if ended {
					return
				}
				ended = true
				a.Duration = max(time.Since(a.Start), 1)
				if !meter.Answered() {
					a.Code = llm.CodeOf(err)
				}
				a.Charge = meter.Charge(prices())
				a.Uncertain = sent.Uncertain(meter, a.Charge, prices())
				if req.Batch {
					a.Duration, a.FirstToken = 0, 0
				}
				if meter.Answered() && a.Charge.Basis == llm.BasisFree {
					return // by the answer to another call of the batch: nothing was sent
				}
				if !listOf(ctx).add(a) && !meter.Answered() && opts.Late != nil {
					opts.Late(ctx, a)
				}
			}
			// Deferred, for a consumer that breaks off or panics.
			defer func() { end(context.Canceled) }()
			for ev, err := range next.Stream(ctx, req) {
				meter.See(ev, err)
				if err == nil && ev.Type == llm.EventDone && ev.Response != nil {
					resp := *ev.Response // which others may read
					resp.AttemptID = sent.ID
					ev.Response = &resp
				}
				switch {
				case err != nil || ev.Type == llm.EventDone:
					end(err)
				case a.FirstToken == 0 && ev.Text != "":
					// At least 1 ns: a clock may stand still.
					a.FirstToken = max(time.Since(a.Start), 1)
				}
				if !yield(ev, err) {
					return
				}
			}
			end(llm.ErrIncomplete)
		}
	})
}

type listKey struct{}

// list collects the attempts of one call.
type list struct {
	mu       sync.Mutex // guards the fields below
	attempts []Attempt
	closed   bool // the call has ended
}

func listOf(ctx context.Context) *list {
	l, _ := ctx.Value(listKey{}).(*list)
	return l
}

// add adds an attempt. It reports false if the call has ended.
func (l *list) add(a Attempt) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.attempts = append(l.attempts, a)
	}
	return !l.closed
}

// close returns the attempts; later ones are refused.
func (l *list) close() []Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.attempts
}
