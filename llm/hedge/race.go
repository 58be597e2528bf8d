package hedge

import (
	"context"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// call is one of the calls of a race.
type call struct {
	started chan struct{} // closed when it has left the queue
	once    sync.Once
	began   time.Time // when it did; final when started is closed

	pairs  chan pair // its stream; closed at its end
	cancel context.CancelFunc
	left   chan struct{} // closed when no caller reads pairs any more
}

type pair struct {
	ev  llm.Event
	err error
}

func newCall() *call { return &call{started: make(chan struct{})} }

func (c *call) start() {
	c.once.Do(func() {
		c.began = time.Now()
		close(c.started)
	})
}

// elapsed returns the time since the call left the queue; 0 if it has not.
func (c *call) elapsed() time.Duration {
	select {
	case <-c.started:
		return time.Since(c.began)
	default:
		return 0
	}
}

// race is a call that a second may join.
type race struct {
	model *model
	req   *llm.Request
	late  time.Duration
	calls sync.WaitGroup
}

// send starts a call on a goroutine of its own, which run waits for.
func (r *race) send(ctx context.Context) *call {
	c := newCall()
	c.pairs, c.left = make(chan pair), make(chan struct{})
	ctx, c.cancel = context.WithCancel(context.WithValue(ctx, callKey{}, c))
	r.calls.Go(func() {
		defer close(c.pairs)
		for ev, err := range r.model.next.Stream(ctx, r.req) {
			select {
			case c.pairs <- pair{ev, err}:
			case <-c.left:
				return
			}
		}
	})
	return c
}

// leave ends a call that no caller reads any more.
func (c *call) leave() {
	c.cancel()
	close(c.left)
}

func (r *race) run(ctx context.Context, yield func(llm.Event, error) bool) {
	defer r.calls.Wait()
	first := r.send(ctx)
	defer first.leave()
	p, ok, late := r.wait(first)
	if !late {
		r.follow(first, p, ok, yield)
		return
	}
	after := first.elapsed()
	second := r.send(ctx)
	defer second.leave()
	winner, p, ok := first.against(second)
	switch {
	case !ok || p.err != nil:
		p.err = llm.MayBeBilled(p.err) // of the other call
		r.model.opts.OnHedge(ctx, Hedge{r.req.Model, after, Neither})
	case winner == first:
		second.cancel()
		r.model.opts.OnHedge(ctx, Hedge{r.req.Model, after, First})
	default:
		// The first would have taken at least as long as it has.
		r.model.times.add(r.req.Model, first.elapsed())
		first.cancel()
		r.model.opts.OnHedge(ctx, Hedge{r.req.Model, after, Second})
	}
	r.follow(winner, p, ok, yield)
}

// wait waits for the first pair of a call. It reports late if there is none in
// time and a second call may be made.
func (r *race) wait(c *call) (p pair, ok, late bool) {
	select {
	case p, ok = <-c.pairs:
		return p, ok, false
	case <-c.started:
	}
	timer := time.NewTimer(r.late - c.elapsed())
	defer timer.Stop()
	select {
	case p, ok = <-c.pairs:
		return p, ok, false
	case <-timer.C:
	}
	if r.model.take() {
		return pair{}, false, true
	}
	p, ok = <-c.pairs
	return p, ok, false
}

// against gives the call that shows an event first, with that. If neither does,
// it gives the failure of the first; a failure that would repeat is not waited
// on for a better one.
func (c *call) against(second *call) (winner *call, p pair, ok bool) {
	a, b := c.pairs, second.pairs
	var failed pair // of the first
	var whole bool  // it said how
	for a != nil || b != nil {
		select {
		case p, ok = <-a:
			if ok && (p.err == nil || !llm.CodeOf(p.err).Transient()) {
				return c, p, true
			}
			failed, whole, a = p, ok, nil
		case p, ok = <-b:
			if ok && p.err == nil {
				return second, p, true
			}
			b = nil
		}
	}
	return c, failed, whole
}

// follow yields the rest of a call's stream, of which p was the first pair.
func (r *race) follow(c *call, p pair, ok bool, yield func(llm.Event, error) bool) {
	if ok && p.err == nil {
		r.model.times.add(r.req.Model, c.elapsed())
	}
	for ; ok; p, ok = <-c.pairs {
		if !yield(p.ev, p.err) {
			return
		}
	}
}
