package claudeforce

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/claude-force/claude-force/claudecode"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
)

// external returns what runs the tasks of the runner claude-code.
func (o *Orchestrator) external() (task.External, error) {
	dir, err := filepath.Abs(cmp.Or(o.opts.Dir, "."))
	if err != nil {
		return nil, fmt.Errorf("opening the folder: %w", err)
	}
	if o.opts.Model != nil {
		return func(_ context.Context, c task.Conversation) (llm.Outcome, error) {
			return llm.Outcome{Model: c.Request.Model, CostUSD: new(0.0)}, invalid(fmt.Errorf("the runner %s needs the service or a simulator, and the model is a function of this program", claudecode.Name))
		}, nil
	}
	return claudecode.New(claudecode.Options{Upstream: o.pipe, Dir: dir}).Run, nil
}

// checkRunner returns why the runner of a task cannot run it; nil if it can, or if that
// is not known.
func checkRunner(ctx context.Context, r *task.Runner, t Task) error {
	name, err := r.RunnerOf(ctx, t)
	if err != nil || name != task.RunnerClaudeCode {
		return err
	}
	_, err = claudecode.Find()
	return err
}
