package anthropic

import (
	"bytes"
	"encoding/json"
	"maps"

	"github.com/claude-force/claude-force/llm"
)

// block accumulates one content block.
type block struct {
	start     json.RawMessage // the JSON of content_block_start
	whole     llm.Block       // start, decoded
	text      bytes.Buffer
	thinking  bytes.Buffer
	input     bytes.Buffer
	signature string
	citations []json.RawMessage

	// replaced holds fields whose whole value came in a delta.
	replaced map[string]json.RawMessage
}

// newBlock returns the block that content_block_start begins.
func newBlock(start json.RawMessage) (*block, error) {
	b := &block{start: start}
	if len(start) == 0 || json.Unmarshal(start, &b.whole) != nil || b.whole.Type == "" {
		return nil, malformed("a content block without a type")
	}
	return b, nil
}

// firstPiece returns the event for the text that a block may start with.
func (b *block) firstPiece(index int) llm.Event {
	ev := llm.Event{Index: index, Text: b.whole.Text}
	switch {
	case ev.Text == "":
	case b.whole.Type == llm.BlockText:
		ev.Type = llm.EventText
	case b.whole.Type == llm.BlockThinking:
		ev.Type = llm.EventThinking
	}
	return ev
}

// Types of a block's deltas.
const (
	deltaText       = "text_delta"
	deltaThinking   = "thinking_delta"
	deltaSignature  = "signature_delta"
	deltaInput      = "input_json_delta"
	deltaCitations  = "citations_delta"
	deltaCompaction = "compaction_delta"
)

func knownDelta(name string) bool {
	switch name {
	case deltaText, deltaThinking, deltaSignature, deltaInput, deltaCitations, deltaCompaction:
		return true
	}
	return false
}

// add applies a delta and returns the event to yield for it. It skips deltas of
// unknown types.
func (b *block) add(index int, d wireDelta) llm.Event {
	ev := llm.Event{Index: index}
	piece := func(typ llm.EventType, of string, text string) {
		if b.whole.Type == of && text != "" {
			ev.Type, ev.Text = typ, text
		}
	}
	switch d.Type {
	case deltaText:
		b.text.WriteString(d.Text)
		piece(llm.EventText, llm.BlockText, d.Text)
	case deltaThinking:
		b.thinking.WriteString(d.Thinking)
		piece(llm.EventThinking, llm.BlockThinking, d.Thinking)
	case deltaInput:
		b.input.WriteString(d.PartialJSON)
		piece(llm.EventToolInput, llm.BlockToolUse, d.PartialJSON)
	case deltaSignature:
		b.signature += d.Signature
	case deltaCitations:
		if len(d.Citation) > 0 {
			b.citations = append(b.citations, d.Citation)
		}
	case deltaCompaction:
		b.replaced = map[string]json.RawMessage{}
		if d.Content != nil {
			b.replaced["content"] = d.Content
		}
		if d.EncryptedContent != nil {
			b.replaced["encrypted_content"] = d.EncryptedContent
		}
	}
	return ev
}

// finish returns the complete block.
func (b *block) finish() (llm.Block, error) {
	w := b.whole
	if w.Raw != nil || b.foreign() {
		return b.patched()
	}
	switch w.Type {
	case llm.BlockText:
		w.Text += b.text.String()
	case llm.BlockThinking:
		w.Text += b.thinking.String()
		w.Signature += b.signature
	case llm.BlockToolUse:
		if b.input.Len() > 0 {
			w.Input = bytes.Clone(b.input.Bytes())
		} else if len(w.Input) == 0 {
			w.Input = json.RawMessage(`{}`)
		}
	}
	return w, nil
}

// foreign reports whether deltas brought content that the fields of a block of
// this type cannot hold.
func (b *block) foreign() bool {
	t := b.whole.Type
	return len(b.citations) > 0 || b.replaced != nil ||
		b.text.Len() > 0 && t != llm.BlockText ||
		(b.thinking.Len() > 0 || b.signature != "") && t != llm.BlockThinking ||
		b.input.Len() > 0 && t != llm.BlockToolUse
}

// patched returns the complete block as JSON: its start with the fields that
// deltas changed.
func (b *block) patched() (llm.Block, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(b.start, &fields); err != nil {
		return llm.Block{}, malformed("a content block that is not an object")
	}
	extend := func(name, more string) {
		if more == "" {
			return
		}
		var s string
		// A value that is not a string is replaced.
		_ = json.Unmarshal(fields[name], &s)
		fields[name] = plainJSON(s + more)
	}
	extend("text", b.text.String())
	extend("thinking", b.thinking.String())
	extend("signature", b.signature)
	if len(b.citations) > 0 {
		var list []json.RawMessage
		_ = json.Unmarshal(fields["citations"], &list)
		fields["citations"] = plainJSON(append(list, b.citations...))
	}
	maps.Copy(fields, b.replaced)
	input := b.input.Bytes()
	switch {
	case len(input) == 0:
	case json.Valid(input):
		fields["input"] = bytes.Clone(input)
	default:
		// Invalid JSON can only be kept as a string.
		fields["input"] = plainJSON(string(input))
	}
	raw := plainJSON(fields)
	var whole llm.Block
	if err := json.Unmarshal(raw, &whole); err != nil {
		return llm.Block{}, malformed("a content block that cannot be read")
	}
	whole.Raw = raw
	if whole.Type == llm.BlockToolUse {
		if len(input) > 0 {
			whole.Input = bytes.Clone(input)
		} else if len(whole.Input) == 0 {
			whole.Input = json.RawMessage(`{}`)
		}
	}
	return whole, nil
}

// plainJSON encodes v without HTML escapes. v must consist of JSON and strings.
func plainJSON(v any) json.RawMessage {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
