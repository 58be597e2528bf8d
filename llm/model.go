// Package llm is the seam between claude-force and a language model: one
// call, its answer, and the one interface that everything that makes or wraps
// calls implements.
//
// The package has no code for HTTP, stores or providers. A call is a [Request];
// an answer arrives as a stream of [Event] values and ends with one [Response].
// Each layer of the call pipeline (package pipeline lists them) and the provider
// at its end is a [Model], so a pipeline is a nested expression and a layer is
// removed by deleting one line.
//
// What is known of each model (prices, limits, tokenizer) is in one table, the
// [PriceTable].
//
// Two equal requests are one call to pay for, so every call has a content
// address, its [Key]. See [Keyer] for its parts.
package llm

import (
	"context"
	"iter"
)

// Model answers requests.
//
// Stream starts the call when the sequence is ranged over, not before, and
// each range over the same sequence makes a new call. The contract, checked
// for every implementation by the suite in llm/llmtest:
//
//   - A complete answer ends with exactly one event of type [EventDone] whose
//     Response is set, and nothing follows it.
//   - A call that fails ends with exactly one pair whose error is not nil, and
//     nothing follows it. A stream that ends without either is broken; see
//     [Collect].
//   - Nothing is retried after the first event was yielded, so a consumer that
//     shows an answer as it arrives never has to take anything back. A layer
//     that retries yields late if the request is Unseen. See [Holdback].
//   - When the consumer stops ranging, the call is released before Stream's
//     sequence returns, and no goroutine outlives it on the caller's behalf.
//   - When ctx ends, the sequence ends soon with an error of code
//     [CodeCanceled] or [CodeTimeout].
//   - Implementations are safe for concurrent use and never modify the
//     request, which the caller must not modify while the call runs.
type Model interface {
	Stream(ctx context.Context, req *Request) iter.Seq2[Event, error]
}

// ModelFunc is a function that is a [Model].
type ModelFunc func(ctx context.Context, req *Request) iter.Seq2[Event, error]

// Stream calls f.
func (f ModelFunc) Stream(ctx context.Context, req *Request) iter.Seq2[Event, error] {
	return f(ctx, req)
}

// EventType is the kind of an [Event].
type EventType string

// The types of events. A consumer must ignore types it does not know.
const (
	// EventStart marks the start of the answer. It carries the usage that the
	// service reports before it writes, if any.
	EventStart EventType = "start"
	// EventUsage carries the usage that the service has reported so far.
	EventUsage EventType = "usage"
	// EventText carries a piece of a text block.
	EventText EventType = "text"
	// EventThinking carries a piece of a thinking block.
	EventThinking EventType = "thinking"
	// EventToolInput carries a piece of the JSON input of a tool_use block.
	EventToolInput EventType = "tool_input"
	// EventPing shows that the call is alive; it carries nothing.
	EventPing EventType = "ping"
	// EventWire carries a part of the answer in Wire that is no piece of a block.
	EventWire EventType = "wire"
	// EventDone ends a complete answer and carries all of it.
	EventDone EventType = "done"
)

// Event is one piece of an answer as it arrives.
type Event struct {
	Type  EventType
	Index int    // content block the piece belongs to, from 0
	Text  string // the piece, for EventText, EventThinking and EventToolInput

	// Usage is what the service has reported so far; set on EventUsage, and on
	// EventStart if it reported anything.
	Usage *Usage

	// Response is the whole answer; set on EventDone only. It may be shared
	// between readers and must not be modified: see [Response.Clone].
	Response *Response

	// Wire is what the service sent for the event; nil unless the request has a Wire.
	Wire *WireEvent
}

// Collect runs a call to its end and returns the whole answer, discarding the
// pieces. A stream that ends without an answer is an error of code
// [CodeIncomplete].
func Collect(seq iter.Seq2[Event, error]) (*Response, error) {
	var resp *Response
	for ev, err := range seq {
		if err != nil {
			return nil, err
		}
		if ev.Type == EventDone {
			resp = ev.Response
		}
	}
	if resp == nil {
		return nil, ErrIncomplete
	}
	return resp, nil
}

// Replay returns the stream of an answer that is already complete: its blocks in
// order, then EventDone with resp itself.
func Replay(resp *Response) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if !yield(Event{Type: EventStart}, nil) {
			return
		}
		if resp.Wire != nil { // whoever reads that needs no pieces
			yield(Event{Type: EventDone, Response: resp}, nil)
			return
		}
		for i, b := range resp.Content {
			ev := Event{Index: i}
			switch b.Type {
			case BlockText:
				ev.Type, ev.Text = EventText, b.Text
			case BlockThinking:
				ev.Type, ev.Text = EventThinking, b.Text
			case BlockToolUse:
				ev.Type, ev.Text = EventToolInput, string(b.Input)
			}
			if ev.Text == "" {
				continue
			}
			if !yield(ev, nil) {
				return
			}
		}
		yield(Event{Type: EventDone, Response: resp}, nil)
	}
}

// Fail returns the stream of a call that fails at once with err.
func Fail(err error) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) { yield(Event{}, err) }
}
