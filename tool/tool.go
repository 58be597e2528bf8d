// Package tool holds what a model may call: the interface of a tool, the set that
// a run offers, and the tools that work on files.
//
// A [Set] checks each call before it runs: the name, the input against the tool's
// schema, then the permission that the [Env] asks for. Whatever goes wrong is a
// [Result] with IsError that the model reads, never an error of the run.
package tool

import (
	"context"
	"encoding/json"

	"github.com/claude-force/claude-force/llm"
)

// Tool is something the model may call.
type Tool interface {
	// Definition returns the name, the description and the schema of the input,
	// as the model gets them.
	Definition() llm.Tool
	// Concurrent reports whether a call with this input only reads, so that it may
	// run beside others and may be repeated.
	Concurrent(input json.RawMessage) bool
	// Call runs the tool. The input obeys the schema of the definition. An error is
	// shown to the model as a result with IsError, so its text is for the model;
	// [Failed] returns a result of that kind too.
	Call(ctx context.Context, env *Env, input json.RawMessage) (Result, error)
}

// Unchecked is a tool whose inputs are not compared with its schema, which may be no
// schema at all: another program defined it, and checks the inputs. Any JSON object is
// passed on as the model wrote it.
type Unchecked interface {
	Tool
	// Unchecked does nothing; it marks the tool.
	Unchecked()
}

// Result is what a call gave.
type Result struct {
	// Text is the result, unless Blocks is set.
	Text string
	// Blocks is a result of several blocks, such as an image.
	Blocks []llm.Block
	// IsError is set if the call failed.
	IsError bool
	// Denied is set, beside IsError, if the call did not run since it may not.
	Denied bool
	// Notes are blocks for the user turn that carries the result, after it: what
	// the model should know and the tool did not return.
	Notes []llm.Block
	// Spent is what an agent that the call started took: turns, calls, cost. What
	// models took that were called with the call's context is not in it.
	Spent *llm.Outcome
	// Stop, if it is set, ends the task with this error instead of a result. The call
	// is not over: when the task is resumed, it runs again.
	Stop error
}

// Text returns a result of one text.
func Text(text string) Result { return Result{Text: text} }

// Failed returns the result of a call that failed.
func Failed(text string) Result { return Result{Text: text, IsError: true} }

// Block returns the tool_result block for the tool_use block with the given id.
func (r Result) Block(id string) (llm.Block, error) {
	if r.Blocks == nil {
		return llm.ToolResult(id, r.Text, r.IsError), nil
	}
	raw, err := json.Marshal(struct {
		Type      string      `json:"type"`
		ToolUseID string      `json:"tool_use_id"`
		Content   []llm.Block `json:"content"`
		IsError   bool        `json:"is_error,omitempty"`
	}{llm.BlockToolResult, id, r.Blocks, r.IsError})
	if err != nil {
		return llm.Block{}, err
	}
	return llm.Block{Type: llm.BlockToolResult, ID: id, Error: r.IsError, Raw: raw}, nil
}
