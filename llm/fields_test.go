package llm_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
)

func TestFieldsNameTheParts(t *testing.T) {
	t.Parallel()
	req := request()
	req.Messages = append(req.Messages, llm.Message{Role: llm.RoleAssistant, Content: []llm.Block{llm.TextBlock("{")}})
	req.Tools = append(req.Tools, llm.Tool{Name: "cat"})
	req.Extra = map[string]json.RawMessage{"top_k": json.RawMessage(`5`), "container": json.RawMessage(`"c"`)}
	fields, err := llm.Fields(req)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
		if len(f.Digest) != 16 {
			t.Errorf("digest of %s is %q, want 16 digits", f.Name, f.Digest)
		}
	}
	want := []string{
		"betas", "model", "system", "message 1 (user)", "message 2 (assistant)", "tool cat", "tool cat (2)", "tool grep",
		"max_tokens", "stop_sequences", "tool_choice", "thinking", "output_config", "extra.container", "extra.top_k",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if _, err := llm.Fields(&llm.Request{Thinking: json.RawMessage(`{`)}); err == nil {
		t.Error("fields of a request that is not JSON: no error")
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 40)
	for _, test := range []struct {
		change func(*llm.Request)
		want   []string
	}{
		{func(r *llm.Request) { r.Agent = "another" }, nil},
		{func(r *llm.Request) { r.Model = "claude-sonnet-5-5" }, []string{"model: claude-sonnet-5-5, was claude-haiku-5-5"}},
		{func(r *llm.Request) { r.MaxTokens = 7 }, []string{"max_tokens: 7, was 100"}},
		{func(r *llm.Request) { r.Betas = []string{"b", "a"} }, []string{"betas: a,b, was none"}},
		{func(r *llm.Request) { r.System[0].Text += "\nBe brief." }, []string{"system: 2 lines, was 1"}},
		{func(r *llm.Request) { r.System = nil }, []string{"system: 0 blocks, was 1"}},
		{func(r *llm.Request) { r.System[0] = llm.ToolResult("", "x", false) }, []string{"system: block 1 is tool_result, was text"}},
		{func(r *llm.Request) { r.Messages[0].Role = "assistant" }, []string{"message 1 (assistant): was of user"}},
		{func(r *llm.Request) { r.Messages[0] = llm.UserText("Review that.") }, []string{`message 1 (user): line 1 is "Review that.", was "Review this."`}},
		{func(r *llm.Request) { r.Messages[0] = llm.UserText("Review this.\n" + long) }, []string{"message 1 (user): 2 lines, was 1"}},
		{func(r *llm.Request) { r.Messages[0] = llm.UserText(long) }, []string{`message 1 (user): line 1 is "word word word word word wor…", was "Review this."`}},
		{func(r *llm.Request) { r.Messages = append(r.Messages, llm.UserText("more")) }, []string{"message 2 (user): added"}},
		{func(r *llm.Request) { r.Messages = nil }, []string{"message 1 (user): missing"}},
		{func(r *llm.Request) { r.Tools = append(r.Tools[:1], llm.Tool{Name: "find"}) }, []string{"tool cat: missing", "tool find: added"}},
		{func(r *llm.Request) { r.Tools[0].Description = "finds" }, []string{`tool grep: {"description":"finds","inpu…, was {"input_schema":{"type":"obj…`}},
		{func(r *llm.Request) { r.StopSequences = []string{"END"} }, []string{`stop_sequences: ["END"], was []`}},
		{func(r *llm.Request) { r.Thinking = json.RawMessage(`{"type":"adaptive"}`) }, []string{`thinking: {"type":"adaptive"}, was none`}},
		{func(r *llm.Request) { r.OutputConfig = json.RawMessage(`{"effort": "high"}`) }, []string{`output_config: {"effort":"high"}, was {"effort":"low"}`}},
		{func(r *llm.Request) { r.Extra = map[string]json.RawMessage{"top_k": json.RawMessage(`1`)} }, []string{"extra.top_k: added"}},
	} {
		now := request()
		test.change(now)
		if diff := cmp.Diff(test.want, llm.Diff(now, request())); diff != "" {
			t.Errorf("Diff (-want +got):\n%s", diff)
		}
	}
}

func TestDiffShowsThePlaceInALongText(t *testing.T) {
	t.Parallel()
	now, was := request(), request()
	now.Messages = []llm.Message{llm.UserText("first\n" + strings.Repeat("ä", 90) + "X" + strings.Repeat("ö", 90) + "\nlast")}
	was.Messages = []llm.Message{llm.UserText("first\n" + strings.Repeat("ä", 90) + "Y" + strings.Repeat("ö", 90) + "\nlast")}
	want := []string{`message 1 (user): line 2 is "…äääääXöööööööööööööööööööööö…", was "…äääääYöööööööööööööööööööööö…"`}
	if diff := cmp.Diff(want, llm.Diff(now, was)); diff != "" {
		t.Errorf("Diff (-want +got):\n%s", diff)
	}
}

