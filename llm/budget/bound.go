package budget

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// Upper bounds for the tokens of a prompt beside its text: its frame, that of a
// turn and of a tool, the instructions for tools, and an image.
const (
	frameTokens = 64
	turnTokens  = 16
	toolTokens  = 64
	toolsTokens = 2048
	imageTokens = 6000
)

// maxControl is the length of the longest breakpoint of the prompt cache at the end of
// a block: ,"cache_control":{"type":"ephemeral","ttl":"1h"}}
const maxControl = 56

// unbounded is the bound of a prompt that only the model's context limits.
const unbounded = math.MaxInt32

// inputBound returns the most tokens that the prompt can have: no token is
// shorter than a byte. A prompt that the service completes, from a link, a stored
// file or an earlier call, is unbounded.
func inputBound(req *llm.Request) int {
	for _, field := range []string{"thread", "container", "mcp_servers"} {
		if req.Extra[field] != nil {
			return unbounded
		}
	}
	n := frameTokens + len(req.OutputConfig) + len(req.ToolChoice) + len(req.Thinking)
	blocks := func(list []llm.Block) {
		for _, b := range list {
			n += turnTokens + len(b.Text) + len(b.Name) + len(b.Input) + len(b.ID) + len(b.Signature) + blockBound(b)
		}
	}
	blocks(req.System)
	for _, m := range req.Messages {
		n += turnTokens
		blocks(m.Content)
	}
	for _, t := range req.Tools {
		n += toolTokens + toolBound(t)
	}
	if len(req.Tools) > 0 {
		n += toolsTokens
	}
	return min(n, unbounded)
}

// toolBound returns the most tokens of a tool beside its frame. It is the same for a
// tool and for the tool as JSON with a breakpoint of the prompt cache.
func toolBound(t llm.Tool) int {
	if t.Raw != nil {
		return promptBytes(t.Raw)
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return len(t.Name) + len(t.Description) + len(t.InputSchema) + len(t.Raw)
	}
	return promptBytes(raw)
}

// promptBytes returns the length of raw JSON without a breakpoint of the prompt cache
// at its end, which is no part of the prompt.
func promptBytes(raw json.RawMessage) int {
	i := bytes.LastIndex(raw, []byte(`,"cache_control":{`))
	if i < 0 || len(raw)-i > maxControl {
		return len(raw)
	}
	return i + len("}")
}

// blockBound returns the most tokens of a block beside its fields: of an image they do
// not depend on how many bytes it has.
func blockBound(b llm.Block) int {
	if b.Media != nil && b.Media.Pages == 0 {
		return imageTokens
	}
	return rawBound(b.Raw)
}

// rawBound returns the most tokens of a block that is raw JSON.
func rawBound(raw json.RawMessage) int {
	switch {
	case raw == nil:
		return 0
	case !selfContained(raw, 0):
		return unbounded / 4
	}
	return promptBytes(raw) + imageTokens*bytes.Count(raw, []byte(`"image"`))
}

// elsewhere are words in blocks whose content may be elsewhere.
var elsewhere = [][]byte{[]byte(`"document"`), []byte(`"file"`), []byte(`"file_id"`), []byte(`"container_upload"`)}

// selfContained reports whether a block is in the prompt as it is in its JSON, but for
// images. The pages of a document are rendered, so that its size says little, and what is
// behind a link or the id of a file is not known at all.
func selfContained(raw json.RawMessage, depth int) bool {
	if !slices.ContainsFunc(elsewhere, func(word []byte) bool { return bytes.Contains(raw, word) }) {
		return true
	}
	var b struct {
		Type    string          `json:"type"`
		Source  json.RawMessage `json:"source"`
		Content json.RawMessage `json:"content"`
	}
	if depth > maxBlockDepth || json.Unmarshal(raw, &b) != nil {
		return false
	}
	switch b.Type {
	case llm.BlockText, llm.BlockThinking, llm.BlockRedactedThinking, llm.BlockToolUse, "server_tool_use", "image":
		return true
	case llm.BlockToolResult, "search_result", "web_fetch_tool_result", "web_fetch_result":
		return contentContained(b.Content, depth)
	case "document":
		var source struct {
			Type    string          `json:"type"`
			Content json.RawMessage `json:"content"`
		}
		err := json.Unmarshal(b.Source, &source)
		return err == nil && (source.Type == "text" || source.Type == "content" && contentContained(source.Content, depth))
	default:
		return false
	}
}

