package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
)

// IsolationWorktree is the [Task.Isolation] of a task whose tools work in a worktree.
const IsolationWorktree = "worktree"

// Place is a folder of a task's own.
type Place struct {
	Dir string // what the tools work in

	// Finish keeps what was changed there, and returns it; nil if nothing was.
	Finish func(ctx context.Context) (*llm.Changes, error)
}

// IsolateFunc returns the worktree of a task, the same for each attempt at it.
type IsolateFunc func(ctx context.Context, t Task) (*Place, error)

// Isolated reports whether the tools of an agent work in a worktree, by the isolation
// of a task, which may be empty, and by the agent's file.
func Isolated(isolation string, a *agent.Agent) bool {
	if isolation == "" {
		isolation, _ = a.Extra["isolation"].(string)
	}
	return isolation == IsolationWorktree
}

// placedKey marks the context of what a task's tools do: tasks of sub-agents work in
// the folder of the task that started them, unless they are [Task.Apart].
type placedKey struct{}

// isolate gives the task its worktree, if it is to have one. The function that it
// returns keeps what the task changed there; it is for the task's outcome and error.
func (r *Runner) isolate(ctx context.Context, t *Task) (func(context.Context, llm.Outcome, error) (llm.Outcome, error), error) {
	as := func(_ context.Context, outcome llm.Outcome, err error) (llm.Outcome, error) { return outcome, err }
	a, err := r.agent(ctx, *t)
	replays := r.Replay != nil // and so runs no tool
	shares := ctx.Value(placedKey{}) != nil && t.Apart == ""
	if err != nil || shares || t.Dir != "" || r.Tools == nil || replays || !Isolated(t.Isolation, a) {
		return as, nil //nolint:nilerr // the error is that of the task
	}
	if r.Isolate == nil {
		return nil, fault.Input(fmt.Errorf("agent %s is to work in a worktree, and there is no repository to make one in", t.Agent))
	}
	place, err := r.Isolate(ctx, *t)
	if err != nil {
		return nil, err
	}
	t.Dir = place.Dir
	return func(ctx context.Context, outcome llm.Outcome, err error) (llm.Outcome, error) {
		if ctx.Err() != nil {
			return outcome, err // it may go on later, where it is
		}
		changes, failed := place.Finish(ctx)
		outcome.Changes = changes
		return outcome, errors.Join(err, failed)
	}, nil
}
