package sim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/sim"
)

// with returns a valid request with other fields.
func with(fields object) object {
	body := object{"model": "claude-haiku-5-5", "max_tokens": 2000, "messages": []object{{"role": "user", "content": "hi"}}}
	maps.Copy(body, fields)
	return body
}

func userBlocks(blocks ...object) object {
	return object{"messages": []object{{"role": "user", "content": blocks}}}
}

func tool(name string, schema object, more ...object) object {
	t := object{"name": name, "input_schema": schema}
	for _, m := range more {
		maps.Copy(t, m)
	}
	return t
}

func format(schema object) object {
	return object{"output_config": object{"format": object{"type": "json_schema", "schema": schema}}}
}

// closed returns the schema of an object with one property.
func closed(property object) object {
	return object{"type": "object", "additionalProperties": false, "required": []string{"a"}, "properties": object{"a": property}}
}

func properties(n int) object {
	all := object{}
	for i := range n {
		all[fmt.Sprintf("p%d", i)] = object{"type": "string"}
	}
	return all
}

var (
	open1   = object{"type": "object"}
	toolUse = object{"role": "assistant", "content": []object{{"type": "tool_use", "id": "t1", "name": "a", "input": object{}}, {"type": "tool_use", "id": "t2", "name": "a", "input": object{}}}}
)

func result(id string) object {
	return object{"type": "tool_result", "tool_use_id": id, "content": "ok"}
}

func messages(list ...object) object {
	return object{"messages": append([]object{{"role": "user", "content": "hi"}}, list...)}
}

