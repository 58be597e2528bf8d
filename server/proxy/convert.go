package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// An answer is kept as it came, and shown to who asks for the other form in that: with
// every field, known or not.

// object is a JSON object.
type object map[string]json.RawMessage

func readObject(text []byte) (object, error) {
	var o object
	err := json.Unmarshal(text, &o)
	return o, err
}

// text returns a field that is a text.
func (o object) text(name string) string {
	text, _ := unquote(o[name])
	return text
}

func (o object) set(name string, value any) { o[name] = marshal(value) }

// marshal returns a value as JSON. HTML is not escaped: it is no page.
func marshal(value any) json.RawMessage {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		panic(err) // texts, and JSON that was read before
	}
	return bytes.TrimRight(buf.Bytes(), "\n")
}

var errEvents = errors.New("the stream's events do not add up to a message")

// documentOf returns the message that a stream of events adds up to.
func documentOf(stream []byte) ([]byte, error) {
	var message object
	var blocks []object
	for data := range eventData(stream) {
		ev, err := readObject(data)
		if err != nil {
			return nil, err
		}
		switch ev.text("type") {
		case "message_start":
			if message, err = readObject(ev["message"]); err != nil {
				return nil, err
			}
		case "content_block_start":
			b, err := readObject(ev["content_block"])
			if err != nil {
				return nil, err
			}
			blocks = append(blocks, b)
		case "content_block_delta":
			var index int
			d, err := readObject(ev["delta"])
			if err := errors.Join(err, json.Unmarshal(ev["index"], &index)); err != nil || index < 0 || index >= len(blocks) {
				return nil, errEvents
			}
			if err := blocks[index].apply(d); err != nil {
				return nil, err
			}
		case "message_delta":
			if message == nil {
				return nil, errEvents
			}
			message.end(ev)
		}
	}
	if message == nil {
		return nil, errEvents
	}
	for _, b := range blocks {
		b.finish()
	}
	if blocks == nil {
		blocks = []object{}
	}
	message.set("content", blocks)
	return marshal(message), nil
}

// pieces is the field in which the parts of a tool's input are collected.
const pieces = "\x00pieces"

// apply adds a delta to a content block.
func (o object) apply(d object) error {
	add := func(to, from string) { o.set(to, o.text(to)+d.text(from)) }
	switch kind := d.text("type"); kind {
	case "text_delta":
		add("text", "text")
	case "thinking_delta":
		add("thinking", "thinking")
	case "signature_delta":
		add("signature", "signature")
	case "input_json_delta":
		add(pieces, "partial_json")
	case "citations_delta":
		var list []json.RawMessage
		if err := json.Unmarshal(o["citations"], &list); o["citations"] != nil && err != nil {
			return err
		}
		o.set("citations", append(list, d["citation"]))
	default:
		return fmt.Errorf("a delta of a kind that is not known: %q", kind)
	}
	return nil
}

// finish completes a block when all of its deltas have come.
func (o object) finish() {
	if input := o.text(pieces); input != "" && json.Valid([]byte(input)) {
		o["input"] = json.RawMessage(input)
	}
	delete(o, pieces)
}

// end adds what a message_delta says to the message.
func (o object) end(ev object) {
	for name, value := range ev {
		switch name {
		case "type":
		case "delta":
			if d, err := readObject(value); err == nil {
				maps.Copy(o, d)
			}
		case "usage":
			usage, err := readObject(o["usage"])
			if err != nil || usage == nil {
				usage = object{}
			}
			if more, err := readObject(value); err == nil {
				maps.Copy(usage, more)
			}
			o.set("usage", usage)
		default:
			o[name] = value
		}
	}
}

// eventData yields the data of a stream's events.
func eventData(stream []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		var data []byte
		for line := range bytes.Lines(stream) {
			line = bytes.TrimRight(line, "\r\n")
			if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
			}
			if len(line) == 0 && len(data) > 0 {
				if !yield(data) {
					return
				}
				data = nil
			}
		}
	}
}

// eventsOf returns a message as the stream of events that a client which asked for one
// would have been sent.
func eventsOf(document []byte) ([]byte, error) {
	message, err := readObject(document)
	if err != nil {
		return nil, err
	}
	var blocks []object
	if err := json.Unmarshal(message["content"], &blocks); err != nil {
		return nil, err
	}
	var out stream
	usage := message["usage"]
	end := object{}
	for _, name := range []string{"stop_reason", "stop_sequence"} {
		end.set(name, message[name])
		message.set(name, nil)
	}
	message.set("content", []object{})
	out.event("message_start", object{"message": marshal(message)})
	for i, b := range blocks {
		out.block(i, b)
	}
	last := object{"delta": marshal(end)}
	if usage != nil {
		last["usage"] = usage
	}
	out.event("message_delta", last)
	out.event("message_stop", object{})
	return out.Bytes(), nil
}

// stream is a stream of events that is written.
type stream struct{ bytes.Buffer }

func (s *stream) event(name string, fields object) {
	fields.set("type", name)
	fmt.Fprintf(s, "event: %s\ndata: %s\n\n", name, marshal(fields))
}

// block writes the events of one content block: its start without what deltas bring, the
// deltas, and its end.
func (s *stream) block(index int, b object) {
	at := marshal(index)
	var deltas []object
	delta := func(kind, name string, value json.RawMessage) {
		deltas = append(deltas, object{"type": marshal(kind), name: value})
	}
	move := func(kind, name string) {
		if b.text(name) != "" {
			delta(kind, name, b[name])
			b.set(name, "")
		}
	}
	switch b.text("type") {
	case "text":
		var citations []json.RawMessage
		if json.Unmarshal(b["citations"], &citations) == nil && len(citations) > 0 {
			for _, c := range citations {
				delta("citations_delta", "citation", c)
			}
			b.set("citations", []object{})
		}
		move("text_delta", "text")
	case "thinking":
		move("thinking_delta", "thinking")
		move("signature_delta", "signature")
	case "tool_use", "server_tool_use":
		if input := bytes.TrimSpace(b["input"]); len(input) > 0 && !slices.Equal(input, []byte("{}")) {
			delta("input_json_delta", "partial_json", marshal(string(input)))
			b.set("input", object{})
		}
	}
	s.event("content_block_start", object{"index": at, "content_block": marshal(b)})
	for _, d := range deltas {
		s.event("content_block_delta", object{"index": at, "delta": marshal(d)})
	}
	s.event("content_block_stop", object{"index": at})
}