// Requests are drawn from so few values that two of them are often alike, or
// differ in one thing only.
func drawRequest(t *rapid.T, label string) *llm.Request {
	text := rapid.SampledFrom([]string{"", "a", "a\nb", "é", "\u00ff<"})
	raw := func(values ...string) json.RawMessage {
		if v := rapid.SampledFrom(append(values, "")).Draw(t, "json"); v != "" {
			return json.RawMessage(v)
		}
		return nil
	}
	blocks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) llm.Block {
		switch rapid.IntRange(0, 4).Draw(t, "type") {
		case 0:
			return llm.Block{Type: llm.BlockThinking, Text: text.Draw(t, "text"), Signature: text.Draw(t, "signature")}
		case 1:
			return llm.Block{Type: llm.BlockToolUse, ID: "t", Name: text.Draw(t, "name"), Input: json.RawMessage(rapid.SampledFrom([]string{`{}`, `{ }`, `{"a":1}`, `{"a":`}).Draw(t, "input"))}
		case 2:
			return llm.ToolResult("t", text.Draw(t, "text"), rapid.Bool().Draw(t, "error"))
		case 3:
			return llm.Block{Type: "text", Raw: json.RawMessage(rapid.SampledFrom([]string{`{"type":"text","text":"a"}`, `{"text": "a", "type":"text", "cache_control":{}}`, `{"type":"text","text":"a","citations":[]}`}).Draw(t, "raw"))}
		}
		return llm.Block{Type: llm.BlockText, Text: text.Draw(t, "text"), CacheControl: raw(`{"type":"ephemeral"}`)}
	}), 0, 2)
	return rapid.Custom(func(t *rapid.T) *llm.Request {
		req := &llm.Request{
			Model:  rapid.SampledFrom([]string{"m", "n"}).Draw(t, "model"),
			System: blocks.Draw(t, "system"),
			Messages: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) llm.Message {
				return llm.Message{Role: rapid.SampledFrom([]string{"user", "assistant"}).Draw(t, "role"), Content: blocks.Draw(t, "content")}
			}), 0, 2).Draw(t, "messages"),
			Tools: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) llm.Tool {
				return llm.Tool{Name: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "tool"), Description: text.Draw(t, "description")}
			}), 0, 3).Draw(t, "tools"),
			ToolChoice:    raw(`{"type":"auto"}`, `{ "type":"auto" }`),
			MaxTokens:     rapid.IntRange(1, 2).Draw(t, "max"),
			StopSequences: rapid.SliceOfN(text, 0, 2).Draw(t, "stop"),
			Thinking:      raw(`{"a":1,"b":2}`, `{"b":2,"a":1}`, `1`),
			OutputConfig:  raw(`{}`),
			Betas:         rapid.SliceOfN(rapid.SampledFrom([]string{"p", "q"}), 0, 3).Draw(t, "betas"),
			Agent:         text.Draw(t, "agent"),
		}
		for _, name := range []string{"k", "l"} {
			if value := raw(`1`, `"<"`, `{"a":1}`); value != nil {
				if req.Extra == nil {
					req.Extra = map[string]json.RawMessage{}
				}
				req.Extra[name] = value
			}
		}
		return req
	}).Draw(t, label)
}

func TestDiffAgreesWithKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRequest(t, "a"), drawRequest(t, "b")
		// Most pairs differ in much: make them differ in little.
		for i, same := range []func(){
			func() { b.Model = a.Model },
			func() { b.System = a.System },
			func() { b.Messages = a.Messages },
			func() { b.Tools = slices.Clone(a.Tools); slices.Reverse(b.Tools) },
			func() { b.ToolChoice = a.ToolChoice },
			func() { b.MaxTokens = a.MaxTokens },
			func() { b.StopSequences = a.StopSequences },
			func() { b.Thinking = a.Thinking },
			func() { b.OutputConfig = a.OutputConfig },
			func() { b.Betas = a.Betas },
			func() { b.Extra = a.Extra },
		} {
			if rapid.IntRange(0, 9).Draw(t, fmt.Sprint("differ ", i)) > 0 {
				same()
			}
		}
		diff := llm.Diff(a, b)
		if err := agree(a, b, diff); err != nil {
			t.Fatal(err)
		}
		fieldsA, errA := llm.Fields(a)
		fieldsB, errB := llm.Fields(b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if same := cmp.Equal(fieldsA, fieldsB); same != (len(diff) == 0) {
			t.Fatalf("fields equal: %v, Diff: %q", same, diff)
		}
	})
}

func agree(a, b *llm.Request, diff []string) error {
	keyA, errA := llm.Keyer{}.Key(a)
	keyB, errB := llm.Keyer{}.Key(b)
	if errA != nil || errB != nil {
		return fmt.Errorf("no keys: %w, %w", errA, errB)
	}
	if (keyA == keyB) != (len(diff) == 0) {
		return fmt.Errorf("keys equal: %v, Diff: %q", keyA == keyB, diff)
	}
	for _, line := range diff {
		if !utf8.ValidString(line) || strings.Contains(line, "\n") {
			return fmt.Errorf("not one line: %q", line)
		}
	}
	return nil
}

func TestDiffOfTextsQuotesLittle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"a", "ä", "\n", strings.Repeat("b", 40), "𝄞"})
		text := func(label string) string {
			return strings.Join(rapid.SliceOfN(word, 0, 12).Draw(t, label), "")
		}
		head := text("head")
		a, b := request(), request()
		a.Messages, b.Messages = []llm.Message{llm.UserText(head + text("a"))}, []llm.Message{llm.UserText(head + text("b"))}
		diff := llm.Diff(a, b)
		if err := agree(a, b, diff); err != nil {
			t.Fatal(err)
		}
		for _, line := range diff {
			if _, quoted, ok := strings.Cut(line, `"`); ok && utf8.RuneCountInString(strings.ReplaceAll(quoted, `", was "`, "")) > 61 {
				t.Fatalf("%s quotes too much", line)
			}
		}
	})
}
