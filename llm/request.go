package llm

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Roles of a [Message].
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Request is one call to the Messages API. Fields that hold JSON are sent
// unchanged. Optional fields with zero values are not sent.
type Request struct {
	Model         string // resolved model id, never an alias
	System        []Block
	Messages      []Message
	Tools         []Tool
	ToolChoice    json.RawMessage
	MaxTokens     int // most tokens to generate
	StopSequences []string
	Thinking      json.RawMessage
	OutputConfig  json.RawMessage // effort and output format

	// Extra holds any other top-level field of the body by name. A field that
	// this package has no name for may change the answer, so it is in the key.
	Extra map[string]json.RawMessage
	// Betas are the names for the anthropic-beta header, in any order.
	Betas []string

	// Sample tells apart requests that are the same otherwise, and each want an answer
	// of their own, such as the iterations of a loop. In the key if above 0; not sent.
	Sample int

	// Scope separates cached answers, and calls that are answered together, of those who
	// must not see what others asked; empty for the owner of the data folder. In the key;
	// not sent.
	Scope string

	// Wire, when set, is the request as a client of the API wrote it. It is sent instead
	// of the fields above and below, and its digest stands for them in the key.
	Wire *Wire

	// The fields below do not change the answer and are not in the key.

	ServiceTier string
	UserID      string // metadata.user_id
	Agent       string // name of the agent that makes the call; not sent
	Policy      Policy // how the cache treats the call; not sent
	Once        bool   // never retried, since it may have effects; not sent
	Batch       bool   // may be answered within a day, at half the price; not sent

	// TTL is how long the response cache keeps the answer; 0 for its own time. Not sent.
	TTL time.Duration

	// Continues says that another call will probably begin with all of this one, so
	// that its prompt is worth keeping in the service's prompt cache. Not sent.
	Continues bool

	// Unseen says that no one sees the answer before all of it is there. So a call
	// that breaks off after the first words is retried, and the pieces of the
	// answer come late and merged. Not sent.
	Unseen bool
}

// Policy is how the response cache treats a call.
type Policy string

// Cache policies. The zero value reads and writes.
const (
	PolicyDefault Policy = ""        // answer from the cache, else store
	PolicyRefresh Policy = "refresh" // do not read; store the new answer
	PolicyOff     Policy = "off"     // neither read nor write
)

// Message is one turn of the conversation.
type Message struct {
	Role    string  `json:"role"`
	Content []Block `json:"content"`
}

// UserText returns a user turn of one text block.
func UserText(text string) Message {
	return Message{Role: RoleUser, Content: []Block{TextBlock(text)}}
}

// UserTurn returns a user turn with the material first and the task last: a text
// block for each text of shared, then one for task. Prompt caching works only for
// what requests have in common from their beginning. So material that other calls
// also get goes into shared, the most widely shared first. Empty texts are left
// out.
func UserTurn(shared []string, task string) Message {
	m := Message{Role: RoleUser}
	for _, text := range shared {
		if text != "" {
			m.Content = append(m.Content, Block{Type: BlockText, Text: text, Shared: true})
		}
	}
	if task != "" {
		m.Content = append(m.Content, TextBlock(task))
	}
	return m
}

// Tool is a tool the model may call.
type Tool struct {
	Name        string
	Description string
	InputSchema json.RawMessage

	// Raw, when set, is the whole definition as JSON, which is sent unchanged;
	// Name must still be set. It is for typed tools and unknown fields.
	Raw json.RawMessage
}

// MarshalJSON returns the tool in the form of the Messages API.
func (t Tool) MarshalJSON() ([]byte, error) {
	if t.Raw != nil {
		return t.Raw, nil
	}
	schema := t.InputSchema
	if schema == nil {
		schema = json.RawMessage(`{"type":"object"}`)
	}
	return json.Marshal(struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		InputSchema json.RawMessage `json:"input_schema"`
	}{t.Name, t.Description, schema})
}

// Block types that the package decodes. Others pass through as Raw.
const (
	BlockText       = "text"
	BlockThinking   = "thinking"
	BlockToolUse    = "tool_use"
	BlockToolResult = "tool_result"
	// BlockRedactedThinking is always Raw.
	BlockRedactedThinking = "redacted_thinking"
)

// Block is one content block of a request or an answer.
//
// Blocks of the four types above are decoded into fields. A block of any other
// type, or one with unknown fields, keeps its JSON in Raw, which is sent
// unchanged.
type Block struct {
	Type  string
	Text  string          // text and thinking
	ID    string          // tool_use: its id; tool_result: that of its tool_use
	Name  string          // tool_use
	Input json.RawMessage // tool_use: a JSON object, or invalid JSON as received
	Error bool            // tool_result: the call failed

	// Signature proves a thinking block's origin. It must be sent back unchanged.
	Signature string
	// CacheControl is the block's prompt-cache breakpoint. It is not in the
	// key: it changes what a call costs, not what it answers.
	CacheControl json.RawMessage
	// Shared is set if other calls begin with the same blocks up to this one. It
	// is not sent and not in the key.
	Shared bool
	// Media is how large an image or a document is, if that is known. It is not sent
	// and not in the key.
	Media *Media
	// Raw, when set, is the whole block as JSON. Of a text it may be the text alone, as a
	// JSON string.
	Raw json.RawMessage
}

