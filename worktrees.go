package claudeforce

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/toolset"
	"github.com/claude-force/claude-force/workflow"
	"github.com/claude-force/claude-force/worktree"
)

// isolate returns the worktree of a task. That of a step of a run is the same when
// the run is resumed.
func (o *Orchestrator) isolate(ctx context.Context, t Task) (*task.Place, error) {
	repo, err := worktree.Find(ctx, cmp.Or(t.From, o.opts.Dir, "."))
	if err != nil {
		return nil, fmt.Errorf("the step needs a worktree: %w", err)
	}
	tags := llm.TagsOf(ctx)
	// All iterations of a loop share one, so that each goes on from the one before.
	step := journal.Unit{Step: tags.Step}.Plain()
	place := worktree.Place{
		Root: pipeline.DataDir(o.config.DataDir).Worktrees(), Base: t.Base,
		Run: tags.Run, Unit: worktree.Name(cmp.Or(step, t.ID, t.Agent), tags.Item),
	}
	if t.Apart != "" {
		place.Unit += "+" + worktree.Name(t.Apart, "")
	}
	if place.Run == "" { // a task of no run is not resumed
		place.Run = "task_" + strings.ToLower(rand.Text()[:12])
	}
	tree, err := repo.Open(ctx, place)
	if err != nil {
		return nil, err
	}
	return &task.Place{Dir: tree.Dir(), Finish: tree.Finish}, nil
}

// Repository returns the repository of the orchestrator's folder, to show and to
// apply what steps changed in their worktrees.
func (o *Orchestrator) Repository(ctx context.Context) (*worktree.Repository, error) {
	return worktree.Find(ctx, cmp.Or(o.opts.Dir, "."))
}

// CheckEdits returns the steps of a workflow that may edit the files of a folder at the
// same time without worktrees of their own: agents act as project says, which
// [OpenTools] opens. The error is of type [workflow.Errors].
func CheckEdits(ctx context.Context, dir string, project *toolset.Project, wf *workflow.Workflow) error {
	set, _, err := Agents(dir)
	if err != nil {
		return err
	}
	return sharedEdits(ctx, project, func(_ context.Context, name string) (*agent.Agent, error) { return set.Lookup(name) }, wf)
}

// sharedEdits returns the steps of a workflow that may edit files at the same time
// without worktrees of their own.
func sharedEdits(ctx context.Context, project *toolset.Project, find func(context.Context, string) (*agent.Agent, error), wf *workflow.Workflow) error {
	agentOf := func(s *workflow.Step) *agent.Agent {
		if s.Inline != nil {
			return inlineAgent(s)
		}
		a, err := find(ctx, s.Agent)
		if err != nil {
			return &agent.Agent{} // the error is reported elsewhere
		}
		return a
	}
	errs := wf.SharedEdits(
		func(s *workflow.Step) bool {
			return slices.ContainsFunc(s.Variants(), func(v *workflow.Step) bool { return project.MayEdit(agentOf(v), v.Allow) })
		},
		func(s *workflow.Step) bool {
			return !slices.ContainsFunc(s.Variants(), func(v *workflow.Step) bool { return !task.Isolated(string(v.Isolation), agentOf(v)) })
		})
	if len(errs) > 0 {
		return errs
	}
	return nil
}
