package llm_test

import (
	"encoding/json"
	"testing"

	"github.com/claude-force/claude-force/llm"
)

func TestCheckAnswer(t *testing.T) {
	t.Parallel()
	text, blank := llm.TextBlock("Yes."), llm.TextBlock(" \n\t")
	thinking := llm.Block{Type: llm.BlockThinking, Text: "Well"}
	redacted := llm.Block{Type: llm.BlockRedactedThinking, Raw: json.RawMessage(`{"type":"redacted_thinking","data":"x"}`)}
	search := llm.Block{Type: "server_tool_use", Raw: json.RawMessage(`{"type":"server_tool_use"}`)}
	tool := llm.Block{Type: llm.BlockToolUse, ID: "t", Name: "cat", Input: json.RawMessage(`{}`)}
	for name, c := range map[string]struct {
		stop    string
		content []llm.Block
		tools   bool
		stops   bool
		want    llm.Code // 0 for an answer
	}{
		"text":                             {llm.StopEndTurn, []llm.Block{text}, false, false, 0},
		"thinking and text":                {llm.StopEndTurn, []llm.Block{thinking, redacted, text}, false, false, 0},
		"cut text":                         {llm.StopMaxTokens, []llm.Block{text}, false, false, 0},
		"a reason from the future":         {"tired", []llm.Block{text}, false, false, 0},
		"a reason from the future, silent": {"tired", nil, false, false, llm.CodeOutput},
		"nothing":                          {llm.StopEndTurn, nil, false, false, llm.CodeOutput},
		"blank":                            {llm.StopEndTurn, []llm.Block{blank}, false, false, llm.CodeOutput},
		"thinking alone":                   {llm.StopEndTurn, []llm.Block{thinking}, false, false, llm.CodeOutput},
		"cut before text":                  {llm.StopMaxTokens, []llm.Block{thinking}, false, false, llm.CodeOutput},
		"refusal":                          {llm.StopRefusal, []llm.Block{text}, false, false, llm.CodeInvalid},
		"full window":                      {llm.StopContextWindow, []llm.Block{text}, false, false, llm.CodeTooLarge},
		"full window, tools":               {llm.StopContextWindow, []llm.Block{tool}, true, false, llm.CodeTooLarge},
		"tool without tools":               {llm.StopToolUse, []llm.Block{text, tool}, false, false, llm.CodeOutput},
		"tool at the turn's end":           {llm.StopEndTurn, []llm.Block{text, tool}, false, false, llm.CodeOutput},
		"tool":                             {llm.StopToolUse, []llm.Block{tool}, true, false, 0},
		"tool use without a tool":          {llm.StopToolUse, []llm.Block{text}, true, false, llm.CodeOutput},
		"unknown block":                    {llm.StopEndTurn, []llm.Block{search, text}, false, false, llm.CodeOutput},
		"tools of the service":             {llm.StopEndTurn, []llm.Block{search, text}, true, false, 0},
		"pause":                            {llm.StopPauseTurn, []llm.Block{text}, false, false, llm.CodeOutput},
		"pause, tools":                     {llm.StopPauseTurn, []llm.Block{search}, true, false, 0},
		"compaction":                       {llm.StopCompaction, []llm.Block{text}, false, false, llm.CodeOutput},
		"blank, tools":                     {llm.StopEndTurn, []llm.Block{blank}, true, false, llm.CodeOutput},
		"thinking alone, tools":            {llm.StopEndTurn, []llm.Block{thinking}, true, false, llm.CodeOutput},
		"unknown block alone, tools":       {llm.StopEndTurn, []llm.Block{search}, true, false, llm.CodeOutput},
		"cut before text, tools":           {llm.StopMaxTokens, []llm.Block{thinking}, true, false, llm.CodeOutput},
		"stop sequence first":              {llm.StopSequence, nil, false, true, 0},
		"a stop sequence that none set":    {llm.StopSequence, nil, false, false, llm.CodeOutput},
	} {
		req := &llm.Request{MaxTokens: 10}
		if c.tools {
			req.Tools = []llm.Tool{{Name: "cat"}}
		}
		if c.stops {
			req.StopSequences = []string{"."}
		}
		if got := llm.CodeOf(llm.CheckAnswer(req, &llm.Response{StopReason: c.stop, Content: c.content})); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestCheckAnswerAfterTools takes an end without words from an agent that has worked
// with tools.
func TestCheckAnswerAfterTools(t *testing.T) {
	t.Parallel()
	result := llm.Block{Type: llm.BlockToolResult, ID: "t", Text: "done"}
	req := &llm.Request{MaxTokens: 10, Tools: []llm.Tool{{Name: "cat"}}, Messages: []llm.Message{{Role: llm.RoleUser, Content: []llm.Block{result}}}}
	if err := llm.CheckAnswer(req, &llm.Response{StopReason: llm.StopEndTurn, Content: []llm.Block{llm.TextBlock(" ")}}); err != nil {
		t.Error(err)
	}
}
