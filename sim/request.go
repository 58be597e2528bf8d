package sim

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// request holds the fields of a call's body that the simulator uses.
type request struct {
	Model         string          `json:"model"`
	MaxTokens     *int            `json:"max_tokens"`
	Messages      []message       `json:"messages"`
	System        blocks          `json:"system"`
	Tools         []tool          `json:"tools"`
	ToolChoice    *toolChoice     `json:"tool_choice"`
	StopSequences []string        `json:"stop_sequences"`
	Stream        bool            `json:"stream"`
	Thinking      *thinking       `json:"thinking"`
	OutputConfig  *outputConfig   `json:"output_config"`
	CacheControl  *cacheControl   `json:"cache_control"`
	Thread        json.RawMessage `json:"thread"`
	Temperature   *float64        `json:"temperature"`
	TopP          *float64        `json:"top_p"`
	TopK          *float64        `json:"top_k"`
	OutputFormat  *outputFormat   `json:"output_format"` // of a beta; OutputConfig has its successor

	ContextManagement json.RawMessage `json:"context_management"`
	Compaction        *contextEdit    `json:"compaction"`

	fields     []string     // names of the top-level fields
	beta       string       // betas that the call names; fields of betas are accepted if it names one
	model      *model       // set by validate
	context    contextEdits // set by validate
	promptFrom [2]int       // message and block with which the prompt's messages begin
}

type message struct {
	Role         string        `json:"role"`
	Content      blocks        `json:"content"`
	OutputConfig *outputConfig `json:"output_config"` // of system messages
}

// blocks is a list of content blocks. In JSON a string is short for one text
// block.
type blocks []block

func (b *blocks) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte(`"`)) {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*b = blocks{{Type: "text", Text: text, size: utf8.RuneCountInString(text), raw: data}}
		return nil
	}
	return json.Unmarshal(data, (*[]block)(b))
}

type block struct {
	Type         string          `json:"type"`
	Text         string          `json:"text"`
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Input        json.RawMessage `json:"input"`
	ToolUseID    string          `json:"tool_use_id"`
	Content      blocks          `json:"content"`
	IsError      bool            `json:"is_error"`
	Source       *mediaSource    `json:"source"`
	Citations    json.RawMessage `json:"citations"`
	CacheControl *cacheControl   `json:"cache_control"`

	summarizes bool // a compaction block that has a summary

	size int    // characters that count as prompt
	raw  []byte // the block as sent, without its breakpoint
}

func (b *block) UnmarshalJSON(data []byte) error {
	type bare block // without this method
	var v struct {
		bare
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*b = block(v.bare)
	if b.raw = data; b.CacheControl != nil {
		b.raw = stripBreakpoint(data)
	}
	if b.Type == "tool_result" && len(v.Content) > 0 && !bytes.Equal(v.Content, []byte("null")) {
		if err := b.Content.UnmarshalJSON(v.Content); err != nil {
			return err
		}
	}
	b.summarizes = b.Type == "compaction" && len(v.Content) > 0 && !bytes.Equal(v.Content, []byte("null"))
	switch b.Type {
	case "text":
		b.size = utf8.RuneCountInString(b.Text)
	case "tool_result":
		b.size = utf8.RuneCountInString(b.ToolUseID)
		for i := range b.Content {
			b.size += b.Content[i].size
		}
	default:
		b.size = utf8.RuneCount(b.raw)
	}
	if b.Source != nil && b.Source.Data != "" {
		b.size -= len(b.Source.Data)
	}
	return nil
}

// text returns the block's text, for a tool result the text of its content.
func (b *block) text() string {
	if b.Type != "tool_result" {
		return b.Text
	}
	var parts []string
	for i := range b.Content {
		parts = append(parts, b.Content[i].Text)
	}
	return strings.Join(parts, "\n")
}

type tool struct {
	Type         string          `json:"type"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	InputSchema  json.RawMessage `json:"input_schema"`
	CacheControl *cacheControl   `json:"cache_control"`
	Strict       bool            `json:"strict"`
	Deferred     bool            `json:"defer_loading"`
	MaxUses      int             `json:"max_uses"` // of server tools; 0 for no limit
	raw          []byte          // the tool as sent, without its breakpoint
}

func (t *tool) UnmarshalJSON(data []byte) error {
	type bare tool
	if err := json.Unmarshal(data, (*bare)(t)); err != nil {
		return err
	}
	if t.raw = data; t.CacheControl != nil {
		t.raw = stripBreakpoint(data)
	}
	return nil
}

type toolChoice struct {
	Type            string `json:"type"`
	Name            string `json:"name"`
	DisableParallel bool   `json:"disable_parallel_tool_use"`
}

type thinking struct {
	Type    string `json:"type"`
	Budget  int    `json:"budget_tokens"`
	Display string `json:"display"`
}

type outputConfig struct {
	Effort string        `json:"effort"`
	Format *outputFormat `json:"format"`
}

type outputFormat struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
}

type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

// parseRequest parses the body of a call. It does not validate it.
func parseRequest(body []byte) (*request, *apiError) {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, invalid("The request body is not valid JSON for this endpoint: " + err.Error())
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, invalid("The request body must be a JSON object")
	}
	req.fields = slices.Sorted(maps.Keys(fields))
	return &req, nil
}

// forced reports whether tool_choice demands a tool call.
func (r *request) forced() bool {
	return r.ToolChoice != nil && (r.ToolChoice.Type == "any" || r.ToolChoice.Type == "tool")
}

// format returns the JSON schema that the answer must match, or nil.
func (r *request) format() json.RawMessage {
	switch {
	case r.OutputConfig != nil && r.OutputConfig.Format != nil:
		return r.OutputConfig.Format.Schema
	case r.OutputFormat != nil:
		return r.OutputFormat.Schema
	}
	return nil
}

// tokens estimates the prompt's tokens: a quarter of its characters, 30 % more
// with the newer tokenizer, and a few per message. This is the API's documented
// rule of thumb, not its tokenizer.
func (r *request) tokens() int {
	n := 0
	for p := range r.prefix {
		n += p.tokens
	}
	return n
}

// count estimates the tokens of the given number of characters.
func (m *model) count(characters int) int {
	n := (characters + 3) / 4
	if m.dense() {
		n = (n*13 + 9) / 10
	}
	return n
}
