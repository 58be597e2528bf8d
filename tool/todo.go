package tool

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/claude-force/claude-force/llm"
	"github.com/dustin/go-humanize/english"
)

// Todo is one item of an agent's list of what it has to do.
type Todo struct {
	Content    string `json:"content"`
	Status     string `json:"status"` // pending, in_progress or completed
	ActiveForm string `json:"activeForm"`
}

// TodoWrite returns the tool that keeps an agent's list of what it has to do.
func TodoWrite() Tool { return todoTool{} }

type todoTool struct{}

func (todoTool) Definition() llm.Tool {
	return llm.Tool{Name: "TodoWrite", Description: `Replaces your list of what is to be done. Use it for tasks of several steps: note the steps, mark one as in_progress before you begin it and as completed as soon as it is done.`,
		InputSchema: schema(`{
	"type": "object", "additionalProperties": false, "required": ["todos"],
	"properties": {"todos": {"type": "array", "description": "the whole list", "items": {
		"type": "object", "additionalProperties": false, "required": ["content", "status", "activeForm"],
		"properties": {
			"content": {"type": "string", "minLength": 1, "description": "what is to be done: Run the tests"},
			"status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
			"activeForm": {"type": "string", "minLength": 1, "description": "the same while it is done: Running the tests"}
		}}}}}`)}
}

func (todoTool) Concurrent(json.RawMessage) bool { return false }

// Sight says that each call notes what it saw.
func (todoTool) Sight(json.RawMessage) Sight { return SightNoted }

func (todoTool) Call(_ context.Context, env *Env, input json.RawMessage) (Result, error) {
	in, err := parse[struct {
		Todos []Todo `json:"todos"`
	}](input)
	if err != nil {
		return Result{}, err
	}
	env.mu.Lock()
	env.todos, env.changed.todos = slices.Clone(in.Todos), true
	env.mu.Unlock()
	done := 0
	for _, t := range in.Todos {
		if t.Status == "completed" {
			done++
		}
	}
	return Text(fmt.Sprintf("The list has %s, %d of them completed. Go on with the task.", english.Plural(len(in.Todos), "item", ""), done)), nil
}

// Todos returns the list that the agent wrote last.
func (e *Env) Todos() []Todo {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.todos)
}
