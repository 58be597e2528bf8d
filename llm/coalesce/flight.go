package coalesce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// flight is one call and the events it has yielded so far.
type flight struct {
	key      llm.Key
	promotes bool               // a transient error promotes a reader
	leader   context.Context    // of the call, with the values of the reader that made it
	cancel   context.CancelFunc // of the call
	landed   chan struct{}      // closed when the call is released

	// Guarded by the model's mutex.
	readers    int
	leaderLeft bool    // the reader that made the call has left
	down       bool    // the call has ended with an answer
	abandoned  bool    // the last reader left before the call had ended
	successor  *flight // the call that a promoted reader made

	mu      sync.Mutex    // guards the fields below
	events  []llm.Event   // only ever appended to
	ended   bool          // no more events come
	err     error         // how the call failed
	panicky any           // what next panicked with
	changed chan struct{} // closed at the next change; nil if none waits

	deadline  time.Time // the latest of the readers'
	unbounded bool      // a reader has no deadline

	// Who is given the answer as it is: the leader, or, once it has left
	// without it, the first that asks.
	leaderGone, given bool
}

// flightContext is the context of a flight's call. Its deadline is known to who
// asks, so that nothing is waited for that comes too late for every reader; what
// ends it are the readers, who leave.
type flightContext struct {
	context.Context
	flight *flight
}

func (c flightContext) Deadline() (time.Time, bool) {
	c.flight.mu.Lock()
	defer c.flight.mu.Unlock()
	return c.flight.deadline, !c.flight.unbounded
}

// extend lets the flight last as long as a reader's context.
func (f *flight) extend(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	deadline, bounded := ctx.Deadline()
	f.unbounded = f.unbounded || !bounded
	if deadline.After(f.deadline) {
		f.deadline = deadline
	}
}

// add appends an event.
func (f *flight) add(ev llm.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.events = append(f.events, ev)
	f.ended = ev.Type == llm.EventDone // the contract: nothing follows it
	f.broadcast()
}

// whole reports whether the answer is there.
func (f *flight) whole() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended && f.err == nil && f.panicky == nil
}

// end ends the flight with err, unless it has ended.
func (f *flight) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.ended, f.err = true, err
	f.broadcast()
}

// crash ends the flight with a panic of next, for the readers to raise: on
// the flight's own goroutine no caller could recover it.
func (f *flight) crash(p any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.panicky = true, fmt.Sprintf("%v\n\n%s", p, debug.Stack())
	f.broadcast()
}

// broadcast wakes the readers that wait. The caller holds f.mu.
func (f *flight) broadcast() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// wait returns the events from index seen on, as soon as there are any, the
// flight has ended, or ctx has. err is how the flight, or ctx, ended.
func (f *flight) wait(ctx context.Context, seen int) (events []llm.Event, ended bool, err error) {
	for {
		f.mu.Lock()
		if f.panicky != nil {
			f.mu.Unlock()
			panic(f.panicky)
		}
		if len(f.events) > seen || f.ended {
			events, ended, err = f.events[seen:], f.ended, f.err
			f.mu.Unlock()
			return events, ended, err
		}
		if f.changed == nil {
			f.changed = make(chan struct{})
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, true, llm.ContextError(ctx)
		}
	}
}

// owns reports whether the asking reader is the one to be given the answer as
// it is.
func (f *flight) owns(leads bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.given || !leads && !f.leaderGone {
		return false
	}
	f.given = true
	return true
}

// handOver lets another reader own the answer, if the leader has not had it.
func (f *flight) handOver() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaderGone = true
}

// clone returns a copy of req that shares no memory with it that could be written
// to.
func clone(req *llm.Request) *llm.Request {
	c := *req
	if req.Wire != nil {
		return &c // whoever read it from the wire does not change it
	}
	c.System = cloneBlocks(req.System)
	c.Messages = slices.Clone(req.Messages)
	for i := range c.Messages {
		c.Messages[i].Content = cloneBlocks(c.Messages[i].Content)
	}
	c.Tools = slices.Clone(req.Tools)
	for i := range c.Tools {
		t := &c.Tools[i]
		t.InputSchema, t.Raw = cloneJSON(t.InputSchema), cloneJSON(t.Raw)
	}
	c.ToolChoice = cloneJSON(req.ToolChoice)
	c.StopSequences = slices.Clone(req.StopSequences)
	c.Thinking = cloneJSON(req.Thinking)
	c.OutputConfig = cloneJSON(req.OutputConfig)
	if req.Extra != nil {
		c.Extra = make(map[string]json.RawMessage, len(req.Extra))
		for name, value := range req.Extra {
			c.Extra[name] = cloneJSON(value)
		}
	}
	c.Betas = slices.Clone(req.Betas)
	return &c
}

func cloneBlocks(blocks []llm.Block) []llm.Block {
	blocks = slices.Clone(blocks)
	for i := range blocks {
		b := &blocks[i]
		b.Input, b.CacheControl, b.Raw = cloneJSON(b.Input), cloneJSON(b.CacheControl), cloneJSON(b.Raw)
	}
	return blocks
}

func cloneJSON(raw json.RawMessage) json.RawMessage { return bytes.Clone(raw) }
