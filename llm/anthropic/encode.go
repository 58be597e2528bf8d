package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/claude-force/claude-force/llm"
)

// object writes a JSON object field by field, in the order of the calls, and
// keeps the first error.
type object struct {
	buf   bytes.Buffer
	enc   *json.Encoder
	names map[string]bool
	err   error
}

func newObject() *object {
	o := &object{names: map[string]bool{}}
	o.buf.WriteByte('{')
	o.enc = json.NewEncoder(&o.buf)
	o.enc.SetEscapeHTML(false)
	return o
}

func (o *object) field(name string, value any) {
	if o.err != nil {
		return
	}
	if o.names[name] {
		o.err = llm.NewError(llm.CodeInvalid, fmt.Sprintf("the extra field %q duplicates a field of the request: set that field instead", name), nil)
		return
	}
	o.names[name] = true
	if len(o.names) > 1 {
		o.buf.WriteByte(',')
	}
	if err := o.enc.Encode(name); err != nil {
		o.err = err
		return
	}
	o.buf.Truncate(o.buf.Len() - 1) // the encoder's newline
	o.buf.WriteByte(':')
	if err := o.enc.Encode(value); err != nil {
		// The cause is dropped: it may quote the value.
		o.err = llm.NewError(llm.CodeInvalid, fmt.Sprintf("the request's %s is not valid JSON", name), nil)
		return
	}
	o.buf.Truncate(o.buf.Len() - 1)
}

func (o *object) bytes() ([]byte, error) {
	if o.err != nil {
		return nil, o.err
	}
	o.buf.WriteByte('}')
	return o.buf.Bytes(), nil
}

// encode returns the body of a streamed call. The same request always yields
// the same bytes, in the order in which the service caches prompts.
func encode(req *llm.Request) ([]byte, error) { return encodeCall(req, true) }

// encodeCall returns the body of a call, streamed or not.
func encodeCall(req *llm.Request, streamed bool) ([]byte, error) {
	if req.MaxTokens < 1 {
		return nil, llm.NewError(llm.CodeInvalid, fmt.Sprintf("max_tokens is %d: it must be at least 1", req.MaxTokens), nil)
	}
	o := newObject()
	o.field("model", req.Model)
	o.field("max_tokens", req.MaxTokens)
	if streamed {
		o.field("stream", true)
	}
	encodePrompt(o, req)
	if len(req.StopSequences) > 0 {
		o.field("stop_sequences", req.StopSequences)
	}
	if req.ServiceTier != "" {
		o.field("service_tier", req.ServiceTier)
	}
	if req.UserID != "" {
		o.field("metadata", map[string]string{"user_id": req.UserID})
	}
	for _, name := range slices.Sorted(maps.Keys(req.Extra)) {
		o.field(name, req.Extra[name])
	}
	return o.bytes()
}

// encodePrompt writes the fields that a token count depends on.
func encodePrompt(o *object, req *llm.Request) {
	opaque := func(name string, value json.RawMessage) {
		if len(value) > 0 {
			o.field(name, value)
		}
	}
	if len(req.Tools) > 0 {
		o.field("tools", req.Tools)
	}
	opaque("tool_choice", req.ToolChoice)
	if len(req.System) > 0 {
		o.field("system", req.System)
	}
	messages := make([]llm.Message, len(req.Messages))
	for i, m := range req.Messages {
		if m.Content == nil {
			m.Content = []llm.Block{} // an array, not null
		}
		messages[i] = m
	}
	o.field("messages", messages)
	opaque("thinking", req.Thinking)
	opaque("output_config", req.OutputConfig)
}
