package batch

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// call is a call that waits for its answer, on behalf of all readers of the
// same key.
type call struct {
	key    llm.Key
	req    *llm.Request
	betas  string          // the request's, sorted; equal for all calls of a batch
	params json.RawMessage // its body; nil once it is submitted
	own    bool            // shares no answer with identical calls
	once   bool            // may have side effects: not retried once it ran
	tries  int             // previous batches of the call

	// The Batcher's mu guards the fields below.
	readers    int
	submission *submission // nil while the call waits for a batch
	index      int         // index in the submission's record
	resp       *llm.Response
	err        error
	unknown    bool // err is the reason why the result cannot be read, not the result
	claimed    bool // a reader has received the paid answer

	done chan struct{} // closed when resp or err is set
}

// Model returns a model that answers calls from batches. A stream yields pings
// while its call waits, then the whole answer. If a call's context ends, its
// batch continues: a repeated call finds the answer.
func (b *Batcher) Model() llm.Model { return llm.ModelFunc(b.stream) }

func (b *Batcher) stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		c, err := b.join(ctx, req)
		if err != nil {
			yield(llm.Event{}, err)
			return
		}
		defer b.leave(c)
		ping := time.NewTicker(b.opts.Ping)
		defer ping.Stop()
		for {
			select {
			case <-c.done:
				b.deliver(c, yield)
				return
			case <-ctx.Done():
				yield(llm.Event{}, llm.ContextError(ctx))
				return
			case <-ping.C:
				if !yield(llm.Event{Type: llm.EventPing}, nil) {
					return
				}
			}
		}
	}
}

// deliver yields the call's answer or error. The answer counts as taken once
// the consumer has returned from its last event.
func (b *Batcher) deliver(c *call, yield func(llm.Event, error) bool) {
	if c.err != nil {
		yield(llm.Event{}, c.err)
		b.markTaken(c)
		return
	}
	resp := c.resp
	if !b.firstReader(c) {
		resp = resp.Clone()
		resp.Source, resp.Attempts = llm.SourceCoalesced, 0
	}
	for ev, err := range llm.Replay(resp) {
		done := ev.Type == llm.EventDone
		more := yield(ev, err)
		if done {
			b.markTaken(c)
		}
		if !more {
			return
		}
	}
}

// firstReader reports whether this is the first reader of a call's answer,
// which counts as the payer.
func (b *Batcher) firstReader(c *call) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := c.claimed
	c.claimed = true
	return !was
}

// join returns the call for req: an open identical one, or a new one.
func (b *Batcher) join(ctx context.Context, req *llm.Request) (*call, error) {
	if ctx.Err() != nil {
		return nil, llm.ContextError(ctx)
	}
	params, err := b.client.Params(req)
	if err != nil {
		return nil, err
	}
	key, err := b.opts.Keyer.Key(req)
	if err != nil {
		return nil, llm.NewError(llm.CodeInvalid, "the request cannot be sent: "+err.Error(), nil)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	own := req.Policy == llm.PolicyOff || req.Policy == llm.PolicyRefresh
	if c := b.open[key]; c != nil && !own {
		c.readers++
		return c, nil
	}
	betas := slices.Sorted(slices.Values(req.Betas))
	c := &call{
		key: key, req: req, params: params, own: own, once: req.Once, readers: 1,
		betas: strings.Join(slices.Compact(betas), ","), done: make(chan struct{}),
	}
	if !own {
		b.open[key] = c
	}
	b.wait(c)
	return c, nil
}

// wait puts a call into a submission with a pending answer for it, or else into
// the queue for the next batch. The caller holds mu.
func (b *Batcher) wait(c *call) {
	if p, ok := b.takeAbandoned(c.key); ok {
		b.add(c, p.submission, p.index)
		return
	}
	c.submission = nil
	now := time.Now()
	if len(b.waiting) == 0 {
		b.firstArrival = now
	}
	b.lastArrival = now
	b.waiting = append(b.waiting, c)
	b.bytes += len(c.params)
	wake(b.wakeCollector)
}

// leave removes one reader. The last one frees the call's slot.
func (b *Batcher) leave(c *call) {
	b.mu.Lock()
	c.readers--
	last, s := c.readers == 0, c.submission
	if last {
		b.abandon(c)
	}
	b.mu.Unlock()
	if last && s != nil {
		// Wait for error messages that use the request.
		s.quoting.Lock()
		s.quoting.Unlock() //nolint:staticcheck // wait for the holder
	}
}

// abandon frees the slot of a call that has no readers. The caller holds mu.
func (b *Batcher) abandon(c *call) {
	c.req = nil // it belongs to the caller
	b.close(c)
	if s := c.submission; s != nil {
		if s.calls[c.index] == c {
			delete(s.calls, c.index)
		}
		if !s.done[c.index] {
			b.abandoned[c.key] = append(b.abandoned[c.key], slot{s, c.index})
		}
	}
}

// close prevents identical calls from joining a call. The caller holds mu.
func (b *Batcher) close(c *call) {
	if b.open[c.key] == c {
		delete(b.open, c.key)
	}
}

// finish sets a call's answer or error and wakes its readers. The caller holds
// mu.
func (b *Batcher) finish(c *call, resp *llm.Response, err error) {
	select {
	case <-c.done:
		return
	default:
	}
	b.close(c)
	if s := c.submission; s != nil {
		delete(s.calls, c.index)
	}
	c.resp, c.err = resp, err
	if resp != nil && c.tries > 0 {
		c.resp = resp.Clone()
		c.resp.Attempts = 1 + c.tries
	}
	close(c.done)
}

// markTaken notes that a call's result was delivered. An error that only
// prevented the Batcher from reading the result is not a result.
func (b *Batcher) markTaken(c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := c.submission
	if s == nil || c.unknown || s.done[c.index] {
		return
	}
	s.done[c.index] = true
	if !s.foreign {
		s.taken = append(s.taken, c.index)
		wake(b.wakeCollector)
	}
}
