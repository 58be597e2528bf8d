package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Types of context edits.
const (
	clearToolUses = "clear_tool_uses_20250919"
	clearThinking = "clear_thinking_20251015"
	compactEdit   = "compact_20260112"
)

// clearedText replaces the content of a tool result that an edit clears.
const clearedText = "[cleared to save context]"

// contextEdit is one edit of a request's context_management.
type contextEdit struct {
	Type            string          `json:"type"`
	Trigger         *amount         `json:"trigger"`
	Keep            json.RawMessage `json:"keep"` // an amount, or "all"
	ClearAtLeast    *amount         `json:"clear_at_least"`
	ExcludeTools    []string        `json:"exclude_tools"`
	ClearToolInputs json.RawMessage `json:"clear_tool_inputs"` // a bool, or names of tools
	Pause           bool            `json:"pause_after_compaction"`
	Instructions    *string         `json:"instructions"`
}

// amount is a number of tokens, tool uses or turns.
type amount struct {
	Type  string `json:"type"`
	Value int    `json:"value"`
}

// appliedEdit is one edit as an answer reports it.
type appliedEdit struct {
	Type     string `json:"type"`
	ToolUses *int   `json:"cleared_tool_uses,omitempty"`
	Thinking *int   `json:"cleared_thinking_turns,omitempty"`
	Tokens   int    `json:"cleared_input_tokens"`
}

// contextEdits holds what context_management and compaction do to a request.
type contextEdits struct {
	edits    []contextEdit
	original int           // tokens before the edits
	applied  []appliedEdit // never nil
	compacts bool          // the answer begins with a summary of the conversation
	pauses   bool          // and ends with it
}

// checkContext parses and validates context_management and compaction.
func (r *request) checkContext(string) *apiError {
	if c := r.Compaction; c != nil {
		switch {
		case !strings.Contains(r.beta, "compact-2026-09-04"):
			return invalid("compaction: Extra inputs are not permitted")
		case c.Type != "summarize":
			return invalid("compaction.type: Input should be 'summarize'")
		}
	}
	if r.ContextManagement == nil {
		return nil
	}
	var config struct {
		Edits []contextEdit `json:"edits"`
	}
	if err := json.Unmarshal(r.ContextManagement, &config); err != nil {
		return invalid("context_management: " + err.Error())
	}
	seen := map[string]bool{}
	for i, e := range config.Edits {
		field := fmt.Sprintf("context_management.edits.%d", i)
		switch beta := "context-management-2025-06-27"; {
		case !slices.Contains([]string{clearToolUses, clearThinking, compactEdit}, e.Type):
			return invalid(fmt.Sprintf("%s: Input tag '%s' found using 'type' does not match any of the expected tags: '%s', '%s', '%s'", field, e.Type, clearThinking, clearToolUses, compactEdit))
		case e.Type == compactEdit && !strings.Contains(r.beta, "compact-2026-01-12"),
			e.Type != compactEdit && !strings.Contains(r.beta, beta):
			return invalid("context_management: Extra inputs are not permitted")
		case seen[e.Type]:
			return invalid(field + ": each edit may be given once")
		case e.Type == clearThinking && i > 0:
			return invalid(field + ": `" + clearThinking + "` must be the first edit")
		case e.Trigger != nil && e.Trigger.Type != "input_tokens" && (e.Trigger.Type != "tool_uses" || e.Type != clearToolUses):
			return invalid(field + ".trigger.type: Input should be 'input_tokens' or 'tool_uses'")
		case e.Type == compactEdit && e.Trigger != nil && e.Trigger.Value < 50_000:
			return invalid(field + ".trigger.value: Input should be greater than or equal to 50000")
		case e.Trigger != nil && e.Trigger.Value < 1:
			return invalid(field + ".trigger.value: Input should be greater than or equal to 1")
		case e.ClearAtLeast != nil && e.ClearAtLeast.Type != "input_tokens":
			return invalid(field + ".clear_at_least.type: Input should be 'input_tokens'")
		}
		if _, ok := e.keeps(); !ok {
			return invalid(field + ".keep: Input should be a number of what is kept")
		}
		seen[e.Type] = true
	}
	r.context.edits = config.Edits
	return nil
}

// keeps returns how much an edit keeps; -1 for all of it.
func (e *contextEdit) keeps() (n int, ok bool) {
	unit, n := "tool_uses", 3
	if e.Type == clearThinking {
		unit, n = "thinking_turns", 1
	}
	if len(e.Keep) == 0 || string(e.Keep) == "null" {
		return n, true
	}
	var keep amount
	if string(e.Keep) == `"all"` || json.Unmarshal(e.Keep, &keep) == nil && keep.Type == "all" {
		return -1, e.Type == clearThinking
	}
	return keep.Value, keep.Type == unit && keep.Value >= 0
}

// edit applies the context edits to the request, as they apply to what the model
// reads. The client's own conversation stays as it is.
func (r *request) edit() {
	c := &r.context
	c.applied = []appliedEdit{}
	r.dropCompacted()
	c.original = r.tokens()
	for i := range c.edits {
		switch e := &c.edits[i]; e.Type {
		case clearToolUses:
			r.clearToolUses(e)
		case clearThinking:
			r.clearThinking(e)
		case compactEdit:
			limit := 150_000
			if e.Trigger != nil {
				limit = e.Trigger.Value
			}
			c.compacts = r.tokens() > limit
			c.pauses = e.Pause
		}
	}
	if r.Compaction != nil {
		c.compacts, c.pauses = true, true
	}
}

// dropCompacted excludes what the last compaction block summarizes from the prompt.
func (r *request) dropCompacted() {
	for i, m := range r.Messages {
		for j := range m.Content {
			if b := &m.Content[j]; b.Type == "compaction" && b.summarizes {
				r.promptFrom = [2]int{i, j}
			}
		}
	}
}

