// Package task gives one agent one task: it turns the task into a request,
// selects the model, makes the calls and checks the answer against the task's
// schema. A [Runner] needs an [llm.Model] to call and knows nothing of workflows
// and stores.
//
//	runner := &task.Runner{Model: pipe.Model(), Agents: agents, Prices: pipe.Prices()}
//	res := runner.Run(ctx, task.Task{Agent: "linter", Prompt: "Check: x=1"}, nil)
//
// A task's [llm.Outcome] is one value that call returns and everything else
// embeds. Several calls for one task add up in it.
package task

import (
	"encoding/json"
	"time"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// Task is one piece of work for one agent.
type Task struct {
	ID     string // names the result; empty means the task's number
	Agent  string // the agent's name
	Prompt string // what it is asked

	// Definition is the agent, if it is not to be found by its name. Settings of the task
	// win over its own.
	Definition *agent.Agent

	// SharedContext is material that comes before the prompt. Put what other
	// tasks are given too first, so that the service's prompt cache serves it.
	SharedContext []string
	// Own is how many of the last texts of SharedContext no other task is given.
	// They are not written to the prompt cache, which costs more than it saves
	// unless the text is read again.
	Own int

	// Media are content blocks of images and documents that come before the prompt, and
	// OwnMedia is how many of the last of them no other task is given.
	Media    []llm.Block
	OwnMedia int

	Files       []string      // patterns of files to give to the agent, relative to the runner's folder
	Attachments []attach.File // files that were read already
	Model       string        // instead of the agent's: an alias, an id, or "auto" to have one selected
	Policy      llm.Policy    // how the cache treats the calls

	// Ceiling is the strongest model that may be selected if the model is "auto".
	// Empty means the agent's model_ceiling, else the model that the agent names.
	Ceiling string

	Effort      string          // instead of the agent's; empty for that
	Thinking    json.RawMessage // of the model, as the service has it; nil for the model's default
	Temperature *float64        // from 0 to 1; nil for the service's default

	MaxTokens int           // instead of the agent's and the default; 0 for theirs
	MaxTurns  int           // calls that may be made for it if its agent has tools, instead of the default; 0 for that
	Timeout   time.Duration // instead of the default; 0 for that

	// Dir is the folder that tools work in instead of the project's, such as a
	// worktree of it. Allow are permission rules; they hold only as far as the user
	// granted the same.
	Dir   string
	Allow []string

	// Reads are patterns of the files that commands depend on; nil for all in the
	// folder.
	Reads []string

	// Runner is what has the conversation with the model, instead of what the agent says:
	// one of [Runners], or empty for that.
	Runner string

	// Isolation is where the tools work: "worktree", "none", or empty for what the
	// agent's file says. Base is what the worktree starts from; empty for HEAD.
	Isolation string
	Base      string

	// Apart names the worktree of a sub-agent's own, among those of the task that
	// started it; empty for one that works where its caller does. From is the folder
	// whose commit the worktree starts from; empty for the project's.
	Apart string
	From  string

	// Schema is the JSON Schema that the output must obey. An output that does
	// not is repaired, with one more call if need be. If that fails too, the task
	// fails with [llm.CodeOutput], and the result has the output as it came.
	Schema json.RawMessage

	// Conversation comes before the task: turns of an earlier task of the same agent and
	// model. The texts that tools bring are in it.
	Conversation []llm.Message

	// Keep, if set, is given the turns that the task adds to its conversation, once it has
	// its answer: its output is the last of them. If the conversation was summed up on the
	// way, it is given all turns, which stand instead of it.
	Keep func(turns []llm.Message, instead bool)

	// Batch sends the calls in a message batch: they are answered within a day,
	// at half the price.
	Batch bool

	// Sample tells apart tasks that are the same otherwise, so that none is answered
	// with what was remembered for another. 0 for the first of them.
	Sample int

	// Turns is where the turns of an agent with tools are written down, so that a
	// task which was cut off goes on where it was. Nil keeps nothing.
	Turns *journal.Turns

	// NoRetry says that the calls may have effects, and are never retried.
	NoRetry bool
}

// Status says how a task ended.
type Status string

// Statuses of a task.
const (
	StatusCompleted   Status = "completed"
	StatusFailed      Status = "failed"
	StatusInterrupted Status = "interrupted" // its context ended first
)

// Result is what came of a task. Its JSON is a line of the command's output.
type Result struct {
	ID     string `json:"id"`
	Agent  string `json:"agent"`
	Status Status `json:"status"`
	llm.Outcome
	DurationSeconds float64 `json:"duration_seconds"`
	Error           *string `json:"error"` // nil if completed

	// Err is the error with its chain.
	Err error `json:"-"`
}