// maxBlockDepth is how deep blocks are in blocks that the service takes: a document in
// the result of a fetch, and the text in that.
const maxBlockDepth = 4

// contentContained reports whether content, which is a text, a block or a list of
// blocks, is selfContained.
func contentContained(content json.RawMessage, depth int) bool {
	content = bytes.TrimSpace(content)
	if len(content) > 0 && content[0] == '{' {
		return selfContained(content, depth+1)
	}
	var list []json.RawMessage
	if json.Unmarshal(content, &list) != nil {
		return true
	}
	return !slices.ContainsFunc(list, func(raw json.RawMessage) bool { return !selfContained(raw, depth+1) })
}

// serverTools returns what tools on the provider's side add: the most searches,
// and the most further rounds of the model within the call. If that is unknown,
// the reason is not empty.
func serverTools(req *llm.Request) (searches, rounds int, reason string) {
	if req.Extra["mcp_servers"] != nil {
		return 0, 0, "it may use MCP servers as often as it likes; connect them here instead"
	}
	for _, t := range req.Tools {
		var spec struct {
			Type    string `json:"type"`
			MaxUses int    `json:"max_uses"`
		}
		if t.Raw == nil || json.Unmarshal(t.Raw, &spec) != nil || clientTool(spec.Type) {
			continue
		}
		search, fetch := strings.HasPrefix(spec.Type, "web_search"), strings.HasPrefix(spec.Type, "web_fetch")
		switch {
		case !search && !fetch:
			return 0, 0, "the tool " + t.Name + " runs on the provider's side, at a price that is not known"
		case spec.MaxUses <= 0:
			return 0, 0, "the tool " + t.Name + " may be used as often as the model likes; set its max_uses"
		case search:
			searches += spec.MaxUses
		}
		rounds += spec.MaxUses
	}
	return searches, rounds, ""
}

// clientTool reports whether a tool of that type runs on our side.
func clientTool(typ string) bool {
	return typ == "" || slices.ContainsFunc([]string{"custom", "bash_", "text_editor_", "computer_", "memory_"}, func(p string) bool { return strings.HasPrefix(typ, p) })
}

// worst returns the most that one attempt of req can cost if its prompt has at
// most input tokens, written to the prompt cache for an hour if req or hour says so. If that is unknown and a scope has a limit for it, worst
// returns an error.
func (b *Budget) worst(scopes []Scope, req *llm.Request, input int, hour bool) (Amount, error) {
	info, known := b.prices().Info(req.Model)
	output := max(req.MaxTokens, 0)
	searches, rounds, endless := serverTools(req)
	switch {
	case endless != "":
	case !known && (input >= unbounded/4 || rounds > 0):
		endless = "the price table does not have its largest prompt; add the model to prices.yaml"
	case rounds > 0:
		input = info.Context // each use makes the prompt longer, and may bill all of it again
	case known:
		input = min(input, info.Context)
	}
	rate := llm.RateOf(req)
	rate.Hour = rate.Hour || hour
	once, priced := b.prices().WorstCase(req.Model, input, output, rate)
	dear := endless
	if dear == "" && !priced {
		dear = "the price table has no price for it; add one in prices.yaml"
	}
	for _, s := range scopes {
		e := &UnboundedError{Scope: s, Model: req.Model}
		switch {
		case dear != "" && s.Limits.Money != 0:
			e.Kind, e.Reason = Dollars, dear
		case endless != "" && s.Limits.Tokens != 0:
			e.Kind, e.Reason = Tokens, endless
		default:
			continue
		}
		return Amount{}, llm.NewError(llm.CodeInvalid, e.Error(), e)
	}
	return Amount{
		Money:  b.excess.times(once*llm.Money(rounds+1) + b.prices().Searches(searches)),
		Tokens: int64(input+output) * int64(rounds+1),
		Calls:  1,
	}, nil
}