// clearToolUses replaces the contents of the oldest tool results.
func (r *request) clearToolUses(e *contextEdit) {
	limit, unit := 100_000, "input_tokens"
	if e.Trigger != nil {
		limit, unit = e.Trigger.Value, e.Trigger.Type
	}
	uses := map[string]*block{} // by id, which is unique
	var results []*block
	for i := range r.Messages {
		for j := range r.Messages[i].Content {
			switch b := &r.Messages[i].Content[j]; b.Type {
			case "tool_use":
				uses[b.ID] = b
			case "tool_result":
				results = append(results, b)
			}
		}
	}
	if unit == "input_tokens" && r.tokens() <= limit || unit == "tool_uses" && len(uses) <= limit {
		return
	}
	keep, _ := e.keeps()
	inputs := e.clearsInputs()
	before := r.tokens()
	type state struct {
		at  *block
		was block
	}
	var cleared []state
	count := 0
	for _, b := range results[:max(0, len(results)-keep)] {
		use := uses[b.ToolUseID]
		if slices.Contains(e.ExcludeTools, use.Name) || b.text() == clearedText {
			continue
		}
		cleared = append(cleared, state{b, *b})
		count++
		b.clear()
		if inputs(use.Name) {
			cleared = append(cleared, state{use, *use})
			use.clear()
		}
	}
	gained := before - r.tokens()
	if count == 0 || e.ClearAtLeast != nil && gained < e.ClearAtLeast.Value {
		for _, s := range cleared {
			*s.at = s.was
		}
		return
	}
	r.context.applied = append(r.context.applied, appliedEdit{Type: e.Type, ToolUses: &count, Tokens: gained})
}

// clearsInputs returns a function that reports whether the input of a tool is
// cleared too.
func (e *contextEdit) clearsInputs() func(tool string) bool {
	var all bool
	var named []string
	if json.Unmarshal(e.ClearToolInputs, &all) != nil {
		_ = json.Unmarshal(e.ClearToolInputs, &named) // neither form means none
	}
	return func(tool string) bool { return all || slices.Contains(named, tool) }
}

// clear removes the content of a tool result, or the input of a tool use.
func (b *block) clear() {
	if b.Type == "tool_use" {
		b.Input = json.RawMessage("{}")
		b.raw = fmt.Appendf(nil, `{"type":"tool_use","id":%q,"name":%q,"input":{}}`, b.ID, b.Name)
		b.size = utf8.RuneCount(b.raw)
		return
	}
	b.Content = blocks{{Type: "text", Text: clearedText, size: len(clearedText)}}
	b.size = utf8.RuneCountInString(b.ToolUseID) + len(clearedText)
	b.raw = fmt.Appendf(nil, `{"type":"tool_result","tool_use_id":%q,"content":%q}`, b.ToolUseID, clearedText)
}

// clearThinking removes the thinking of the oldest turns.
func (r *request) clearThinking(e *contextEdit) {
	keep, _ := e.keeps()
	if keep < 0 {
		return
	}
	before, turns := r.tokens(), 0
	for i := len(r.Messages) - 1; i >= 0; i-- {
		m := &r.Messages[i]
		isThinking := func(b block) bool { return b.Type == "thinking" || b.Type == "redacted_thinking" }
		if m.Role != "assistant" || !slices.ContainsFunc(m.Content, isThinking) {
			continue
		}
		if turns++; turns > keep {
			m.Content = slices.DeleteFunc(slices.Clone(m.Content), isThinking)
		}
	}
	if cleared := turns - keep; cleared > 0 {
		r.context.applied = append(r.context.applied, appliedEdit{Type: e.Type, Thinking: &cleared, Tokens: before - r.tokens()})
	}
}

// appliedEdits returns the context_management of the answer.
func (r *request) appliedEdits() json.RawMessage {
	return encode(map[string]any{"applied_edits": r.context.applied})
}

// summary returns the simulated summary of a conversation.
func (r *request) summary() string {
	return fmt.Sprintf("Simulated summary of %d messages. The task: %s", len(r.Messages), quote(r.task(), 200))
}

// compact puts the summary first into an answer. If the answer pauses after it,
// it holds nothing else.
func (r *request) compact(a *answer, src *source) {
	block := content{Type: "compaction", Text: r.summary(), Signature: src.id("cmp_", "1")}
	if r.context.pauses {
		a.content, a.stopReason, a.stopSequence, a.details, a.output, a.thought = nil, "compaction", nil, nil, 0, 0
	}
	a.content = append([]content{block}, a.content...)
}

// billCompaction moves what the prompt took to an iteration of its own: usage has
// only the answer's iteration, which reads the summary.
func (r *request) billCompaction(u *usage) {
	type iteration struct {
		Type          string        `json:"type"`
		InputTokens   int           `json:"input_tokens"`
		OutputTokens  int           `json:"output_tokens"`
		CacheCreation int           `json:"cache_creation_input_tokens"`
		CacheRead     int           `json:"cache_read_input_tokens"`
		Writes        cacheCreation `json:"cache_creation"`
	}
	summary := r.model.count(len(r.summary()))
	list := []iteration{{"compaction", u.InputTokens, summary, u.CacheCreation, u.CacheRead, u.Writes}}
	u.InputTokens, u.CacheCreation, u.CacheRead, u.Writes = 0, 0, 0, cacheCreation{}
	if !r.context.pauses {
		u.InputTokens = summary
		for p := range r.prefix {
			if !p.inMessage {
				u.InputTokens += p.tokens
			}
		}
		list = append(list, iteration{Type: "message", InputTokens: u.InputTokens, OutputTokens: u.OutputTokens})
	}
	u.Iterations = encode(list)
}
