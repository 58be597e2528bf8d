package sim

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// topLevel lists the fields of a request; betaFields those of betas.
var (
	topLevel = []string{
		"cache_control", "container", "diagnostics", "inference_geo", "max_tokens", "messages", "metadata", "model",
		"output_config", "service_tier", "speed", "stop_sequences", "stream", "system", "temperature", "thinking",
		"tool_choice", "tools", "top_k", "top_p",
	}
	betaFields = []string{
		"billing_policy", "compaction", "context_management", "fallback_credit_token", "fallbacks", "mcp_servers",
		"output_format", "thread",
	}
)

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
	case len(r.Messages) > 100_000:
		return invalid("messages: at most 100000 messages are allowed")
	case len(r.Thread) > 0 && string(r.Thread) != "null":
		e := invalid("threads are not supported here")
		e.code = "thread_unsupported_request"
		return e
	}
	for _, name := range r.fields {
		if !slices.Contains(topLevel, name) && !(r.beta != "" && slices.Contains(betaFields, name)) {
			return invalid(name + ": Extra inputs are not permitted")
		}
	}
	if r.model = findModel(r.Model); r.model == nil {
		return &apiError{status: http.StatusNotFound, message: "model: " + r.Model}
	}
	for _, check := range []func(string) *apiError{r.checkParams, r.checkSampling, r.checkThinking, r.checkMessages, r.checkTools, r.checkCache, r.checkContext} {
		if err := check(version); err != nil {
			return err
		}
	}
	r.edit()
	if n := r.tokens(); n > r.model.context {
		return invalid(fmt.Sprintf("prompt is too long: %d tokens > %d maximum", n, r.model.context))
	}
	return nil
}

func (r *request) checkParams(string) *apiError {
	maxTokens := *r.MaxTokens
	switch {
	case maxTokens < 0:
		return invalid("max_tokens: Input should be greater than or equal to 0")
	case maxTokens > r.model.maxOutput:
		return invalid(fmt.Sprintf("max_tokens: %d > %d, which is the maximum allowed number of output tokens for %s", maxTokens, r.model.maxOutput, r.model.id))
	case maxTokens == 0 && (r.Stream || r.format() != nil || r.forced() || r.Thinking != nil && r.Thinking.Type == "enabled"):
		return invalid("max_tokens: 0 cannot be combined with stream, thinking, output_config.format or a forced tool")
	}
	for i, stop := range r.StopSequences {
		if strings.TrimSpace(stop) == "" {
			return invalid(fmt.Sprintf("stop_sequences.%d: each stop sequence must contain non-whitespace", i))
		}
	}
	for i := range r.System {
		if b := &r.System[i]; b.Type != "text" {
			return invalid(fmt.Sprintf("system.%d.type: Input should be 'text'", i))
		}
	}
	if err := r.model.checkEffort("output_config", r.OutputConfig); err != nil {
		return err
	}
	var f *outputFormat
	if r.OutputConfig != nil && r.OutputConfig.Format != nil {
		f = r.OutputConfig.Format
	} else {
		f = r.OutputFormat
	}
	switch {
	case f == nil:
		return nil
	case f.Type != "json_schema":
		return invalid("output_config.format.type: Input should be 'json_schema'")
	case len(f.Schema) == 0 || string(f.Schema) == "null":
		return invalid("output_config.format.schema: Field required")
	}
	return checkSchemas("output_config.format.schema", f.Schema)
}

