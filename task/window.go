package task

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// window keeps the conversation of a loop within the context window of its model: the
// service clears old results of tools once there are many, and a conversation that
// still becomes too long is replaced by a summary. What it does depends on the
// conversation alone, so that a loop which goes on in another process sends the same
// requests.
type window struct {
	runner *Runner
	model  string
	task   []llm.Block // the user turn that says what to do
	size   int         // most tokens of a prompt and its answer; 0 if unknown
	edits  bool        // the service may clear results
}

// Bounds of a conversation, in tokens.
const (
	clearAt   = 100_000 // from here on results are cleared; less in a small window
	clearMost = 10_000  // that a clearing frees at least, as the prompt cache loses what follows
	keepUses  = 5       // calls whose results stay
)

// contextBeta lets a request have context_management.
const contextBeta = "context-management-2025-06-27"

func (r *Runner) window(req *llm.Request) *window {
	w := &window{runner: r, model: req.Model, task: req.Messages[len(req.Messages)-1].Content}
	if info, ok := r.Prices.Info(req.Model); ok {
		w.size, w.edits = info.Context, !r.Defaults.NoContextEdits
	}
	return w
}

// exchange is an answer that called tools, and what answers it.
type exchange struct {
	req    *llm.Request // that was answered
	answer *llm.Response
	input  []llm.Block // the user turn that follows; may be empty
}

// estimate returns about how many tokens the prompt of the next request has. Results
// are rather code than prose.
func (w *window) estimate(e exchange) int {
	before := e.answer.Usage.PromptTokens() + e.answer.Usage.OutputTokens
	return before + tokensOf(e.input)
}

// tokensOf returns about how many tokens the blocks have, without images and documents.
func tokensOf(blocks []llm.Block) int {
	const perToken = 3 // bytes
	size := 0
	for _, b := range blocks {
		size += Characters(b)
	}
	return size / perToken
}

// Characters returns the size of the text of a block, whatever its type; 0 for an image or
// a document.
func Characters(b llm.Block) int {
	switch {
	case b.Raw == nil:
		return len(b.Text) + len(b.Input)
	case strings.Contains(string(b.Raw), `"base64"`):
		return 0
	}
	return len(b.Raw)
}

// full reports whether the prompt of the next request would leave no room for an
// answer.
func (w *window) full(e exchange) bool {
	if w.size == 0 {
		return false
	}
	room := min(e.req.MaxTokens, w.size/4)
	return w.estimate(e) > (w.size-room)*9/10
}

// edit has the service clear old results from the next request on, once the
// conversation, of about size tokens, is long enough that it might have to. It stays
// so: what was cleared must not come back.
func (w *window) edit(next *llm.Request, size int) error {
	at := min(clearAt, w.size/2)
	if !w.edits || size < at/2 || next.Extra["context_management"] != nil {
		return nil
	}
	type tokens struct {
		Type  string `json:"type"`
		Value int    `json:"value"`
	}
	management, err := json.Marshal(map[string]any{"edits": []any{map[string]any{
		"type": "clear_tool_uses_20250919", "trigger": tokens{"input_tokens", at}, "keep": tokens{"tool_uses", keepUses},
		"clear_at_least": tokens{"input_tokens", min(clearMost, at/4)}, "exclude_tools": []string{"Agent", "Skill", "TodoWrite"},
	}}})
	if err != nil {
		return err
	}
	extra := map[string]json.RawMessage{"context_management": management}
	maps.Copy(extra, next.Extra) // which has none
	next.Extra = extra
	if !slices.Contains(next.Betas, contextBeta) {
		next.Betas = append(slices.Clip(next.Betas), contextBeta)
	}
	return nil
}

// refused reports whether the service, or a gateway before it, does not know the edits
// that a request asks for.
func (w *window) refused(req *llm.Request, err error) bool {
	return req.Extra["context_management"] != nil && llm.CodeOf(err) == llm.CodeInvalid &&
		(strings.Contains(err.Error(), "context_management") || strings.Contains(err.Error(), contextBeta))
}

// withoutEdits returns a request without edits. The following ones have none either.
func (w *window) withoutEdits(req *llm.Request) *llm.Request {
	w.edits = false
	bare := *req
	bare.Extra = maps.Clone(req.Extra)
	delete(bare.Extra, "context_management")
	bare.Betas = slices.DeleteFunc(slices.Clone(req.Betas), func(beta string) bool { return beta == contextBeta })
	return &bare
}

