// Package coalescevalkey is the layer that lets identical calls in flight on several
// machines share one, by way of Valkey or Redis.
//
// It sits directly below llm/coalesce, which brings the identical calls of a process
// together, so that a process has one call of each kind here. The first process to come
// owns the flight: it makes the call, and writes the events to a stream of the server. The
// others read the stream from its beginning, then follow it.
//
// The ownership is a lease of [LeaseTime] that the owner extends. It saves money and guards
// nothing: where two processes own a flight, after a restart of the server for instance,
// two calls are made. When an owner dies or leaves, a process that was shown nothing yet
// takes over; one that was shown a part of the answer fails with [llm.CodeIncomplete], since
// another answer would not continue it. A transient error lets one take over once, as in
// llm/coalesce. Without the server each process makes its own call.
//
// A flight that has ended with an answer that a cache may keep has landed: for another
// [LeaseTime] it can be followed by calls that take answers of a cache. Between their look
// into the cache and the flight, another process may have made the call.
package coalescevalkey

import (
	"context"
	"iter"
	"time"

	"github.com/claude-force/claude-force/internal/seal"
	store "github.com/claude-force/claude-force/internal/valkey"
	"github.com/claude-force/claude-force/llm"
)

// LeaseTime is for how long a flight belongs to an owner that shows no sign of life.
const LeaseTime = 15 * time.Second

const (
	extendTime = LeaseTime / 3
	// firstPoll and lastPoll are how often a stream is read in which nothing comes, and
	// patientPoll where nothing has come for long, as while its owner waits for a rate
	// limit: after a pause of at most a sixteenth of the time that it has lasted.
	firstPoll, lastPoll, patientPoll = 5 * time.Millisecond, 100 * time.Millisecond, time.Second
	// maxFlights is how many owners that die a call survives.
	maxFlights = 5
)

// flights keeps flights where processes see them.
type flights interface {
	// join returns the flight that is in the air under a name, or has landed if that is of
	// use too, or one that the caller owns.
	join(ctx context.Context, name string, landed bool) (id string, owns bool, err error)
	// extend lets the owner keep a flight, release ends it, and land ends it with an answer.
	// They do nothing if another owns it.
	extend(ctx context.Context, name, id string) error
	release(ctx context.Context, name, id string) error
	land(ctx context.Context, name, id string) error
	// publish appends to the events of a flight.
	publish(ctx context.Context, name, id string, data []byte) error
	// read returns what was appended after a position, the next position, and whether the
	// flight had an owner before it was read.
	read(ctx context.Context, name, id, after string) (data [][]byte, next string, owned bool, err error)
	// name returns the name of the calls with a key.
	name(key llm.Key) string
}

// New returns next with identical calls of all processes that use the server shared. keyer
// says which are identical, as for llm/coalesce. key encrypts the events, if it is not
// nil, and is the same on all machines.
func New(next llm.Model, keyer llm.Keyer, client *store.Client, key []byte) (llm.Model, error) {
	box, err := seal.New(key)
	if err != nil {
		return nil, err
	}
	return &model{next: next, keyer: keyer, flights: &streams{client}, box: box}, nil
}

type model struct {
	next    llm.Model
	keyer   llm.Keyer
	flights flights
	box     *seal.Box
}

func (m *model) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		if ctx.Err() != nil {
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		key, err := m.keyer.Key(req)
		if err != nil || req.Policy == llm.PolicyOff {
			m.next.Stream(ctx, req)(yield)
			return
		}
		m.share(ctx, req, m.flights.name(key), yield)
	}
}

// share makes a call, or follows one that another process makes.
func (m *model) share(ctx context.Context, req *llm.Request, name string, yield func(llm.Event, error) bool) {
	promoted := false
	for range maxFlights {
		id, owns, err := m.flights.join(ctx, name, llm.TakesCached(ctx))
		if ctx.Err() != nil {
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		if err != nil {
			break
		}
		if owns {
			m.lead(ctx, req, name, id, yield)
			return
		}
		out := llm.NewHoldback(req, yield)
		e := m.follow(ctx, name, id, out)
		switch {
		case e.done || out.Stopped():
			return
		case ctx.Err() != nil:
			e.err = llm.ContextError(ctx)
		case out.Shown():
		case e.lost:
			continue
		case e.err != nil && llm.CodeOf(e.err).Transient() && !promoted:
			promoted = true
			continue
		}
		if out.FlushUnseen() {
			yield(llm.Event{}, e.err)
		}
		return
	}
	m.next.Stream(ctx, req)(yield)
}

// errLost is the error of a call whose owner is gone after a part of the answer was shown.
var errLost = llm.NewError(llm.CodeIncomplete, "the process that made the call for this one is gone, and the answer is not whole", nil)

// ending is how following a flight ended.
type ending struct {
	done bool  // with the answer
	lost bool  // its owner is gone, or the server
	err  error // of the call, or errLost
}

// follow passes on the events of a flight.
func (m *model) follow(ctx context.Context, name, id string, out *llm.Holdback) ending {
	gone := ending{lost: true, err: errLost}
	quiet := time.Now() // since when nothing has come
	for after, poll := "", firstPoll; ; {
		data, next, owned, err := m.flights.read(ctx, name, id, after)
		if err != nil || len(data) == 0 && !owned {
			return gone
		}
		after = next
		for _, sealed := range data {
			events, err := decode(m.box, name+id, sealed)
			if err != nil {
				return gone // written with another key
			}
			for i := range events {
				if e, ended := pass(ctx, &events[i], out); ended {
					return e
				}
			}
		}
		if len(data) > 0 {
			poll, quiet = firstPoll, time.Now()
			continue
		}
		timer := time.NewTimer(poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return gone
		}
		poll = min(2*poll, max(lastPoll, min(patientPoll, time.Since(quiet)/16)))
	}
}

// pass passes one event on. It reports whether it was the last.
func pass(ctx context.Context, e *event, out *llm.Holdback) (ending, bool) {
	switch {
	case ctx.Err() != nil, e.Gone:
		return ending{lost: true, err: errLost}, true
	case e.Failure != nil:
		return ending{err: e.Failure.error()}, true
	}
	ev := e.event()
	more := out.Yield(ev)
	return ending{done: ev.Type == llm.EventDone}, !more || ev.Type == llm.EventDone
}

// lead makes the call of a flight, and publishes its events.
func (m *model) lead(ctx context.Context, req *llm.Request, name, id string, yield func(llm.Event, error) bool) {
	p := m.newPublisher(ctx, name, id)
	last := event{Gone: true} // if next panics, or the consumer breaks off
	landed := false
	defer func() { p.close(last, landed) }()
	stream := m.next.Stream(ctx, req)
	if resp := llm.RecheckCache(ctx); resp != nil {
		stream = llm.Replay(resp) // another process has just ended the same call
	}
	for ev, err := range stream {
		if err != nil {
			if ctx.Err() == nil {
				last = failed(err)
			}
			yield(llm.Event{}, err)
			return
		}
		p.add(written(&ev))
		if ev.Type == llm.EventDone {
			last = event{}
			landed = ev.Response != nil && llm.Cacheable(req, ev.Response)
		}
		if !yield(ev, nil) {
			return
		}
	}
	if last.Gone {
		last = failed(llm.ErrIncomplete)
	}
}
