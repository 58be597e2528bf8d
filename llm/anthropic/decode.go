package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/claude-force/claude-force/llm"
)

// maxAnswer is the largest size of one answer's events in bytes, so that a
// broken server cannot exhaust the memory.
const maxAnswer = 256 << 20

// answer accumulates the events of one stream.
type answer struct {
	started bool // message_start was seen
	size    int  // bytes of events so far
	resp    llm.Response
	usage   wireUsage
	blocks  []*block
}

// streamError is an error event; body is its JSON.
type streamError struct{ body []byte }

func (*streamError) Error() string { return "error event in the stream" }

// wireEvent holds the fields of all known events.
type wireEvent struct {
	Type         string          `json:"type"`
	Index        int             `json:"index"`
	Message      wireMessage     `json:"message"`
	ContentBlock json.RawMessage `json:"content_block"`
	Delta        wireDelta       `json:"delta"`
	Usage        wireUsage       `json:"usage"`
}

type wireMessage struct {
	ID    string    `json:"id"`
	Model string    `json:"model"`
	Usage wireUsage `json:"usage"`
}

// wireDelta is the delta of a content block or of the message.
type wireDelta struct {
	Type             string          `json:"type"`
	Text             string          `json:"text"`
	Thinking         string          `json:"thinking"`
	Signature        string          `json:"signature"`
	PartialJSON      string          `json:"partial_json"`
	Citation         json.RawMessage `json:"citation"`
	Content          json.RawMessage `json:"content"`
	EncryptedContent json.RawMessage `json:"encrypted_content"`
	StopReason       string          `json:"stop_reason"`
	StopSequence     string          `json:"stop_sequence"`
}

// Event types.
const (
	eventMessageStart = "message_start"
	eventBlockStart   = "content_block_start"
	eventBlockDelta   = "content_block_delta"
	eventBlockStop    = "content_block_stop"
	eventMessageDelta = "message_delta"
	eventMessageStop  = "message_stop"
	eventPing         = "ping"
	eventError        = "error"
)

func knownEvent(name string) bool {
	switch name {
	case eventMessageStart, eventBlockStart, eventBlockDelta, eventBlockStop,
		eventMessageDelta, eventMessageStop, eventPing, eventError:
		return true
	}
	return false
}

// malformed returns the error for an event that violates the protocol. It does
// not quote the event, which may contain part of the answer.
func malformed(what string) error {
	return llm.NewError(llm.CodeServer, "the service sent a malformed stream: "+what, nil)
}

// add applies one event; name is its event line. The returned event is to be
// yielded if its type is not empty.
func (a *answer) add(name string, data []byte) (llm.Event, error) {
	var none llm.Event
	if a.size += len(data); a.size > maxAnswer {
		return none, malformed("more than 256 MiB of events in one answer")
	}
	data = bytes.TrimSpace(data)
	var ev wireEvent
	var err error
	if len(data) > 0 {
		err = json.Unmarshal(data, &ev)
	}
	if ev.Type == "" {
		ev.Type = name
	}
	switch {
	case ev.Type == eventError:
		return none, &streamError{data}
	case ev.Type == eventPing:
		return llm.Event{Type: llm.EventPing}, nil
	case !knownEvent(ev.Type):
		return none, nil
	case err != nil:
		if _, shape := errors.AsType[*json.UnmarshalTypeError](err); !shape {
			return none, malformed("an event of type " + ev.Type + " is not JSON")
		}
		if ev.Type == eventBlockDelta && !knownDelta(ev.Delta.Type) {
			return none, nil
		}
		return none, malformed("an event of type " + ev.Type + " has a field of another type than documented")
	case ev.Type == eventMessageStart && a.started:
		return none, malformed("a second message_start")
	case ev.Type != eventMessageStart && !a.started:
		return none, malformed(ev.Type + " before message_start")
	}
	switch ev.Type {
	case eventMessageStart:
		a.started = true
		a.resp.ID, a.resp.Model = ev.Message.ID, ev.Message.Model
		a.usage.merge(ev.Message.Usage)
		return llm.Event{Type: llm.EventStart, Usage: a.reported(ev.Message.Usage)}, nil
	case eventBlockStart:
		return a.startBlock(ev)
	case eventBlockDelta:
		if ev.Index < 0 || ev.Index >= len(a.blocks) {
			return none, malformed("a delta of a block that has not started")
		}
		return a.blocks[ev.Index].add(ev.Index, ev.Delta), nil
	case eventMessageDelta:
		if ev.Delta.StopReason != "" {
			a.resp.StopReason = ev.Delta.StopReason
		}
		if ev.Delta.StopSequence != "" {
			a.resp.StopSequence = ev.Delta.StopSequence
		}
		a.usage.merge(ev.Usage)
		if u := a.reported(ev.Usage); u != nil {
			return llm.Event{Type: llm.EventUsage, Usage: u}, nil
		}
	case eventMessageStop:
		return a.finish()
	}
	return none, nil
}

// reported returns the usage so far if an event reported some, else nil.
func (a *answer) reported(u wireUsage) *llm.Usage {
	if !u.reports() {
		return nil
	}
	return new(a.usage.total())
}

func (a *answer) startBlock(ev wireEvent) (llm.Event, error) {
	if ev.Index != len(a.blocks) {
		return llm.Event{}, malformed("content blocks out of order")
	}
	b, err := newBlock(ev.ContentBlock)
	if err != nil {
		return llm.Event{}, err
	}
	a.blocks = append(a.blocks, b)
	return b.firstPiece(ev.Index), nil
}

// finish returns the event with the complete answer.
func (a *answer) finish() (llm.Event, error) {
	if a.resp.StopReason == "" {
		return llm.Event{}, llm.NewError(llm.CodeIncomplete, "the answer ended without a stop reason", nil)
	}
	resp := a.resp
	resp.Content = make([]llm.Block, 0, len(a.blocks))
	for _, b := range a.blocks {
		whole, err := b.finish()
		if err != nil {
			return llm.Event{}, err
		}
		resp.Content = append(resp.Content, whole)
	}
	resp.Usage = a.usage.total()
	resp.Source, resp.Attempts = llm.SourceLive, 1
	return llm.Event{Type: llm.EventDone, Response: &resp}, nil
}