const askSummary = `The conversation is about to be replaced by a summary, since it is too long for your context. Write that summary now, for yourself, and call no tool. Say all that you need to finish the task without asking again: what the task is and how far it is done, what you found (paths, names, numbers, exact texts), what you changed, what failed and why, what you were about to do, and what is still to be done.`

// compact returns a request that goes on with a summary in place of the conversation
// up to the last exchange, which stays word for word. The summary is one more call of
// the model, a turn like others; the outcome is what it took.
func (w *window) compact(ctx context.Context, t Task, e exchange) (*llm.Request, llm.Outcome, error) {
	ask := *e.req
	ask.Continues = false
	ask.OutputConfig = withoutFormat(ask.OutputConfig)
	ask.Messages = append(slices.Clip(e.req.Messages), llm.UserText(askSummary)) // the service joins turns of one role
	outcome, answer, _, err := w.runner.turn(ctx, t, &ask, nil)
	if err == nil && strings.TrimSpace(answer.Text()) == "" {
		// It called a tool. That it must not costs the prompt cache of the conversation.
		ask.ToolChoice = json.RawMessage(`{"type":"none"}`)
		var again llm.Outcome
		again, answer, _, err = w.runner.turn(ctx, t, &ask, nil)
		outcome = again.AddCost(outcome)
	}
	if err != nil {
		return nil, outcome, fmt.Errorf("summarizing a conversation that is too long: %w", err)
	}
	summary := strings.TrimSpace(answer.Text())
	if summary == "" {
		summary = "(There is no summary. Look at the files to see how far the task is done.)"
	}
	next := *e.req
	content := append(slices.Clone(w.task), llm.TextBlock("Your conversation so far was too long, and you summarized it:\n\n"+summary))
	next.Messages = []llm.Message{{Role: llm.RoleUser, Content: append(content, w.recent(e)...)}}
	return &next, outcome, nil
}

// recent returns the last exchange as texts and pictures of a user turn, within a
// part of the window.
func (w *window) recent(e exchange) []llm.Block {
	const fallback = 100_000
	left := fallback // bytes
	if w.size > 0 {
		left = w.size // about a third of the window, in tokens
	}
	var text strings.Builder
	text.WriteString("What you did then, word for word. Go on from there:\n")
	cut := func(s string) string {
		if len(s) > left {
			s = strings.ToValidUTF8(s[:max(left, 0)], "") + "\n[cut: the rest is too long; call again for a part of it]"
		}
		left -= len(s)
		return s
	}
	names := map[string]string{}
	for _, b := range e.answer.Content {
		switch b.Type {
		case llm.BlockText:
			text.WriteString("\n" + cut(b.Text) + "\n")
		case llm.BlockToolUse:
			names[b.ID] = b.Name
			text.WriteString("\n" + llm.Fence("call", "tool", b.Name, cut(string(b.Input))) + "\n")
		}
	}
	var pictures []llm.Block
	for _, b := range e.input {
		switch b.Type {
		case llm.BlockToolResult:
			said, more := resultText(b)
			pictures = append(pictures, more...)
			text.WriteString("\n" + llm.Fence("result", "of", names[b.ID], cut(said)) + "\n")
		case llm.BlockText:
			text.WriteString("\n" + cut(b.Text) + "\n")
		default:
			pictures = append(pictures, b)
		}
	}
	return append(pictures, llm.TextBlock(text.String()))
}

// resultText returns the text of a result, and its blocks that are no text.
func resultText(b llm.Block) (text string, others []llm.Block) {
	if b.Raw == nil {
		return b.Text, nil
	}
	var result struct {
		Content []llm.Block `json:"content"`
	}
	if json.Unmarshal(b.Raw, &result) != nil {
		return b.Text, nil
	}
	for _, inner := range result.Content {
		if inner.Type == llm.BlockText {
			text += inner.Text + "\n"
		} else {
			others = append(others, inner)
		}
	}
	return text, others
}

// withoutFormat returns an output_config without the format of the output: a summary
// has none.
func withoutFormat(config json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(config, &fields) != nil || fields["format"] == nil {
		return config
	}
	delete(fields, "format")
	if len(fields) == 0 {
		return nil
	}
	// A map of JSON is always encoded.
	out, _ := json.Marshal(fields)
	return out
}