// checkEffort validates the effort of an output_config, which may be nil.
func (m *model) checkEffort(field string, c *outputConfig) *apiError {
	switch {
	case c == nil || c.Effort == "":
		return nil
	case !slices.Contains(efforts, c.Effort):
		return invalid(field + ".effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
	case len(m.efforts()) == 0:
		return invalid("This model does not support the effort parameter.")
	case !slices.Contains(m.efforts(), c.Effort):
		return invalid(fmt.Sprintf("%s.effort: %s is not supported on this model; supported are %s", field, c.Effort, strings.Join(m.efforts(), ", ")))
	}
	return nil
}

// checkSampling rejects sampling parameters where they are not accepted.
func (r *request) checkSampling(version string) *apiError {
	for _, p := range []struct {
		name     string
		value    *float64
		low, top float64
		fixed    bool // the only values that newer models accept
	}{
		{"temperature", r.Temperature, 0, 1, r.Temperature != nil && *r.Temperature == 1},
		{"top_p", r.TopP, 0, 1, r.TopP != nil && *r.TopP >= 0.99},
		{"top_k", r.TopK, 0, 1 << 31, false},
	} {
		switch {
		case p.value == nil:
		case version == newVersion:
			return invalid(p.name + ": sampling parameters are not accepted by this API version")
		case *p.value < p.low || *p.value > p.top:
			return invalid(fmt.Sprintf("%s: Input should be between %v and %v", p.name, p.low, p.top))
		case r.model.dense() && !p.fixed:
			return invalid(fmt.Sprintf("%s: %v is not accepted by this model", p.name, *p.value))
		case p.name == "temperature" && !p.fixed && r.Thinking != nil && (r.Thinking.Type == "enabled" || r.Thinking.Type == "adaptive"):
			return invalid("`temperature` may only be set to 1 when thinking is enabled.")
		}
	}
	return nil
}

var thinkingTypes = []string{"adaptive", "between_tools", "disabled", "enabled"}

func (r *request) checkThinking(string) *apiError {
	t := r.Thinking
	switch {
	case t == nil:
		return nil
	case !slices.Contains(thinkingTypes, t.Type):
		return invalid("thinking.type: Input should be 'adaptive', 'enabled', 'disabled' or 'between_tools'")
	case t.Display != "" && t.Display != "summarized" && t.Display != "omitted" && (t.Display != "updates" || r.beta == ""):
		return invalid("thinking.display: Input should be 'summarized' or 'omitted'")
	case !slices.Contains(r.model.thinking, t.Type) && t.Type == "enabled":
		return invalid(`"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.`)
	case !slices.Contains(r.model.thinking, t.Type):
		return invalid(t.Type + " thinking is not supported on this model")
	case t.Type == "enabled" && (t.Budget < 1024 || t.Budget >= *r.MaxTokens):
		return invalid("thinking.budget_tokens: must be at least 1024 and less than max_tokens")
	case t.Type == "enabled" && r.forced():
		return invalid("Thinking may not be enabled when tool_choice forces tool use.")
	case t.Type == "disabled" && r.model.id == "claude-opus-5" && r.OutputConfig != nil && slices.Contains([]string{"xhigh", "max"}, r.OutputConfig.Effort):
		return invalid("thinking.type: disabled thinking needs an effort of at most high on this model")
	}
	return nil
}

// blockTypes lists the types of content blocks by role.
var blockTypes = map[string][]string{
	"user": {
		"text", "image", "document", "search_result", "tool_result", "container_upload", "mcp_tool_listing",
	},
	"assistant": {
		"text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "server_tool_use",
		"web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result", "bash_code_execution_tool_result",
		"text_editor_code_execution_tool_result", "tool_search_tool_result", "container_upload",
		"advisor_tool_result", "mcp_tool_use", "mcp_tool_result", "mcp_tool_listing", "compaction", "fallback",
	},
	"system": {"text", "tool_addition", "tool_removal"},
	"result": {"text", "image", "document", "search_result", "tool_reference", "mcp_tool_listing", "browser_state"}, // in tool results
}

func (r *request) checkMessages(version string) *apiError {
	pending := map[string]bool{} // tool calls of the messages before that have no result yet
	calls := map[string]bool{}   // tool calls so far
	for i := range r.Messages {
		m := &r.Messages[i]
		if blockTypes[m.Role] == nil || m.Role == "result" {
			return invalid(fmt.Sprintf("messages.%d.role: Input should be 'user', 'assistant' or 'system'", i))
		}
		if i == 0 && m.Role != "user" && (len(m.Content) == 0 || m.Content[0].Type != "compaction") {
			return invalid("messages: first message must use the \"user\" role")
		}
		if m.Role == "system" {
			if err := r.checkSystemMessage(m, i); err != nil {
				return err
			}
		} else if len(m.Content) == 0 && (i < len(r.Messages)-1 || m.Role != "assistant") {
			return invalid(fmt.Sprintf("messages.%d: all messages must have non-empty content except for the optional final assistant message", i))
		}
		if m.Role == "user" {
			for _, b := range m.Content {
				if b.Type != "tool_result" {
					continue
				}
				if !pending[b.ToolUseID] {
					return invalid(fmt.Sprintf("messages.%d.content: unexpected `tool_use_id` found in `tool_result` blocks: %s. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.", i, b.ToolUseID))
				}
				delete(pending, b.ToolUseID)
			}
		}
		// Consecutive messages of a role are one message.
		if merged := i+1 < len(r.Messages) && r.Messages[i+1].Role == m.Role; len(pending) > 0 && !merged {
			return invalid(fmt.Sprintf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s. Each `tool_use` block must have a corresponding `tool_result` block in the next message.", i-1, names(pending)))
		}
		if err := m.check(i, version); err != nil {
			return err
		}
		for _, b := range m.Content {
			if m.Role == "assistant" && b.Type == "tool_use" {
				if calls[b.ID] {
					return invalid(fmt.Sprintf("messages.%d: `tool_use` ids must be unique", i))
				}
				calls[b.ID], pending[b.ID] = true, true
			}
		}
	}
	if len(pending) > 0 {
		return invalid(fmt.Sprintf("messages.%d: `tool_use` ids were found without `tool_result` blocks immediately after: %s", len(r.Messages)-1, names(pending)))
	}
	if last := &r.Messages[len(r.Messages)-1]; last.Role == "assistant" && !last.paused() {
		if !r.model.prefill {
			return invalid("This model does not support assistant message prefill. The conversation must end with a user message.")
		}
		if n := len(last.Content); n > 0 && strings.TrimRight(last.Content[n-1].Text, " \t\r\n") != last.Content[n-1].Text {
			return invalid("messages: final assistant content cannot end with trailing whitespace")
		}
	}
	return nil
}

// paused reports whether an answer of the service can be continued by sending it
// back as it is: it has calls of server tools, or ends with a summary.
func (m *message) paused() bool {
	return slices.ContainsFunc(m.Content, func(b block) bool { return b.Type == "server_tool_use" || b.Type == "compaction" })
}

// checkSystemMessage validates a system message within the conversation.
func (r *request) checkSystemMessage(m *message, i int) *apiError {
	switch {
	case !r.model.systemMessages():
		return invalid(fmt.Sprintf("messages.%d.role: system messages are not supported on this model", i))
	case len(m.Content) == 0 && (m.OutputConfig == nil || m.OutputConfig.Effort == ""):
		return invalid(fmt.Sprintf("messages.%d: a system message needs content or output_config", i))
	case m.OutputConfig != nil && m.OutputConfig.Format != nil:
		return invalid(fmt.Sprintf("messages.%d.output_config.format: Extra inputs are not permitted", i))
	}
	return r.model.checkEffort(fmt.Sprintf("messages.%d.output_config", i), m.OutputConfig)
}

// check validates the blocks of message i.
func (m *message) check(i int, version string) *apiError {
	for j := range m.Content {
		b := &m.Content[j]
		field := fmt.Sprintf("messages.%d.content.%d", i, j)
		if err := b.check(field, blockTypes[m.Role]); err != nil {
			return err
		}
		switch {
		case version != newVersion:
		case m.Role == "assistant" && b.Type == "document":
			return invalid(field + ": document blocks are not accepted in assistant messages by this API version")
		case m.Role == "user" && b.Type == "text" && len(b.Citations) > 0 && string(b.Citations) != "null" && string(b.Citations) != "[]":
			return invalid(field + ".citations: not accepted in user messages by this API version")
		}
	}
	return nil
}

// check validates a block, whose type must be among the given ones.
func (b *block) check(field string, types []string) *apiError {
	switch {
	case b.Type == "":
		return invalid(field + ".type: Field required")
	case !slices.Contains(types, b.Type):
		return invalid(fmt.Sprintf("%s: Input tag '%s' found using 'type' does not match any of the expected tags: '%s'", field, b.Type, strings.Join(types, "', '")))
	case b.Type == "text" && strings.TrimSpace(b.Text) == "":
		return invalid(field + ": text content blocks must be non-empty")
	case b.Type == "tool_use" && b.ID == "":
		return invalid(field + ".tool_use.id: Field required")
	case b.Type == "tool_use" && b.Name == "":
		return invalid(field + ".tool_use.name: Field required")
	case b.Type == "tool_use" && !isObject(b.Input):
		return invalid(field + ".tool_use.input: Input should be a valid dictionary")
	case b.Type == "image" || b.Type == "document":
		return b.checkSource(field)
	}
	for i := range b.Content {
		if b.Type != "tool_result" || b.Content[i].Type == "text" && b.Content[i].Text == "" {
			continue // an empty result is accepted
		}
		if err := b.Content[i].check(fmt.Sprintf("%s.content.%d", field, i), blockTypes["result"]); err != nil {
			return err
		}
	}
	return nil
}

func (b *block) checkSource(field string) *apiError {
	s := b.Source
	switch {
	case s == nil || s.Type == "":
		return invalid(field + "." + b.Type + ".source: Field required")
	case s.Type != "base64":
		return nil
	case !slices.Contains(mediaTypes[b.Type], s.MediaType):
		return invalid(fmt.Sprintf("%s.%s.source.base64.media_type: Input should be '%s'", field, b.Type, strings.Join(mediaTypes[b.Type], "', '")))
	}
	if data, err := base64.StdEncoding.DecodeString(s.Data); err != nil || len(data) == 0 {
		return invalid(field + "." + b.Type + ".source.base64.data: the data is not valid base64")
	}
	if b.Type == "image" {
		if w, h := s.dimensions(); w > 8000 || h > 8000 {
			e := invalid(field + ".image.source.base64.data: At least one of the image dimensions exceed max allowed size: 8000 pixels")
			e.code = "image_dimensions_too_large"
			return e
		}
	}
	return nil
}

func isObject(raw json.RawMessage) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(raw, &object) == nil && object != nil
}

// names returns the sorted members of a set.
func names(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), ", ")
}

