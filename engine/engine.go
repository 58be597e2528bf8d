// Package engine runs a workflow: it decides when each step starts, what its
// agent is given, what happens when it fails, and what the run amounts to.
//
// Scheduling is eager: there are no levels and no barriers. A step is ready
// when its own dependencies are done, and starts when a slot is free. Among
// ready steps the one with the longest remaining path goes first, steps of
// equal paths in file order, so the order is deterministic given the same
// durations. A step that waits for a retry holds no slot. A failed step skips
// what depends on it and nothing else: its siblings' work is never lost.
//
// The engine knows no provider and no store. What an attempt at a step is, is
// the caller's function [Options].Execute.
package engine

import (
	"context"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/workflow"
)

// Status says where a step or a run stands.
type Status string

// Statuses of steps and runs.
const (
	StatusPending     Status = "pending"     // not started yet
	StatusRunning     Status = "running"     // an attempt is under way
	StatusWaiting     Status = "waiting"     // between two attempts
	StatusCompleted   Status = "completed"   // done
	StatusFailed      Status = "failed"      // an error that was not mended
	StatusSkipped     Status = "skipped"     // something it depends on did not complete
	StatusInterrupted Status = "interrupted" // the run was stopped
)

// Attempt is one try at one step.
type Attempt struct {
	Step   *workflow.Step
	Number int    // from 1
	Prompt string // the rendered task with files and results of dependencies
}

// Answer is what a successful attempt gave.
type Answer struct {
	Output  string
	Source  llm.Source
	Usage   llm.Usage
	CostUSD *float64 // paid for this answer; nil if the model has no price
}

// Event tells an observer that a step changed.
type Event struct {
	Step    *workflow.Step
	Status  Status
	Attempt int           // number of the attempt; 0 before the first
	Wait    time.Duration // until the next attempt, with StatusWaiting
	Err     error         // with StatusWaiting and StatusFailed
	Result  *StepResult   // the step's result so far; must not be modified
}

// Options configure a run.
type Options struct {
	RunID  string
	Params map[string]any    // bound with [workflow.Workflow.BindParams]
	Env    map[string]string // what expressions may read as env.NAME

	// Execute makes one attempt. It is called from several goroutines and
	// must return soon after its context ends. Required.
	Execute func(ctx context.Context, a Attempt) (Answer, error)

	// Attach reads the files that a step's patterns name and gives them as
	// text for the prompt. Required if a step has files.
	Attach func(ctx context.Context, patterns []string) (string, error)

	// MaxParallel is the most attempts under way at once. 0 means the
	// workflow's own cap, or none if it has none.
	MaxParallel int

	// Duration estimates how long a step takes, for the order among ready
	// steps. Nil counts every step as one second.
	Duration func(*workflow.Step) time.Duration

	// Drain, when closed, stops the run from starting anything more; what is
	// under way may finish. Nil never drains.
	Drain <-chan struct{}

	// Observe is told of every change, one at a time, from the goroutine
	// that called Run. Nil observes nothing.
	Observe func(Event)
}

// Result is what a run amounts to. Its JSON is the output of `run --json`.
type Result struct {
	RunID            string                 `json:"run_id"`
	Workflow         string                 `json:"workflow"`
	Status           Status                 `json:"status"`
	TotalTimeSeconds float64                `json:"total_time_seconds"`
	ExecutionOrder   []string               `json:"execution_order"` // ids in the order in which steps started
	Steps            map[string]*StepResult `json:"steps"`
	Usage            llm.Usage              `json:"usage"`
	CostUSD          *float64               `json:"cost_usd"` // nil if the price of any step is unknown
}

// StepResult is what one step amounts to.
type StepResult struct {
	Status          Status     `json:"status"`
	Agent           string     `json:"agent"`
	Output          string     `json:"output"`
	Source          llm.Source `json:"source"` // empty without an answer
	Usage           llm.Usage  `json:"usage"`
	CostUSD         *float64   `json:"cost_usd"`
	StartedAt       *time.Time `json:"started_at"` // nil if it never started
	DurationSeconds float64    `json:"duration_seconds"`
	Attempts        int        `json:"attempts"`
	Error           *string    `json:"error"`
}

// Failed lists the ids of the steps that failed, in file order.
func (r *Result) Failed(wf *workflow.Workflow) []string {
	var ids []string
	for _, s := range wf.Steps {
		if r.Steps[s.ID].Status == StatusFailed {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
