// Package coalesce is the layer that lets identical calls in flight share one
// call of the model below.
//
// It sits below the cache, which answers what was asked before, and above
// everything that costs:
//
//	model := cache.New(coalesce.New(retry.New(provider, retry.Options{}), keyer, coalesce.Options{}), …)
//
// Two calls are identical if the [llm.Keyer] gives them the same key. The key
// holds a namespace of the credential, so nothing is shared across
// credentials. A request of [llm.PolicyOff] wants an answer of its own and is
// passed on untouched.
//
// The shared call is a flight:
//
//   - It belongs to its readers together and to none of them. Its context
//     carries the first reader's values but not its cancellation, and its
//     deadline is the latest of all readers', none if one has none; each reader
//     leaves when its own context ends, and the last one to leave cancels the
//     flight and waits until it is released.
//   - Each reader gets all events from the first, whenever it joined, at its
//     own pace. A slow reader delays no other.
//   - An error is shared. If it is transient, one reader that was shown
//     nothing yet is promoted: it makes one new call with its own context's
//     values, and the other such readers follow it. That happens once for a
//     flight and once for a reader, since the retries below have had their
//     turn: N callers must not become N times the retries.
//   - The answer goes to the reader that made the call as it is, and to the
//     others as a copy of source [llm.SourceCoalesced]. If that reader has left,
//     the first to reach the answer takes its place, so that an answer that
//     was paid for is counted as paid.
package coalesce

import (
	"context"
	"iter"
	"sync"

	"github.com/claude-force/claude-force/llm"
)

// Options configure [New]. The zero value is ready.
type Options struct {
	// OnShared, if set, is called when a call is given the answer of another: ctx
	// is its own context, leader has the values of that of the other.
	OnShared func(ctx, leader context.Context)
}

// New returns next with identical calls in flight shared. keyer says which are
// identical; its namespace must be that of the credential next uses. A
// request that has no key, since it holds something that is not JSON, is
// passed on as it is.
func New(next llm.Model, keyer llm.Keyer, opts Options) llm.Model {
	return &model{next: next, keyer: keyer, opts: opts, flights: map[llm.Key]*flight{}}
}

type model struct {
	next  llm.Model
	keyer llm.Keyer
	opts  Options

	// mu guards the map, and the readers, abandoned and successor fields of
	// every flight, so that joining and leaving are one step.
	mu      sync.Mutex
	flights map[llm.Key]*flight // those that can be joined
}

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		if ctx.Err() != nil {
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		if req.Policy == llm.PolicyOff {
			m.next.Stream(ctx, req)(yield)
			return
		}
		key, err := m.keyer.Key(req)
		if err != nil {
			m.next.Stream(ctx, req)(yield)
			return
		}
		f, leads := m.join(ctx, key, req)
		err, shown := m.read(ctx, f, leads, yield)
		if err != nil && !leads && !shown && llm.CodeOf(err).Transient() {
			if f, leads, ok := m.succeed(ctx, f, req); ok {
				err, _ = m.read(ctx, f, leads, yield)
			}
		}
		if err != nil {
			yield(llm.Event{}, err)
		}
	}
}

// join makes the caller a reader of the flight for key, and starts it if
// there is none.
func (m *model) join(ctx context.Context, key llm.Key, req *llm.Request) (f *flight, leads bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.flights[key]; ok {
		f.readers++
		f.extend(ctx)
		return f, false
	}
	return m.start(ctx, key, req, true), true
}

// succeed makes a reader of the failed flight f a reader of its successor. It
// reports false if f has none to join.
func (m *model) succeed(ctx context.Context, f *flight, req *llm.Request) (next *flight, leads, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !f.promotes {
		return nil, false, false
	}
	if f.successor == nil {
		if other, found := m.flights[f.key]; found {
			f.successor = other // a new caller has come meanwhile
		} else {
			f.successor = m.start(ctx, f.key, req, false)
			return f.successor, true, true
		}
	}
	if f.successor.abandoned {
		return nil, false, false
	}
	f.successor.readers++
	f.successor.extend(ctx)
	return f.successor, false, true
}

