package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
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

	model *model // set by validate
}

type message struct {
	Role    string `json:"role"`
	Content blocks `json:"content"`
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
	CacheControl *cacheControl   `json:"cache_control"`

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
	b.size = utf8.RuneCountInString(b.Text)
	if b.Type != "text" {
		b.size = utf8.RuneCount(b.raw)
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
	Effort string `json:"effort"`
	Format *struct {
		Type   string          `json:"type"`
		Schema json.RawMessage `json:"schema"`
	} `json:"format"`
}

type cacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

func parseRequest(body []byte) (*request, *apiError) {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, invalid("The request body is not valid JSON for this endpoint: " + err.Error())
	}
	return &req, nil
}

// validate returns the error with which the API would reject the request, or
// nil.
func (r *request) validate(version string) *apiError {
	switch {
	case r.Model == "":
		return invalid("model: Field required")
	case r.MaxTokens == nil:
		return invalid("max_tokens: Field required")
	case len(r.Messages) == 0:
		return invalid("messages: at least one message is required")
	case len(r.Thread) > 0 && string(r.Thread) != "null":
		e := invalid("threads are not supported here")
		e.code = "thread_unsupported_request"
		return e
	}
	if r.model = findModel(r.Model); r.model == nil {
		return &apiError{status: http.StatusNotFound, message: "model: " + r.Model}
	}
	for _, check := range []func(string) *apiError{r.checkParams, r.checkMessages, r.checkTools, r.checkCache} {
		if err := check(version); err != nil {
			return err
		}
	}
	if n := r.tokens(); n > r.model.context {
		return invalid(fmt.Sprintf("prompt is too long: %d tokens > %d maximum", n, r.model.context))
	}
	return nil
}

func (r *request) checkParams(version string) *apiError {
	maxTokens := *r.MaxTokens
	switch {
	case maxTokens < 0:
		return invalid("max_tokens: Input should be greater than or equal to 0")
	case maxTokens > r.model.maxOutput:
		return invalid(fmt.Sprintf("max_tokens: %d > %d, which is the maximum allowed number of output tokens for %s", maxTokens, r.model.maxOutput, r.model.id))
	case maxTokens == 0 && (r.Stream || r.format() != nil || r.forced()):
		return invalid("max_tokens: 0 cannot be combined with stream, output_config.format or a forced tool")
	}
	for name, value := range map[string]*float64{"temperature": r.Temperature, "top_p": r.TopP, "top_k": r.TopK} {
		if value != nil && version == newVersion {
			return invalid(name + ": sampling parameters are not accepted by this API version")
		}
	}
	if t := r.Thinking; t != nil {
		if !slices.Contains(r.model.thinking, t.Type) {
			if t.Type == "enabled" {
				return invalid(`"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.`)
			}
			return invalid(t.Type + " thinking is not supported on this model")
		}
		if t.Type == "enabled" && (t.Budget < 1024 || t.Budget >= maxTokens) {
			return invalid("thinking.budget_tokens: must be at least 1024 and less than max_tokens")
		}
	}
	if f := r.format(); f != nil && !json.Valid(f) {
		return invalid("output_config.format.schema: Field required")
	}
	return nil
}

func (r *request) checkMessages(string) *apiError {
	pending := map[string]bool{} // tool calls of the previous message
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.Role != "user" && m.Role != "assistant" && m.Role != "system" {
			return invalid(fmt.Sprintf("messages.%d.role: Input should be 'user' or 'assistant'", i))
		}
		if i == 0 && m.Role != "user" {
			return invalid("messages: first message must use the \"user\" role")
		}
		if len(m.Content) == 0 && (i < len(r.Messages)-1 || m.Role != "assistant") {
			return invalid(fmt.Sprintf("messages.%d: all messages must have non-empty content except for the optional final assistant message", i))
		}
		if err := m.check(i, pending); err != nil {
			return err
		}
		pending = map[string]bool{}
		for _, b := range m.Content {
			if m.Role == "assistant" && b.Type == "tool_use" {
				pending[b.ID] = true
			}
		}
	}
	if len(pending) > 0 {
		return invalid("messages: `tool_use` ids were found without `tool_result` blocks immediately after: " + names(pending))
	}
	if last := r.Messages[len(r.Messages)-1]; last.Role == "assistant" && !r.model.prefill {
		return invalid("This model does not support assistant message prefill. The conversation must end with a user message.")
	}
	return nil
}

// check validates message i. It must answer each pending tool call of the
// previous message.
func (m *message) check(i int, pending map[string]bool) *apiError {
	open := map[string]bool{}
	for id := range pending {
		open[id] = true
	}
	for j := range m.Content {
		b := &m.Content[j]
		switch {
		case b.Type == "":
			return invalid(fmt.Sprintf("messages.%d.content.%d.type: Field required", i, j))
		case b.Type == "text" && strings.TrimSpace(b.Text) == "":
			return invalid(fmt.Sprintf("messages.%d: text content blocks must be non-empty", i))
		case b.Type == "tool_result" && !pending[b.ToolUseID]:
			return invalid(fmt.Sprintf("messages.%d.content.%d: unexpected `tool_use_id` found in `tool_result` blocks: %s. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.", i, j, b.ToolUseID))
		case b.Type == "tool_result":
			delete(open, b.ToolUseID)
		}
	}
	if len(open) > 0 {
		return invalid(fmt.Sprintf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s", i-1, names(open)))
	}
	return nil
}

func names(set map[string]bool) string {
	var list []string
	for name := range set {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (r *request) checkTools(string) *apiError {
	seen := map[string]bool{}
	for i, t := range r.Tools {
		switch {
		case t.Name == "":
			return invalid(fmt.Sprintf("tools.%d.name: Field required", i))
		case seen[t.Name]:
			return invalid("tools: Tool names must be unique.")
		case (t.Type == "" || t.Type == "custom") && len(t.InputSchema) == 0:
			return invalid(fmt.Sprintf("tools.%d.custom.input_schema: Field required", i))
		}
		seen[t.Name] = true
	}
	switch c := r.ToolChoice; {
	case c == nil:
	case !slices.Contains([]string{"auto", "any", "none", "tool"}, c.Type):
		return invalid("tool_choice.type: Input should be 'auto', 'any', 'none' or 'tool'")
	case c.Type == "tool" && !seen[c.Name]:
		return invalid(fmt.Sprintf("tool_choice: Tool '%s' not found in provided tools", c.Name))
	case r.forced() && !r.model.forcedTools:
		return invalid("tool_choice: forced tool use is not supported on this model")
	case r.forced() && len(r.Tools) == 0:
		return invalid("tool_choice: may only be specified while providing tools")
	}
	return nil
}

func (r *request) forced() bool {
	return r.ToolChoice != nil && (r.ToolChoice.Type == "any" || r.ToolChoice.Type == "tool")
}

// format returns the JSON schema that the answer must match, or nil.
func (r *request) format() json.RawMessage {
	if r.OutputConfig == nil || r.OutputConfig.Format == nil {
		return nil
	}
	return append(json.RawMessage(nil), r.OutputConfig.Format.Schema...)
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