// TestRefusals checks requests that the API refuses.
func TestRefusals(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	for name, tt := range map[string]struct {
		fields object
		want   string
	}{
		"top-level field":         {object{"temprature": 1}, "temprature: Extra inputs are not permitted"},
		"field of a beta":         {object{"context_management": object{}}, "context_management: Extra inputs"},
		"block":                   {userBlocks(object{"type": "picture"}), "messages.0.content.0: Input tag 'picture'"},
		"block of another role":   {userBlocks(object{"type": "thinking", "thinking": "x"}), "Input tag 'thinking'"},
		"block in a result":       {messages(toolUse, object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": "t1", "content": []object{{"type": "audio"}}}, result("t2")}}), "Input tag 'audio'"},
		"system block":            {object{"system": []object{{"type": "image"}}}, "system.0.type"},
		"image without source":    {userBlocks(object{"type": "image"}), "source: Field required"},
		"image type":              {userBlocks(object{"type": "image", "source": object{"type": "base64", "media_type": "image/tiff", "data": "AAAA"}}), "media_type"},
		"image data":              {userBlocks(object{"type": "image", "source": object{"type": "base64", "media_type": "image/png", "data": "?"}}), "base64"},
		"tool name":               {object{"tools": []object{tool("get weather", open1)}}, "tools.0.custom.name: String should match pattern"},
		"long tool name":          {object{"tools": []object{tool(strings.Repeat("a", 65), open1)}}, "tools.0.custom.name"},
		"tool type":               {object{"tools": []object{{"type": "bash_1", "name": "bash"}}}, "Input tag 'bash_1'"},
		"tool schema":             {object{"tools": []object{tool("a", object{})}}, "input_schema.type: Field required"},
		"tool schema of a list":   {object{"tools": []object{tool("a", object{"type": "array"})}}, "Input should be 'object'"},
		"strict tool":             {object{"tools": []object{tool("a", open1, object{"strict": true})}}, "'additionalProperties' must be explicitly set to false"},
		"lone deferred tool":      {object{"tools": []object{tool("a", open1, object{"defer_loading": true})}}, "At least one tool must have defer_loading=false"},
		"deferred with a mark":    {object{"tools": []object{tool("a", open1), tool("b", open1, object{"defer_loading": true, "cache_control": object{"type": "ephemeral"}})}}, "defer_loading"},
		"choice without tools":    {object{"tool_choice": object{"type": "auto"}}, "tool_choice: may only be specified"},
		"open object":             {format(object{"type": "object", "properties": object{}}), "'additionalProperties' must be explicitly set to false"},
		"open inner object":       {format(closed(object{"type": "array", "items": open1})), "'additionalProperties'"},
		"open definition":         {format(object{"$ref": "#/$defs/a", "$defs": object{"a": open1}}), "'additionalProperties'"},
		"minimum":                 {format(closed(object{"type": "integer", "minimum": 1})), "For 'integer' type, property 'minimum' is not supported"},
		"maxLength":               {format(closed(object{"type": "string", "maxLength": 1})), "'maxLength' is not supported"},
		"minItems":                {format(closed(object{"type": "array", "items": object{"type": "string"}, "minItems": 2})), "'minItems' values other than 0 or 1"},
		"string format":           {format(closed(object{"type": "string", "format": "phone"})), "format 'phone' is not supported"},
		"unknown type":            {format(closed(object{"type": "objekt"})), "Invalid type 'objekt'"},
		"recursion":               {format(object{"$ref": "#/$defs/a", "$defs": object{"a": closed(object{"$ref": "#/$defs/a"})}}), "Recursive schemas"},
		"dangling reference":      {format(closed(object{"$ref": "#/$defs/a"})), "cannot be resolved"},
		"other document":          {format(closed(object{"$ref": "https://x/y"})), "External $ref"},
		"optional properties":     {format(object{"type": "object", "additionalProperties": false, "properties": properties(25)}), "too complex"},
		"format type":             {object{"output_config": object{"format": object{"type": "json"}}}, "format.type"},
		"format without schema":   {object{"output_config": object{"format": object{"type": "json_schema"}}}, "schema: Field required"},
		"blank stop sequence":     {object{"stop_sequences": []string{"END", " \n"}}, "stop_sequences.1: each stop sequence must contain non-whitespace"},
		"effort":                  {object{"output_config": object{"effort": "huge"}}, "output_config.effort: Input should be"},
		"effort without effort":   {object{"model": "claude-haiku-4-5", "output_config": object{"effort": "low"}}, "does not support the effort parameter"},
		"effort above a model":    {object{"model": "claude-opus-4-5", "output_config": object{"effort": "max"}}, "max is not supported on this model"},
		"disabled at high effort": {object{"model": "claude-opus-5", "thinking": object{"type": "disabled"}, "output_config": object{"effort": "max"}}, "disabled thinking"},
		"thinking display":        {object{"thinking": object{"type": "adaptive", "display": "updates"}}, "thinking.display: Input should be"},
		"thinking type":           {object{"thinking": object{"type": "on"}}, "thinking.type: Input should be"},
		"adaptive on an old one":  {object{"model": "claude-haiku-4-5", "thinking": object{"type": "adaptive"}}, "adaptive thinking is not supported on this model"},
		"disabled always on":      {object{"model": "claude-opus-5-5", "thinking": object{"type": "disabled"}}, "disabled thinking is not supported"},
		"empty system message":    {messages(object{"role": "system", "content": []object{}}), "needs content or output_config"},
		"system message, model":   {object{"model": "claude-opus-4-7", "messages": []object{{"role": "user", "content": "a"}, {"role": "system", "content": "b"}}}, "not supported on this model"},
		"system message, effort":  {messages(object{"role": "system", "content": "x", "output_config": object{"effort": "big"}}), "messages.1.output_config.effort"},
		"one result missing":      {messages(toolUse, object{"role": "user", "content": []object{result("t1")}}), "immediately after: t2"},
		"a result twice":          {messages(toolUse, object{"role": "user", "content": []object{result("t1"), result("t1"), result("t2")}}), "unexpected `tool_use_id`"},
		"an id twice":             {messages(object{"role": "assistant", "content": []object{{"type": "tool_use", "id": "t1", "name": "a", "input": object{}}, {"type": "tool_use", "id": "t1", "name": "a", "input": object{}}}}, object{"role": "user", "content": []object{result("t1")}}), "`tool_use` ids must be unique"},
		"result of a system turn": {messages(toolUse, object{"role": "system", "content": "x"}, object{"role": "user", "content": []object{result("t1"), result("t2")}}), "without `tool_result` blocks"},
		"input of a call":         {messages(object{"role": "assistant", "content": []object{{"type": "tool_use", "id": "t1", "name": "a", "input": "x"}}}, object{"role": "user", "content": []object{result("t1")}}), "input: Input should be a valid dictionary"},
		"document of the model":   {messages(object{"role": "assistant", "content": []object{{"type": "document", "source": object{"type": "text", "media_type": "text/plain", "data": "x"}}}}, object{"role": "user", "content": "y"}), "document blocks are not accepted"},
	} {
		res, body := post(t, server, encode(t, with(tt.fields)))
		var r reply
		if err := json.Unmarshal([]byte(body), &r); err != nil || res.StatusCode != 400 || r.Error.Type != "invalid_request_error" || !strings.Contains(r.Error.Message, tt.want) {
			t.Errorf("%s: %d %s; want %s", name, res.StatusCode, body, tt.want)
		}
	}
}

// TestAccepted checks requests that the API takes.
func TestAccepted(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	for name, fields := range map[string]object{
		"system message that sets the effort": messages(object{"role": "system", "content": []object{}, "output_config": object{"effort": "low"}}),
		"system message without content":      messages(object{"role": "system", "output_config": object{"effort": "max"}}),
		"results in two messages":             messages(toolUse, object{"role": "user", "content": []object{result("t1")}}, object{"role": "user", "content": []object{result("t2")}}),
		"results, text and a system message":  messages(toolUse, object{"role": "user", "content": []object{result("t2"), result("t1"), {"type": "text", "text": "x"}}}, object{"role": "system", "content": "x"}),
		"empty result":                        messages(toolUse, object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": "t1"}, {"type": "tool_result", "tool_use_id": "t2", "content": ""}}}),
		"two messages of a user":              messages(object{"role": "user", "content": "more"}),
		"open schema of a tool":               {"tools": []object{tool("a-b_C9", object{"type": "object", "properties": object{"n": object{"type": "integer", "minimum": 1}}})}},
		"deferred beside another":             {"tools": []object{tool("a", open1), tool("b", open1, object{"defer_loading": true})}},
		"deferred beside a search":            {"tools": []object{tool("b", open1, object{"defer_loading": true}), {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}}},
		"tools of the service":                {"tools": []object{{"type": "web_search_20250305", "name": "web_search"}, {"type": "bash_20250124", "name": "bash"}}},
		"no choice without tools":             {"tool_choice": object{"type": "none"}},
		"schema":                              format(closed(object{"anyOf": []object{{"type": "string", "format": "uuid"}, {"type": "null"}}})),
		"schema with a definition twice":      format(object{"type": "object", "additionalProperties": false, "required": []string{"a", "b"}, "properties": object{"a": object{"$ref": "#/$defs/x"}, "b": object{"$ref": "#/$defs/x"}}, "$defs": object{"x": closed(object{"type": "string"})}}),
		"24 optional properties":              format(object{"type": "object", "additionalProperties": false, "properties": properties(24)}),
		"effort":                              {"output_config": object{"effort": "xhigh"}},
		"metadata and geo":                    {"metadata": object{"user_id": "u"}, "inference_geo": "us", "service_tier": "auto", "diagnostics": object{"previous_message_id": nil}},
		"image by URL":                        userBlocks(object{"type": "image", "source": object{"type": "url", "url": "https://example.com/a.png"}}),
		"text document":                       userBlocks(object{"type": "document", "title": "t", "source": object{"type": "text", "media_type": "text/plain", "data": "x"}}, object{"type": "text", "text": "y"}),
	} {
		if res, body := post(t, server, encode(t, with(fields))); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

// TestSamplingByVersion checks sampling parameters under the older version.
func TestSamplingByVersion(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	for _, tt := range []struct {
		model  string
		fields object
		status int
	}{
		{"claude-haiku-5-5", object{"temperature": 1}, 200},
		{"claude-haiku-5-5", object{"temperature": 0.5}, 400},
		{"claude-haiku-5-5", object{"top_p": 0.99}, 200},
		{"claude-haiku-5-5", object{"top_p": 0.9}, 400},
		{"claude-haiku-5-5", object{"top_k": 5}, 400},
		{"claude-haiku-4-5", object{"temperature": 0.5}, 200},
		{"claude-haiku-4-5", object{"temperature": 1.5}, 400},
		{"claude-haiku-4-5", object{"top_k": 5}, 200},
		{"claude-haiku-4-5", object{"temperature": 0.5, "thinking": object{"type": "enabled", "budget_tokens": 1024}}, 400},
	} {
		tt.fields["model"] = tt.model
		body := encode(t, with(tt.fields))
		res, text := sendVersion(t, server, http.MethodPost, "/v1/messages", body, "2023-06-01")
		if res.StatusCode != tt.status {
			t.Errorf("%s: %d %s", body, res.StatusCode, text)
		}
	}
}

// TestThinkingComesFirst checks which answers begin with a thinking block.
func TestThinkingComesFirst(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	for _, tt := range []struct {
		model    string
		thinking string
		want     bool
	}{
		{"claude-opus-5-5", "", true}, {"claude-fable-5", "", true}, {"claude-opus-5", "", true}, {"claude-sonnet-5-5", "", true},
		{"claude-haiku-5-5", "", true}, {"claude-haiku-5-5", "disabled", false}, {"claude-haiku-5-5", "adaptive", true},
		{"claude-sonnet-5-5", "between_tools", false}, {"claude-opus-4-8", "", false}, {"claude-opus-4-8", "adaptive", true}, {"claude-haiku-4-5", "", false},
	} {
		fields := object{"model": tt.model}
		if tt.thinking != "" {
			fields["thinking"] = object{"type": tt.thinking}
		}
		r := answerTo(t, server, encode(t, with(fields)))
		if got := r.Content[0].Type == "thinking"; got != tt.want || r.text() == "" {
			t.Errorf("%s with %q: %+v", tt.model, tt.thinking, r.Content)
		}
		if tt.want && r.Content[0].Signature == "" {
			t.Errorf("%s: thinking without a signature", tt.model)
		}
	}
}
