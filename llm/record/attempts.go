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
	Charge     llm.Charge    // what it reported, and what it costs
	Start      time.Time     // when it was sent
	Duration   time.Duration // of the service: until the stream ended; 0 in a message batch
	FirstToken time.Duration // of the service: until the first piece of the answer; 0 if none came, and in a message batch
	Code       llm.Code      // 0 for a whole answer
}

// Attempts returns next with each attempt measured for the [New] above it. It
// stands directly around the provider, below everything that waits, so that it
// times the service alone. A call whose layers are set to [Options.Metered]
// costs what its attempts cost.
//
// An attempt can outlast the call that made it, if other calls share it. Then
// late receives it, unless it was answered: an answer is charged to the call
// that takes it over.
func Attempts(next llm.Model, prices *llm.PriceTable, late func(context.Context, Attempt)) llm.Model {
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			meter := llm.NewMeter(req)
			a := Attempt{Start: time.Now()}
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
				table := prices
				if table == nil {
					table = llm.Prices()
				}
				a.Charge = meter.Charge(table)
				if req.Batch {
					a.Duration, a.FirstToken = 0, 0
				}
				if meter.Answered() && a.Charge.Basis == llm.BasisFree {
					return // by the answer to another call of the batch: nothing was sent
				}
				if !listOf(ctx).add(a) && !meter.Answered() && late != nil {
					late(ctx, a)
				}
			}
			// Deferred, for a consumer that breaks off or panics.
			defer func() { end(context.Canceled) }()
			for ev, err := range next.Stream(ctx, req) {
				meter.See(ev, err)
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
