package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"unicode/utf8"
)

// sendStream sends the answer as server-sent events, each at its due time.
func (p *reply) sendStream() {
	if !waitUntil(p.r.Context(), p.call.start.Add(p.pace.first)) {
		return
	}
	p.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	p.w.Header().Set("Cache-Control", "no-cache")
	p.w.WriteHeader(http.StatusOK)
	p.begin()
	events := p.events()
	for i, ev := range events {
		if !waitUntil(p.r.Context(), p.due(float64(i)/float64(max(1, len(events)-1)))) {
			return
		}
		if p.fault != nil && i >= p.fault.After && p.interrupt() {
			return
		}
		if p.send(ev.name, ev.data) != nil {
			return // the client disconnected
		}
	}
	p.record()
}

// interrupt ends the stream early if the fault demands it, and reports whether
// it did.
func (p *reply) interrupt() bool {
	switch p.fault.Kind {
	case FaultCutStream, FaultCutBody:
		flush(p.w)
		panic(http.ErrAbortHandler)
	case FaultEndStream:
		return true
	case FaultSilence:
		p.hold()
		return true
	case FaultStreamError:
		e := &apiError{status: 529, kind: p.fault.ErrorType, message: p.fault.Message}
		if e.message == "" {
			e.message = "Overloaded"
		}
		_ = p.send("error", json.RawMessage(e.envelope(""))) // the client may have disconnected
		return true
	}
	return false
}

// event is one server-sent event.
type event struct {
	name string
	data any
}

func (p *reply) send(name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("writing event %s: %w", name, err)
	}
	if _, err := fmt.Fprintf(p.w, "event: %s\ndata: %s\n\n", name, text); err != nil {
		return err
	}
	flush(p.w)
	return nil
}

// events returns all events of the answer, in order.
func (p *reply) events() []event {
	start := p.message()
	start.Content, start.StopReason, start.StopSequence, start.StopDetails = []content{}, nil, nil, nil
	start.Usage.OutputTokens = min(1, start.Usage.OutputTokens)
	start.Usage.Details = outputDetails{}
	events := []event{{"message_start", map[string]any{"type": "message_start", "message": start}}}
	for i, c := range p.answer.content {
		events = append(events, event{"content_block_start", map[string]any{
			"type": "content_block_start", "index": i, "content_block": emptyBlock(c),
		}})
		if i == 0 {
			events = append(events, event{"ping", map[string]string{"type": "ping"}})
		}
		for _, d := range deltas(c) {
			events = append(events, event{"content_block_delta", map[string]any{
				"type": "content_block_delta", "index": i, "delta": d,
			}})
		}
		events = append(events, event{"content_block_stop", map[string]any{"type": "content_block_stop", "index": i}})
	}
	last := map[string]any{
		"type": "message_delta",
		"delta": map[string]any{
			"stop_reason": p.answer.stopReason, "stop_sequence": p.answer.stopSequence, "stop_details": p.answer.details,
		},
		"usage": p.usage,
	}
	if p.edits != nil {
		last["context_management"] = p.edits
	}
	return append(events,
		event{"message_delta", last},
		event{"message_stop", map[string]string{"type": "message_stop"}})
}

// emptyBlock returns a block as content_block_start shows it: without content.
func emptyBlock(c content) content {
	if c.whole != nil {
		return c
	}
	return content{Type: c.Type, ID: c.ID, Name: c.Name, Input: json.RawMessage("{}")}
}

// deltas splits a block into its deltas. Texts are split into runs of words, as
// on the real API.
func deltas(c content) []map[string]any {
	var list []map[string]any
	if c.whole != nil {
		return nil
	}
	switch c.Type {
	case "compaction":
		return append(list, map[string]any{"type": "compaction_delta", "content": c.Text, "encrypted_content": c.Signature})
	case "thinking":
		if c.Thinking != "" {
			list = append(list, map[string]any{"type": "thinking_delta", "thinking": c.Thinking})
		}
		return append(list, map[string]any{"type": "signature_delta", "signature": c.Signature})
	case "tool_use", "server_tool_use":
		list = append(list, map[string]any{"type": "input_json_delta", "partial_json": ""})
		text := string(c.Input)
		if text == "{}" {
			return list
		}
		half := len(text) / 2
		for half > 0 && !utf8.RuneStart(text[half]) {
			half--
		}
		return append(list,
			map[string]any{"type": "input_json_delta", "partial_json": text[:half]},
			map[string]any{"type": "input_json_delta", "partial_json": text[half:]})
	}
	const wordsPerDelta = 6
	words := 0
	begin := 0
	for i, r := range c.Text {
		if r == ' ' || r == '\n' {
			if words++; words%wordsPerDelta == 0 {
				list = append(list, map[string]any{"type": "text_delta", "text": c.Text[begin:i]})
				begin = i
			}
		}
	}
	if begin < len(c.Text) {
		list = append(list, map[string]any{"type": "text_delta", "text": c.Text[begin:]})
	}
	for _, citation := range c.citations {
		list = append(list, map[string]any{"type": "citations_delta", "citation": citation})
	}
	return list
}