// start begins a flight with one reader. The caller holds m.mu.
func (m *model) start(ctx context.Context, key llm.Key, req *llm.Request, promotes bool) *flight {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{key: key, promotes: promotes, leader: inner, cancel: cancel, readers: 1, landed: make(chan struct{})}
	f.extend(ctx)
	m.flights[key] = f
	// The caller may change its request once its own range has returned; the
	// flight may outlast that.
	req = clone(req)
	go m.fly(flightContext{inner, f}, f, req) // waited for by the last reader, in leave
	return f
}

// fly runs the flight's one call.
func (m *model) fly(ctx context.Context, f *flight, req *llm.Request) {
	defer close(f.landed)
	defer f.cancel()
	// If next panics or ends this goroutine, the readers must not wait forever.
	defer func() {
		p := recover()
		if p == nil && f.whole() {
			m.land(f)
			return
		}
		m.close(f)
		if p != nil {
			f.crash(p)
		} else {
			f.end(llm.ErrIncomplete)
		}
	}()
	stream := m.next.Stream(ctx, req)
	if resp := llm.RecheckCache(ctx); resp != nil {
		stream = llm.Replay(resp) // an identical call has just ended
	}
	for ev, err := range stream {
		if err != nil {
			m.close(f) // first: who comes now makes a call of its own
			f.end(err)
			return
		}
		f.add(ev)
	}
}

// close keeps new callers from joining f.
func (m *model) close(f *flight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flights[f.key] == f {
		delete(m.flights, f.key)
	}
}

// land lets f be joined only until the call's own reader has left: by then the
// cache above has the answer, so that no caller who comes between is sent to the
// service again.
func (m *model) land(f *flight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.down = true
	if f.leaderLeft && m.flights[f.key] == f {
		delete(m.flights, f.key)
	}
}

// leave ends a reader's part in f. The last reader cancels the flight, unless
// it has landed, and waits until its call is released.
func (m *model) leave(f *flight, led bool) {
	if led {
		f.handOver()
	}
	m.mu.Lock()
	f.readers--
	f.leaderLeft = f.leaderLeft || led
	if f.down && f.leaderLeft && m.flights[f.key] == f {
		delete(m.flights, f.key)
	}
	last := f.readers == 0
	if last && m.flights[f.key] == f {
		delete(m.flights, f.key)
		f.abandoned = true
	}
	m.mu.Unlock()
	if last {
		f.cancel()
		<-f.landed
	}
}

// read yields the flight's events to one reader and leaves. It returns the
// error that the reader's stream must end with, nil if it has ended, and
// whether any event was yielded.
func (m *model) read(ctx context.Context, f *flight, leads bool, yield func(llm.Event, error) bool) (err error, shown bool) {
	defer m.leave(f, leads) // deferred, for a consumer that panics
	for seen := 0; ; {
		events, ended, err := f.wait(ctx, seen)
		for _, ev := range events {
			if ctx.Err() != nil {
				return llm.ContextError(ctx), shown
			}
			if ev.Type == llm.EventDone && ev.Response != nil && !f.owns(leads) {
				ev.Response = ev.Response.Clone()
				ev.Response.Source, ev.Response.Attempts, ev.Response.Elsewhere = llm.SourceCoalesced, 0, false
				if m.opts.OnShared != nil {
					m.opts.OnShared(ctx, f.leader)
				}
			}
			if w := ev.Wire; w != nil && w.Head != nil && !leads {
				ev.Wire = &llm.WireEvent{Head: w.Head, Bytes: w.Bytes, Shared: true}
			}
			shown = true
			if !yield(ev, nil) {
				return nil, true
			}
		}
		seen += len(events)
		if ended {
			return err, shown
		}
	}
}
