package sim_test

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/sim"
)

func scriptOf(t testing.TB, text string) *sim.Script {
	t.Helper()
	s, err := sim.ParseScript("s.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const searching = `
rules:
  - when: {task: News, turn: 1}
    server_tools: [{name: web_search, input: {query: go news}}]
    stop_reason: pause_turn
  - when: {task: News}
    thinking: I look further.
    server_tools:
      - {name: web_search, input: {query: go}, results: [{url: "https://go.dev", title: Go, page_age: "1 day ago", cite: Go 1.27 is out.}]}
      - {name: web_fetch, input: {url: "https://go.dev/doc"}, results: [{title: Docs, text: All of it.}]}
      - {name: web_search, input: {query: more}, error: too_many_requests}
      - {name: web_search, input: {query: even more}}
    text: Go 1.27 is out.
`

// TestServerTools lets the SDK read what a script answers with server tools,
// streamed and whole, and send it back after a pause.
func TestServerTools(t *testing.T) {
	_, client := goSDKFor(t, sim.New(sim.Options{Script: scriptOf(t, searching)}))
	params := ask("News")
	params.Model = "claude-opus-5-5"
	params.Tools = []anthropic.ToolUnionParam{
		{OfWebSearchTool20250305: &anthropic.WebSearchTool20250305Param{MaxUses: anthropic.Int(2)}},
		{OfWebFetchTool20250910: &anthropic.WebFetchTool20250910Param{}},
	}
	paused, err := client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if paused.StopReason != "pause_turn" || paused.Usage.ServerToolUse.WebSearchRequests != 1 {
		t.Errorf("paused: %s, %+v", paused.StopReason, paused.Usage.ServerToolUse)
	}
	params.Messages = append(params.Messages, paused.ToParam())
	whole, err := client.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	streamed, _, err := drain(t, client, params)
	if err != nil {
		t.Fatal(err)
	}
	if missing := missingFields("Message", reflect.ValueOf(whole).Elem()); len(missing) > 0 {
		t.Errorf("lacks %q", missing)
	}
	for name, m := range map[string]*anthropic.Message{"whole": whole, "streamed": &streamed} {
		var kinds, errs []string
		text := ""
		for _, b := range m.Content {
			kinds = append(kinds, b.Type)
			switch b := b.AsAny().(type) {
			case anthropic.WebSearchToolResultBlock:
				if e := b.Content.AsResponseWebSearchToolResultError(); e.ErrorCode != "" {
					errs = append(errs, string(e.ErrorCode))
				} else if r := b.Content.AsWebSearchResultBlockArray(); r[0].URL != "https://go.dev" || r[0].EncryptedContent == "" || r[0].PageAge != "1 day ago" {
					t.Errorf("%s: found %+v", name, r)
				}
			case anthropic.WebFetchToolResultBlock:
				if doc := b.Content.AsResponseWebFetchResultBlock(); doc.Content.Source.Data != "All of it." || doc.URL != "https://go.dev/doc" {
					t.Errorf("%s: fetched %+v", name, doc)
				}
			case anthropic.TextBlock:
				text = b.Text
				if len(b.Citations) != 1 || b.Citations[0].URL != "https://go.dev" || b.Citations[0].CitedText != "Go 1.27 is out." {
					t.Errorf("%s: cites %+v", name, b.Citations)
				}
			}
		}
		want := "[thinking server_tool_use web_search_tool_result server_tool_use web_fetch_tool_result server_tool_use web_search_tool_result server_tool_use web_search_tool_result text]"
		if fmt.Sprint(kinds) != want || fmt.Sprint(errs) != "[too_many_requests max_uses_exceeded]" || text != "Go 1.27 is out." || m.StopReason != "end_turn" {
			t.Errorf("%s: %s, %s, errors %s, %q", name, m.StopReason, kinds, errs, text)
		}
		if u := m.Usage.ServerToolUse; u.WebSearchRequests != 1 || u.WebFetchRequests != 1 {
			t.Errorf("%s: counted %+v", name, u)
		}
	}
	params.Tools = params.Tools[1:] // a model cannot call what it is not offered
	if _, err := client.Messages.New(t.Context(), params); err == nil || !strings.Contains(err.Error(), "web_search, which the request does not offer") {
		t.Errorf("not offered: %v", err)
	}
}

// loopRequest returns a request of an agent's loop with n finished calls, as the
// client sends it: the breakpoint moves with the last message.
func loopRequest(n int, size func(int) int, more object) object {
	mark := object{"type": "ephemeral"}
	text := func(i int) string { return strings.Repeat("word ", size(i)) }
	list := []object{{"role": "user", "content": []object{{"type": "text", "text": "Look at everything"}}}}
	for i := range n {
		id := fmt.Sprintf("toolu_%d", i)
		list = append(list,
			object{"role": "assistant", "content": []object{{"type": "tool_use", "id": id, "name": "Read", "input": object{"file_path": id}}}},
			object{"role": "user", "content": []object{{"type": "tool_result", "tool_use_id": id, "content": text(i)}}})
	}
	last := list[len(list)-1]["content"].([]object)
	last[len(last)-1]["cache_control"] = mark
	body := object{
		"model": "claude-opus-5-5", "max_tokens": 900, "messages": list,
		"tools":  []object{{"name": "Read", "input_schema": object{"type": "object"}}},
		"system": []object{{"type": "text", "text": strings.Repeat("rule ", 900), "cache_control": mark}},
	}
	maps.Copy(body, more)
	return body
}

// TestMovingBreakpoint checks what the service counts for a conversation that
// grows: each request reads what the one before it read and wrote, and writes what
// is new.
func TestMovingBreakpoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 900), 20, 20).Draw(t, "sizes")
		server := sim.New(sim.Options{})
		before, step := 0, 0
		for n := 0; n <= 20; n += step {
			u := answerTo(t, server, encode(t, loopRequest(n, func(i int) int { return sizes[i] }, nil))).Usage
			if u.Read != before || u.Input != 0 {
				t.Fatalf("request with %d calls: %+v; want %d read and all else written", n, u, before)
			}
			before = u.Read + u.Write
			step = rapid.IntRange(1, 9).Draw(t, "step") // up to 18 blocks are looked back
		}
	})
}

// TestCacheVariants changes what the messages depend on, but not tools and system.
func TestCacheVariants(t *testing.T) {
	size := func(int) int { return 500 }
	for name, c := range map[string]struct {
		change object
		all    bool // everything is written again
	}{
		"same":      {change: object{"tool_choice": object{"type": "auto"}}},
		"no tools":  {change: object{"tool_choice": object{"type": "none"}}},
		"effort":    {change: object{"output_config": object{"effort": "low"}}},
		"format":    {object{"output_config": object{"format": object{"type": "json_schema", "schema": object{"type": "object", "additionalProperties": false}}}}, true},
		"deferred":  {change: object{"tools": []object{{"name": "Read", "input_schema": object{"type": "object"}}, {"name": "Later", "defer_loading": true, "input_schema": object{"type": "object"}}}}},
		"more tool": {object{"tools": []object{{"name": "Read", "input_schema": object{"type": "object"}}, {"name": "Write", "input_schema": object{"type": "object"}}}}, true},
	} {
		server := sim.New(sim.Options{})
		head := answerTo(t, server, encode(t, loopRequest(0, size, nil))).Usage
		first := answerTo(t, server, encode(t, loopRequest(2, size, nil))).Usage
		u := answerTo(t, server, encode(t, loopRequest(2, size, c.change))).Usage
		total := first.Read + first.Write
		switch {
		case c.all && u.Read != 0, !c.all && u.Read == 0,
			(name == "same" || name == "deferred") && u.Read != total,
			(name == "no tools" || name == "effort") && (u.Read >= head.Write || u.Read == 0):
			t.Errorf("%s: %+v after %+v", name, u, first)
		}
	}
}

// TestContextEdits clears old tool results, as the service reports it.
func TestContextEdits(t *testing.T) {
	server := sim.New(sim.Options{})
	_, client := goSDKFor(t, server)
	var list []anthropic.BetaMessageParam
	list = append(list, anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("Look at everything")))
	for i := range 6 {
		id, name := fmt.Sprintf("toolu_%d", i), "Read"
		if i == 1 {
			name = "Keep"
		}
		list = append(list,
			anthropic.BetaMessageParam{OfAssistant: &anthropic.BetaAssistantMessageParam{Content: []anthropic.BetaContentBlockParamUnion{anthropic.NewBetaToolUseBlock(id, object{"path": strings.Repeat("x", 400)}, name)}}},
			anthropic.NewBetaUserMessage(anthropic.NewBetaToolResultBlock(id, strings.Repeat("word ", 1000), false)))
	}
	ask := func(edit anthropic.BetaClearToolUses20250919EditParam) (*anthropic.BetaMessage, *anthropic.BetaMessageTokensCount) {
		t.Helper()
		edits := anthropic.BetaContextManagementConfigParam{Edits: []anthropic.BetaContextManagementConfigEditUnionParam{{OfClearToolUses20250919: &edit}}}
		betas := []anthropic.AnthropicBeta{anthropic.AnthropicBetaContextManagement2025_06_27}
		m, err := client.Beta.Messages.New(t.Context(), anthropic.BetaMessageNewParams{Model: "claude-haiku-5-5", MaxTokens: 900, Messages: list, ContextManagement: edits, Betas: betas})
		if err != nil {
			t.Fatal(err)
		}
		count, err := client.Beta.Messages.CountTokens(t.Context(), anthropic.BetaMessageCountTokensParams{Model: "claude-haiku-5-5", Messages: list, ContextManagement: edits, Betas: betas})
		if err != nil {
			t.Fatal(err)
		}
		if count.InputTokens != m.Usage.InputTokens {
			t.Errorf("%d tokens counted, %d billed", count.InputTokens, m.Usage.InputTokens)
		}
		return m, count
	}
	trigger := anthropic.BetaClearToolUses20250919EditTriggerUnionParam{OfInputTokens: &anthropic.BetaInputTokensTriggerParam{Value: 5000}}
	below, count := ask(anthropic.BetaClearToolUses20250919EditParam{})
	if len(below.ContextManagement.AppliedEdits) != 0 || count.ContextManagement.OriginalInputTokens != count.InputTokens {
		t.Errorf("below 100,000 tokens: %+v", below.ContextManagement)
	}
	m, count := ask(anthropic.BetaClearToolUses20250919EditParam{Trigger: trigger, ExcludeTools: []string{"Keep"}})
	edits := m.ContextManagement.AppliedEdits
	if len(edits) != 1 || edits[0].ClearedToolUses != 2 || edits[0].ClearedInputTokens < 2000 || count.ContextManagement.OriginalInputTokens-count.InputTokens != edits[0].ClearedInputTokens {
		t.Errorf("cleared %+v of %+v", edits, count)
	}
	inputs, _ := ask(anthropic.BetaClearToolUses20250919EditParam{Trigger: trigger, ExcludeTools: []string{"Keep"},
		ClearToolInputs: anthropic.BetaClearToolUses20250919EditClearToolInputsUnionParam{OfBool: anthropic.Bool(true)}})
	if inputs.ContextManagement.AppliedEdits[0].ClearedInputTokens < edits[0].ClearedInputTokens+200 {
		t.Errorf("with inputs: %+v", inputs.ContextManagement)
	}
	if m, _ := ask(anthropic.BetaClearToolUses20250919EditParam{Trigger: trigger, ClearAtLeast: anthropic.BetaInputTokensClearAtLeastParam{Value: 50_000}}); len(m.ContextManagement.AppliedEdits) != 0 {
		t.Errorf("cleared less than demanded: %+v", m.ContextManagement)
	}
	if m, _ := ask(anthropic.BetaClearToolUses20250919EditParam{Trigger: anthropic.BetaClearToolUses20250919EditTriggerUnionParam{OfToolUses: &anthropic.BetaToolUsesTriggerParam{Value: 5}},
		Keep: anthropic.BetaToolUsesKeepParam{Value: 1}}); m.ContextManagement.AppliedEdits[0].ClearedToolUses != 5 {
		t.Errorf("by uses: %+v", m.ContextManagement)
	}
}

// TestCompaction lets the service summarize a conversation, and goes on with it.
func TestCompaction(t *testing.T) {
	_, client := goSDKFor(t, sim.New(sim.Options{}))
	params := anthropic.BetaMessageNewParams{
		Model: "claude-haiku-5-5", MaxTokens: 900, Betas: []anthropic.AnthropicBeta{anthropic.AnthropicBetaCompact2026_01_12},
		Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("Sum up. " + strings.Repeat("word ", 50_000)))},
		ContextManagement: anthropic.BetaContextManagementConfigParam{Edits: []anthropic.BetaContextManagementConfigEditUnionParam{{OfCompact20260112: &anthropic.BetaCompact20260112EditParam{
			Trigger: anthropic.BetaInputTokensTriggerParam{Value: 50_000}}}}},
	}
	m, err := client.Beta.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{}
	for _, it := range m.Usage.Iterations {
		kinds = append(kinds, it.Type)
	}
	if m.Content[0].Type != "compaction" || m.StopReason != "end_turn" || fmt.Sprint(kinds) != "[compaction message]" || m.Usage.InputTokens > 1000 {
		t.Errorf("%s %s, iterations %s, %d tokens", m.Content[0].Type, m.StopReason, kinds, m.Usage.InputTokens)
	}
	params.Messages = append(params.Messages, m.ToParam(), anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("Go on")))
	after, err := client.Beta.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if after.Content[0].Type == "compaction" || after.Usage.InputTokens > 2000 {
		t.Errorf("after the summary: %s, %d tokens", after.Content[0].Type, after.Usage.InputTokens)
	}
}

// TestOnlyText offers tools with any prompt: without a marker, a forced tool or a
// script, the simulator answers with text, so a client runs nothing.
func TestOnlyText(t *testing.T) {
	server := sim.New(sim.Options{})
	words := append([]string{"[simulate: call Bash] now", "x [simulate: call Bash]", "</system-reminder>", "</file>", "run it", "!", "$(id)"}, promptWords...)
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string {
			return "Do " + strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 12).Draw(t, label), " ")
		}
		blocks := []object{}
		for range rapid.IntRange(0, 2).Draw(t, "blocks") { // instructions of a project, with markers that would count in a task
			blocks = append(blocks, object{"type": "text", "text": text("context") + "\n[simulate: call Bash]\n"})
		}
		blocks = append(blocks, object{"type": "text", "text": text("task")})
		body := object{"model": "claude-haiku-5-5", "max_tokens": 2000, "messages": []object{{"role": "user", "content": blocks}},
			"system": "Run Bash.\n[simulate: call Bash]\n", "tools": agentTools[:rapid.IntRange(1, len(agentTools)).Draw(t, "tools")]}
		r := answerTo(t, server, encode(t, body))
		for _, b := range r.Content {
			if b.Type != "text" && b.Type != "thinking" {
				t.Fatalf("called %s with %s", b.Name, encode(t, b.Input))
			}
		}
		if r.StopReason != "end_turn" {
			t.Fatalf("stopped for %s", r.StopReason)
		}
	})
}
