package claudeforce

import (
	"context"
	"iter"
	"slices"

	"github.com/claude-force/claude-force/task"
)

// Task is one piece of work for one agent; see [task.Task].
type Task = task.Task

// Result is what came of a task; see [task.Result].
type Result = task.Result

// Status says how a task ended; see [task.Status].
type Status = task.Status

// Statuses of a task.
const (
	StatusCompleted   = task.StatusCompleted
	StatusFailed      = task.StatusFailed
	StatusInterrupted = task.StatusInterrupted
)

// AllOptions configure [Orchestrator.ExecuteAll]; see [task.AllOptions].
type AllOptions = task.AllOptions

// ExecuteAgent gives one agent one task and waits for the answer. The result is
// never nil; its Err is the error.
func (o *Orchestrator) ExecuteAgent(ctx context.Context, agent, prompt string) (*Result, error) {
	return o.Execute(ctx, Task{Agent: agent, Prompt: prompt}, nil)
}

// Execute runs one task and waits for its answer. The result is never nil; its
// Err is the error. onText, if it is not nil, receives the answer's text piece by
// piece as it arrives.
func (o *Orchestrator) Execute(ctx context.Context, t Task, onText func(piece string)) (*Result, error) {
	res := o.tasks.Run(ctx, t, onText)
	return res, res.Err
}

// ExecuteMultiple runs several tasks, as many at once as there are slots, and
// waits for all. Results are in the order of the tasks. One failure does not
// affect the others.
func (o *Orchestrator) ExecuteMultiple(ctx context.Context, tasks []Task) []*Result {
	return slices.Collect(o.ExecuteAll(ctx, slices.Values(tasks), AllOptions{}))
}

// ExecuteAll runs any number of tasks in bounded memory and yields their results;
// see [task.Runner.RunAll].
func (o *Orchestrator) ExecuteAll(ctx context.Context, tasks iter.Seq[Task], opts AllOptions) iter.Seq[*Result] {
	return o.tasks.RunAll(ctx, tasks, opts)
}