var (
	toolName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`) })

	// typedTool matches the types of tools that the service defines: a name and
	// a date, or a set of MCP tools.
	typedTool = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:(?:bash|text_editor|memory|code_execution|web_search|web_fetch|tool_search_tool_(?:bm25|regex)|browser_toolset|computer_toolset|computer|advisor)_20\d{6}|tool_search_tool_(?:bm25|regex)|mcp_toolset)$`)
	})
)

func (r *request) checkTools(string) *apiError {
	seen := map[string]bool{}
	deferred := 0
	for i, t := range r.Tools {
		custom := t.Type == "" || t.Type == "custom"
		field := fmt.Sprintf("tools.%d.custom", i)
		switch {
		case !custom && !typedTool().MatchString(t.Type):
			return invalid(fmt.Sprintf("tools.%d: Input tag '%s' found using 'type' does not match any of the expected tags", i, t.Type))
		case !custom:
		case t.Name == "":
			return invalid(field + ".name: Field required")
		case !toolName().MatchString(t.Name):
			return invalid(field + ".name: String should match pattern '" + toolName().String() + "'")
		case len(t.InputSchema) == 0:
			return invalid(field + ".input_schema: Field required")
		case !isObject(t.InputSchema):
			return invalid(field + ".input_schema: Input should be a valid dictionary")
		}
		if seen[t.Name] && t.Name != "" {
			return invalid("tools: Tool names must be unique.")
		}
		seen[t.Name] = true
		if t.Deferred {
			deferred++
			if t.CacheControl != nil {
				return invalid(fmt.Sprintf("tools.%d: a tool with defer_loading cannot have cache_control", i))
			}
		}
		if !custom {
			continue
		}
		if err := checkInputSchema(field+".input_schema", t.InputSchema); err != nil {
			return err
		}
		if t.Strict {
			if err := checkSchemas(field+".input_schema", t.InputSchema); err != nil {
				return err
			}
		}
	}
	if deferred > 0 && deferred == len(r.Tools) {
		return invalid("tools: At least one tool must have defer_loading=false")
	}
	switch c := r.ToolChoice; {
	case c == nil:
	case !slices.Contains([]string{"auto", "any", "none", "tool"}, c.Type):
		return invalid("tool_choice.type: Input should be 'auto', 'any', 'none' or 'tool'")
	case len(r.Tools) == 0 && c.Type != "none":
		return invalid("tool_choice: may only be specified while providing tools")
	case c.Type == "tool" && c.Name == "":
		return invalid("tool_choice.tool.name: Field required")
	case c.Type == "tool" && !seen[c.Name]:
		return invalid(fmt.Sprintf("tool_choice: Tool '%s' not found in provided tools", c.Name))
	case r.forced() && !r.model.forcedTools:
		return invalid("tool_choice: forced tool use is not supported on this model")
	}
	return nil
}
