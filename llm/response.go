package llm

import (
	"slices"
	"strings"
	"time"
)

// Reasons why an answer stopped. The list is open.
const (
	StopEndTurn       = "end_turn"
	StopMaxTokens     = "max_tokens"
	StopSequence      = "stop_sequence"
	StopToolUse       = "tool_use"
	StopPauseTurn     = "pause_turn"
	StopRefusal       = "refusal"
	StopContextWindow = "model_context_window_exceeded"
	StopCompaction    = "compaction"
)

// Source is where an answer came from.
type Source string

// Sources of an answer.
const (
	SourceLive      Source = "live"      // the provider, for this call
	SourceCache     Source = "cache"     // the response cache
	SourceCoalesced Source = "coalesced" // an identical call already in flight
	SourceReplay    Source = "replay"    // a recording
	SourceJournal   Source = "journal"   // a previous run, from its journal
	SourceCommand   Source = "command"   // a command, which no model was called for
)

// Response is a complete answer.
type Response struct {
	ID           string  `json:"id"`
	Model        string  `json:"model"` // the model that answered
	Content      []Block `json:"content"`
	StopReason   string  `json:"stop_reason"`
	StopSequence string  `json:"stop_sequence,omitempty"`
	Usage        Usage   `json:"usage"`

	// Wire is the answer as the service sent it; nil unless the request has a Wire.
	Wire *WireAnswer `json:"wire,omitempty"`

	// The fields below describe this delivery and are not part of what is
	// stored.

	Source   Source `json:"-"`
	Attempts int    `json:"-"` // attempts sent to the provider; 0 when not live

	// AttemptID is the [Sent.ID] of the attempt that was answered; 0 if it was not recorded.
	AttemptID int64 `json:"-"`

	// Altered is set if a layer changed the request so that the answer differs:
	// another model, or fewer tokens. It does not answer the caller's request.
	Altered bool `json:"-"`

	// Elsewhere is set if another process made the call, which may have died before it stored
	// the answer.
	Elsewhere bool `json:"-"`

	// StoredAt is when an answer of the response cache was stored.
	StoredAt time.Time `json:"-"`
}

// Text returns the answer's text blocks joined, without thinking and tool calls.
func (r *Response) Text() string {
	var sb strings.Builder
	for _, b := range r.Content {
		if b.Type == BlockText {
			sb.WriteString(b.Text)
		}
	}
	return sb.String()
}

// ToolUses returns the tool calls that the answer asks for, in order.
func (r *Response) ToolUses() []Block {
	var uses []Block
	for _, b := range r.Content {
		if b.Type == BlockToolUse {
			uses = append(uses, b)
		}
	}
	return uses
}

// Clone returns a copy whose fields can be set without changing the original.
// The blocks' bytes are shared.
func (r *Response) Clone() *Response {
	c := *r
	c.Content = slices.Clone(r.Content)
	return &c
}

// Usage counts an answer's tokens as the Messages API bills them. The whole
// prompt is InputTokens + CacheWrite5m + CacheWrite1h + CacheReadTokens.
type Usage struct {
	InputTokens     int `json:"input_tokens"`  // after the last cache breakpoint
	OutputTokens    int `json:"output_tokens"` // thinking included
	CacheReadTokens int `json:"cache_read_input_tokens"`
	CacheWrite5m    int `json:"cache_write_5m_input_tokens"`
	CacheWrite1h    int `json:"cache_write_1h_input_tokens"`
	WebSearches     int `json:"web_search_requests,omitempty"`

	// Batch is set for tokens used in a message batch, where they cost half. A
	// sum has it only if all of its parts do.
	Batch bool `json:"batch,omitempty"`
}

// Add returns the sum of two usages.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		InputTokens:     u.InputTokens + v.InputTokens,
		OutputTokens:    u.OutputTokens + v.OutputTokens,
		CacheReadTokens: u.CacheReadTokens + v.CacheReadTokens,
		CacheWrite5m:    u.CacheWrite5m + v.CacheWrite5m,
		CacheWrite1h:    u.CacheWrite1h + v.CacheWrite1h,
		WebSearches:     u.WebSearches + v.WebSearches,
		Batch:           u.Batch && v.Batch,
	}
}

// PromptTokens returns the size of the whole prompt, cached or not.
func (u Usage) PromptTokens() int {
	return u.InputTokens + u.CacheReadTokens + u.CacheWrite5m + u.CacheWrite1h
}

// TotalTokens returns the tokens of prompt and output together.
func (u Usage) TotalTokens() int { return u.PromptTokens() + u.OutputTokens }
