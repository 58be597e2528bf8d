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

// call is a call that waits for its answer, for all readers of the same key.
type call struct {
	key    llm.Key
	req    *llm.Request
	betas  string          // those of the request, sorted; calls of a batch share them
	params json.RawMessage // its body; not needed once it is submitted
	own    bool            // shares no answer with an identical call
	once   bool            // may have effects, so it is not tried again once it ran
	tries  int             // batches it was in before

	// The fields below are guarded by the lane's mu.
	readers int
	flight  *flight // the batch it is in; nil while it waits for one
	index   int     // in the flight's record
	resp    *llm.Response
	err     error
	unknown bool // err is why the call's result cannot be had, not its result
	claimed bool // a reader has the answer that was paid for

	landed chan struct{} // closed when resp or err is set
}

// Model returns the lane as a model. A stream yields pings while its call waits,
// then the whole answer. A call whose context ends leaves its batch running: the
// answer is found when the call is made again.
func (l *Lane) Model() llm.Model { return llm.ModelFunc(l.stream) }

func (l *Lane) stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		c, err := l.join(ctx, req)
		if err != nil {
			yield(llm.Event{}, err)
			return
		}
		defer l.leave(c)
		ping := time.NewTicker(l.opts.Ping)
		defer ping.Stop()
		for {
			select {
			case <-c.landed:
				l.give(c, yield)
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

// give yields what a call has come to. It counts as taken once the consumer
// has come back from the last of it.
func (l *Lane) give(c *call, yield func(llm.Event, error) bool) {
	if c.err != nil {
		yield(llm.Event{}, c.err)
		l.take(c)
		return
	}
	resp := c.resp
	if !l.first(c) {
		resp = resp.Clone()
		resp.Source, resp.Attempts = llm.SourceCoalesced, 0
	}
	for ev, err := range llm.Replay(resp) {
		done := ev.Type == llm.EventDone
		more := yield(ev, err)
		if done {
			l.take(c)
		}
		if !more {
			return
		}
	}
}

// first reports whether this reader of an answer is the one that paid.
func (l *Lane) first(c *call) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := c.claimed
	c.claimed = true
	return !was
}

// join finds the call for req among those under way and those that were left
// behind, or makes one.
func (l *Lane) join(ctx context.Context, req *llm.Request) (*call, error) {
	if ctx.Err() != nil {
		return nil, llm.ContextError(ctx)
	}
	params, err := l.client.Params(req)
	if err != nil {
		return nil, err
	}
	key, err := l.opts.Keyer.Key(req)
	if err != nil {
		return nil, llm.NewError(llm.CodeInvalid, "the request cannot be sent: "+err.Error(), nil)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.start(ctx); err != nil {
		return nil, err
	}
	own := req.Policy == llm.PolicyOff || req.Policy == llm.PolicyRefresh
	if c := l.open[key]; c != nil && !own {
		c.readers++
		return c, nil
	}
	betas := slices.Sorted(slices.Values(req.Betas))
	c := &call{
		key: key, req: req, params: params, own: own, once: req.Once, readers: 1,
		betas: strings.Join(slices.Compact(betas), ","), landed: make(chan struct{}),
	}
	if !own {
		l.open[key] = c
	}
	l.wait(c)
	return c, nil
}

// wait puts a call where its answer will come from: a batch that was left
// behind, or the next one. The caller holds mu.
func (l *Lane) wait(c *call) {
	if p, ok := l.left(c.key); ok {
		l.board(c, p.flight, p.index)
		return
	}
	c.flight = nil
	now := time.Now()
	if len(l.waiting) == 0 {
		l.firstCame = now
	}
	l.lastCame = now
	l.waiting = append(l.waiting, c)
	l.bytes += len(c.params)
	wake(l.collecting)
}

// leave is the end of one reader. The last one to leave frees the call's place.
func (l *Lane) leave(c *call) {
	l.mu.Lock()
	c.readers--
	last, f := c.readers == 0, c.flight
	if last {
		l.abandon(c)
	}
	l.mu.Unlock()
	if last && f != nil {
		// Whoever words an error with the request is done with it now.
		f.quoting.Lock()
		f.quoting.Unlock() //nolint:staticcheck // a barrier
	}
}

// abandon frees the place of a call that nobody waits for any more. The caller
// holds mu.
func (l *Lane) abandon(c *call) {
	c.req = nil // the caller's again
	l.close(c)
	if f := c.flight; f != nil {
		if f.calls[c.index] == c {
			delete(f.calls, c.index)
		}
		if !f.over[c.index] {
			l.abandoned[c.key] = append(l.abandoned[c.key], place{f, c.index})
		}
	}
}

// close lets nobody join a call any more. The caller holds mu.
func (l *Lane) close(c *call) {
	if l.open[c.key] == c {
		delete(l.open, c.key)
	}
}

// land gives a call its answer. The caller holds mu.
func (l *Lane) land(c *call, resp *llm.Response, err error) {
	select {
	case <-c.landed:
		return
	default:
	}
	l.close(c)
	if f := c.flight; f != nil {
		delete(f.calls, c.index)
	}
	c.resp, c.err = resp, err
	if resp != nil && c.tries > 0 {
		c.resp = resp.Clone()
		c.resp.Attempts = 1 + c.tries
	}
	close(c.landed)
}

// take notes that what became of a call has been given to who asked. What only
// kept the lane from finding out is not what became of it.
func (l *Lane) take(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := c.flight
	if f == nil || c.unknown || f.over[c.index] {
		return
	}
	f.over[c.index] = true
	if !f.foreign {
		f.taken = append(f.taken, c.index)
		wake(l.collecting)
	}
}
