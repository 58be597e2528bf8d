// Package llmtest proves that an [llm.Model] keeps its contract: it holds one
// suite that every layer and every provider passes, and honest fakes to run
// it, and any other test, against.
//
// A layer's test is one line:
//
//	llmtest.Suite(t, func(t *testing.T, next llm.Model) llm.Model { return retry.New(next, retry.Options{}) })
//
// A provider has nothing below it, so it runs [SuiteModel], the part that
// needs no script. [Echo] answers anything at once; [Script] plays what a
// test writes down, step by step, in real or bubbled time, and counts its
// calls, so that a test sees when a call was released.
//
// The package imports no layer, so that every layer's tests can import it.
package llmtest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/claude-force/claude-force/llm"
)

// Model is the model that [Request] asks and [Answer] answers as. It has a
// price.
const Model = "claude-haiku-5-5"

// Request returns a small valid request with one user turn.
func Request(text string) *llm.Request {
	return &llm.Request{
		Model:     Model,
		Messages:  []llm.Message{llm.UserText(text)},
		MaxTokens: 256,
	}
}

// fullRequest sets every field of a request, so that a change to any of them
// is seen.
func fullRequest(text string) *llm.Request {
	return &llm.Request{
		Model: Model,
		System: []llm.Block{
			{Type: llm.BlockText, Text: "You test.", CacheControl: json.RawMessage(`{"type":"ephemeral"}`)},
		},
		Messages: []llm.Message{
			llm.UserText("Look."),
			{Role: llm.RoleAssistant, Content: []llm.Block{
				{Type: llm.BlockThinking, Text: "hm", Signature: "sig"},
				{Type: llm.BlockToolUse, ID: "toolu_1", Name: "grep", Input: json.RawMessage(`{"q":"x"}`)},
			}},
			{Role: llm.RoleUser, Content: []llm.Block{llm.ToolResult("toolu_1", "3 lines", false), llm.TextBlock(text)}},
		},
		// Out of order on purpose: a layer that sorts them in place is seen.
		Tools: []llm.Tool{
			{Name: "grep", Description: "finds", InputSchema: json.RawMessage(`{"type":"object"}`)},
			{Name: "cat", Raw: json.RawMessage(`{"name":"cat","type":"custom"}`)},
		},
		ToolChoice:    json.RawMessage(`{"type":"auto"}`),
		Sample:        2,
		Scope:         "team",
		MaxTokens:     256,
		StopSequences: []string{"END", "AND"},
		Thinking:      json.RawMessage(`{"type":"adaptive"}`),
		OutputConfig:  json.RawMessage(`{"effort":"low"}`),
		Extra:         map[string]json.RawMessage{"container": json.RawMessage(`"c"`)},
		Betas:         []string{"z-beta", "a-beta"},
		ServiceTier:   "auto",
		UserID:        "user",
		Once:          true,
		Batch:         true,
		Unseen:        true,
		TTL:           time.Hour,
		Continues:     true,
		Agent:         "tester",
	}
}

// Response returns a complete live answer of one text block.
func Response(text string) *llm.Response {
	return &llm.Response{
		ID:         "msg_test",
		Model:      Model,
		Content:    []llm.Block{llm.TextBlock(text)},
		StopReason: llm.StopEndTurn,
		Usage:      llm.Usage{InputTokens: 100, OutputTokens: len(text)},
		Source:     llm.SourceLive,
		Attempts:   1,
	}
}

// MustCollect runs a call to its end and returns the answer. It ends the test
// if the call fails, so it must run on the test's goroutine.
func MustCollect(tb testing.TB, m llm.Model, req *llm.Request) *llm.Response {
	tb.Helper()
	resp, err := llm.Collect(m.Stream(tb.Context(), req))
	if err != nil {
		tb.Fatalf("Stream: %v", err)
	}
	return resp
}
