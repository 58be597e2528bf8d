package anthropic

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/llm"
)

// TestBlocks feeds the events of one content block and checks the block and its
// text events.
func TestBlocks(t *testing.T) {
	t.Parallel()
	start := func(block string) string {
		return `{"type":"content_block_start","index":0,"content_block":` + block + `}`
	}
	delta := func(d string) string { return `{"type":"content_block_delta","index":0,"delta":` + d + `}` }
	cases := []struct {
		name   string
		events []string
		want   llm.Block
		pieces []string
	}{
		{
			"text that starts with text",
			[]string{start(`{"type":"text","text":"Well, "}`), delta(`{"type":"text_delta","text":"hi"}`)},
			llm.TextBlock("Well, hi"),
			[]string{"text 0 Well,", "text 0 hi"},
		},
		{
			"thinking with its signature",
			[]string{
				start(`{"type":"thinking","thinking":"","signature":""}`),
				delta(`{"type":"thinking_delta","thinking":"hm"}`), delta(`{"type":"thinking_delta","thinking":"m"}`),
				delta(`{"type":"signature_delta","signature":"c2ln"}`),
			},
			llm.Block{Type: "thinking", Text: "hmm", Signature: "c2ln"},
			[]string{"thinking 0 hm", "thinking 0 m"},
		},
		{
			"thinking of which only the signature is shown",
			[]string{start(`{"type":"thinking","thinking":"","signature":""}`), delta(`{"type":"signature_delta","signature":"c2ln"}`)},
			llm.Block{Type: "thinking", Signature: "c2ln"},
			nil,
		},
		{
			"tool_use",
			[]string{
				start(`{"type":"tool_use","id":"toolu_1","name":"grep","input":{}}`),
				delta(`{"type":"input_json_delta","partial_json":""}`),
				delta(`{"type":"input_json_delta","partial_json":"{\"b\": 1,"}`), delta(`{"type":"input_json_delta","partial_json":"\"a\":2}"}`),
			},
			llm.Block{Type: "tool_use", ID: "toolu_1", Name: "grep", Input: json.RawMessage(`{"b": 1,"a":2}`)},
			[]string{`tool_input 0 {"b": 1,`, `tool_input 0 "a":2}`},
		},
		{
			"tool_use without arguments",
			[]string{start(`{"type":"tool_use","id":"toolu_1","name":"now","input":{}}`), delta(`{"type":"input_json_delta","partial_json":""}`)},
			llm.Block{Type: "tool_use", ID: "toolu_1", Name: "now", Input: json.RawMessage(`{}`)},
			nil,
		},
		{
			"tool_use whose input is cut",
			[]string{start(`{"type":"tool_use","id":"toolu_1","name":"grep","input":{}}`), delta(`{"type":"input_json_delta","partial_json":"{\"pat"}`)},
			llm.Block{Type: "tool_use", ID: "toolu_1", Name: "grep", Input: json.RawMessage(`{"pat`)},
			[]string{`tool_input 0 {"pat`},
		},
		{
			"tool_use with a field that has no name here",
			[]string{start(`{"type":"tool_use","id":"toolu_1","name":"grep","input":{},"caller":{"type":"direct"}}`), delta(`{"type":"input_json_delta","partial_json":"{\"b\":1}"}`)},
			llm.Block{
				Type: "tool_use", ID: "toolu_1", Name: "grep", Input: json.RawMessage(`{"b":1}`),
				Raw: json.RawMessage(`{"caller":{"type":"direct"},"id":"toolu_1","input":{"b":1},"name":"grep","type":"tool_use"}`),
			},
			[]string{`tool_input 0 {"b":1}`},
		},
		{
			"the same with its input cut",
			[]string{start(`{"type":"tool_use","id":"toolu_1","name":"grep","input":{},"caller":{"type":"direct"}}`), delta(`{"type":"input_json_delta","partial_json":"{\"b"}`)},
			llm.Block{
				Type: "tool_use", ID: "toolu_1", Name: "grep", Input: json.RawMessage(`{"b`),
				Raw: json.RawMessage(`{"caller":{"type":"direct"},"id":"toolu_1","input":"{\"b","name":"grep","type":"tool_use"}`),
			},
			[]string{`tool_input 0 {"b`},
		},
		{
			"text with citations",
			[]string{
				start(`{"type":"text","text":"","citations":[]}`), delta(`{"type":"text_delta","text":"<so>"}`),
				delta(`{"type":"citations_delta","citation":{"type":"page_location","cited_text":"x"}}`),
			},
			llm.Block{Type: "text", Text: "<so>", Raw: json.RawMessage(`{"citations":[{"type":"page_location","cited_text":"x"}],"text":"<so>","type":"text"}`)},
			[]string{"text 0 <so>"},
		},
		{
			"server tool",
			[]string{start(`{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}`), delta(`{"type":"input_json_delta","partial_json":"{\"query\":\"go\"}"}`)},
			llm.Block{Type: "server_tool_use", Raw: json.RawMessage(`{"id":"srvtoolu_1","input":{"query":"go"},"name":"web_search","type":"server_tool_use"}`)},
			nil,
		},
		{
			"result of a server tool, which has no deltas",
			[]string{start(`{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"https://go.dev"}]}`)},
			llm.Block{Type: "web_search_tool_result", Raw: json.RawMessage(`{"content":[{"type":"web_search_result","url":"https://go.dev"}],"tool_use_id":"srvtoolu_1","type":"web_search_tool_result"}`)},
			nil,
		},
		{
			"redacted thinking",
			[]string{start(`{"type":"redacted_thinking","data":"b3BhcXVl"}`)},
			llm.Block{Type: "redacted_thinking", Raw: json.RawMessage(`{"data":"b3BhcXVl","type":"redacted_thinking"}`)},
			nil,
		},
		{
			"compaction",
			[]string{start(`{"type":"compaction","content":null}`), delta(`{"type":"compaction_delta","content":"so far","encrypted_content":"ZW5j"}`)},
			llm.Block{Type: "compaction", Raw: json.RawMessage(`{"content":"so far","encrypted_content":"ZW5j","type":"compaction"}`)},
			nil,
		},
		{
			"deltas and events of unknown types",
			[]string{
				`{"type":"brand_new","index":"not a number","delta":7}`, start(`{"type":"text","text":""}`),
				delta(`{"type":"brand_new_delta","text":{"odd":true}}`), delta(`{"type":"text_delta","text":"hi"}`),
			},
			llm.TextBlock("hi"),
			[]string{"text 0 hi"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			events := append([]string{evStart}, c.events...)
			events = append(events, evStop0, evEnd, evStop)
			resp, got, err := ask(t, respond(200, sse(events...)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]llm.Block{c.want}, resp.Content); diff != "" {
				t.Errorf("content (-want +got):\n%s", diff)
			}
			want := append(append([]string{"start 0"}, c.pieces...), "done 0")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSeveralBlocks(t *testing.T) {
	t.Parallel()
	resp, _, err := ask(t, respond(200, sse(evStart,
		`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"now","input":{}}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}`,
		`{"type":"content_block_stop","index":1}`, evStop0,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}}`, evStop)))
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Content) != 2 || resp.Text() != "a" || len(resp.ToolUses()) != 1 || resp.StopReason != "tool_use" {
		t.Errorf("response = %+v", resp)
	}
}
