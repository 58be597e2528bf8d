package claudeforce

import (
	"context"
	"slices"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// RunTasks runs a list of tasks as one run: it is journaled, and
// [Orchestrator.ResumeRun] resumes it. The name is what people see of it. opts
// are those of a workflow without parameters and files; OnTask receives what came
// of each task. It returns what RunWorkflow does.
//
// The run holds all tasks and results in memory; for a list without an end use
// [Orchestrator.ExecuteAll].
func (o *Orchestrator) RunTasks(ctx context.Context, name string, tasks []runs.Task, opts RunOptions) (*engine.Result, error) {
	wf, err := o.tasksWorkflow(name, tasks, &opts)
	if err != nil {
		return nil, err
	}
	return o.RunWorkflow(ctx, wf, opts)
}

// SubmitTasks checks a list of tasks and writes it down without starting it, as
// [Orchestrator.SubmitRun] does with a workflow. Name, tasks and opts are those of
// [Orchestrator.RunTasks].
func (o *Orchestrator) SubmitTasks(ctx context.Context, name string, tasks []runs.Task, opts RunOptions) (string, error) {
	wf, err := o.tasksWorkflow(name, tasks, &opts)
	if err != nil {
		return "", err
	}
	return o.SubmitRun(ctx, wf, opts)
}

// tasksWorkflow returns the workflow of a list of tasks, and sets its run's options.
func (o *Orchestrator) tasksWorkflow(name string, tasks []runs.Task, opts *RunOptions) (*workflow.Workflow, error) {
	source, params, err := runs.TasksWorkflow(name, tasks)
	if err != nil {
		return nil, err
	}
	opts.Params, opts.File, opts.From, opts.Only, opts.tasks = params, "", "", "", true
	if opts.MaxParallel == 0 && !opts.Batch {
		opts.MaxParallel = o.config.Jobs
	}
	return o.ParseWorkflow("tasks", source)
}

// tasked returns an observer that passes what came of each task to its caller,
// beside the events. It returns next if that is not asked for.
func (o *Orchestrator) tasked(r *pendingRun, next func(context.Context, engine.Event)) (func(context.Context, engine.Event), error) {
	refs, err := r.spec.TaskRefs()
	if err != nil || refs == nil || r.opts.OnTask == nil {
		return next, err
	}
	return func(ctx context.Context, ev engine.Event) {
		if next != nil {
			next(ctx, ev)
		}
		ref, ok := refs.Of(ev)
		if !ok || ev.Result.StartedAt == nil {
			return
		}
		switch ev.Status {
		case engine.StatusCompleted, engine.StatusFailed, engine.StatusInterrupted:
			res := taskResult(ref, ev.Result)
			res.Err = ev.Err
			r.opts.OnTask(ctx, ref.Number, res)
		}
	}, nil
}

// TasksOf returns the results of the tasks of a run, in their order. Tasks that
// have not started are left out.
func TasksOf(res *engine.Result, refs runs.TaskRefs) []*Result {
	all := make([]*Result, refs.Count())
	for step, list := range refs {
		if res.Steps[step] == nil {
			continue
		}
		for i, item := range res.Steps[step].Items {
			if i < len(list) && item.StartedAt != nil {
				all[list[i].Number] = taskResult(list[i], item.StepResult)
			}
		}
	}
	return slices.DeleteFunc(all, func(r *Result) bool { return r == nil })
}

func taskResult(ref runs.TaskRef, res *engine.StepResult) *Result {
	return &Result{
		ID: ref.ID, Agent: res.Agent, Status: Status(res.Status), Outcome: res.Outcome,
		DurationSeconds: res.DurationSeconds, Error: res.Error,
	}
}