// TextBlock returns a text block.
func TextBlock(text string) Block { return Block{Type: BlockText, Text: text} }

// ToolResult returns the block with the result of the tool_use block with the given
// id.
func ToolResult(id, content string, isError bool) Block {
	return Block{Type: BlockToolResult, ID: id, Text: content, Error: isError}
}

// wireBlock is a Block as the Messages API writes it.
type wireBlock struct {
	Type         string          `json:"type"`
	Text         *string         `json:"text,omitempty"`
	Thinking     *string         `json:"thinking,omitempty"`
	Signature    *string         `json:"signature,omitempty"`
	ID           string          `json:"id,omitempty"`
	Name         string          `json:"name,omitempty"`
	Input        json.RawMessage `json:"input,omitempty"`
	ToolUseID    string          `json:"tool_use_id,omitempty"`
	Content      json.RawMessage `json:"content,omitempty"`
	IsError      bool            `json:"is_error,omitempty"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// MarshalJSON returns the block in the form of the Messages API.
func (b Block) MarshalJSON() ([]byte, error) {
	if b.Type == BlockText && len(b.Raw) > 0 && b.Raw[0] == '"' {
		return slices.Concat([]byte(`{"type":"text","text":`), b.Raw, []byte{'}'}), nil
	}
	if b.Raw != nil {
		return b.Raw, nil
	}
	w := wireBlock{Type: b.Type, CacheControl: b.CacheControl}
	switch b.Type {
	case BlockText:
		w.Text = &b.Text
	case BlockThinking:
		w.Thinking, w.Signature = &b.Text, &b.Signature
	case BlockToolUse:
		w.ID, w.Name, w.Input = b.ID, b.Name, b.Input
		if len(b.Input) == 0 {
			w.Input = json.RawMessage(`{}`)
		} else if !json.Valid(b.Input) {
			// A string, so that an answer with broken input can still be shown
			// and recorded; ValidInput distinguishes the two.
			quoted, err := json.Marshal(string(b.Input))
			if err != nil {
				return nil, err
			}
			w.Input = quoted
		}
	case BlockToolResult:
		content, err := json.Marshal(b.Text)
		if err != nil {
			return nil, err
		}
		w.ToolUseID, w.Content, w.IsError = b.ID, content, b.Error
	default:
		return nil, fmt.Errorf("encoding content block: unknown type %q without raw JSON", b.Type)
	}
	return json.Marshal(w)
}

// UnmarshalJSON decodes a block. It keeps the JSON in Raw if the fields cannot
// hold all of it.
func (b *Block) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return fmt.Errorf("decoding content block: %w", err)
	}
	if text, ok := fields["text"]; ok && len(fields) == 2 && string(fields["type"]) == `"text"` && text[0] == '"' { // as most are
		*b = Block{Type: BlockText}
		return json.Unmarshal(text, &b.Text)
	}
	var w wireBlock
	if err := json.Unmarshal(data, &w); err != nil {
		// A known field of an unknown shape: keep the block, read its type.
		var t struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(data, &t); err != nil {
			return fmt.Errorf("decoding content block: %w", err)
		}
		*b = Block{Type: t.Type, Raw: append(json.RawMessage(nil), data...)}
		return nil
	}
	*b = Block{Type: w.Type, CacheControl: w.CacheControl}
	exact := true
	known := map[string]bool{"type": true, "cache_control": true}
	switch w.Type {
	case BlockText:
		known["text"] = true
		b.Text = deref(w.Text)
	case BlockThinking:
		known["thinking"], known["signature"] = true, true
		b.Text, b.Signature = deref(w.Thinking), deref(w.Signature)
	case BlockToolUse:
		known["id"], known["name"], known["input"] = true, true, true
		b.ID, b.Name, b.Input = w.ID, w.Name, w.Input
	case BlockToolResult:
		known["tool_use_id"], known["content"], known["is_error"] = true, true, true
		b.ID, b.Error = w.ToolUseID, w.IsError
		exact = json.Unmarshal(w.Content, &b.Text) == nil
	default:
		exact = false
	}
	for name, value := range fields {
		if !known[name] && string(value) != "null" {
			exact = false
		}
	}
	if !exact {
		b.Raw = append(json.RawMessage(nil), data...)
	}
	return nil
}

// ValidInput reports whether a tool_use block's input is a JSON object.
func (b Block) ValidInput() bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(b.Input, &object) == nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
