package claudeforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/workflow"
)

// What is read of earlier runs for a plan: enough to tell what is usual.
const (
	planRuns   = 20 // of the workflow
	planOthers = 20 // of other workflows, where there are steps that have not run
)

// Plan says what a run would cost and how long it would take. Nothing is sent
// and nothing is written: a dry run takes the answers that are in
// the response cache, and what is not there is estimated, from earlier runs
// where there are some. What will stop the run is in its Problems. The error is as that of [Orchestrator.RunWorkflow] for a
// run that cannot begin.
func (o *Orchestrator) Plan(ctx context.Context, wf *workflow.Workflow, opts RunOptions) (*plan.Plan, error) {
	params, err := wf.BindParams(opts.Params)
	if err != nil {
		return nil, invalid(err)
	}
	if err := opts.part().Check(wf); err != nil {
		return nil, err
	}
	files := newChangedFiles(o, nil)
	if _, err := o.check(ctx, wf, workflow.Env{Params: params, Run: map[string]any{"id": dryRunID}, Env: runs.Env(wf), ChangedFiles: files.in(ctx)}, &opts); err != nil {
		return nil, invalid(err)
	}
	spec, err := o.spec(ctx, wf, opts)
	if err != nil {
		return nil, err
	}
	store, err := o.pastStore(ctx)
	if err != nil {
		return nil, err
	}
	past := &pastRuns{}
	if f := (journal.Filter{File: spec.Path(), Workflow: nameOf(wf, spec)}); f.File+f.Workflow != "" { // else nothing tells it from others
		if past, err = o.pastRuns(ctx, store, f, planRuns); err != nil {
			return nil, err
		}
	}
	if past.latest == nil && !opts.part().Whole() {
		return nil, invalid(errNoPrevious)
	}
	dry := &dryRun{o: o, opts: &opts, wf: wf, params: params, files: files, past: past.latest, models: map[string]string{}, dirty: map[string]*taint{}, asked: map[string]bool{},
		items: map[string][]int{}, skipped: map[string]bool{}}
	if err := dry.run(ctx); err != nil {
		return nil, err
	}
	in := plan.Input{
		Workflow: wf, Asks: func(s *workflow.Step) plan.Asks { return o.asks(ctx, s, &opts) },
		Units: dry.units, Items: dry.items, Skipped: dry.skipped, Left: leftOut(wf, opts),
		Runs: past.runs, Warm: past.latest != nil && time.Since(past.ended) < promptCacheTTL, Prices: o.pipe.Prices(),
		Slots: cmp.Or(opts.MaxParallel, wf.MaxParallel, engine.DefaultParallel), Jobs: o.config.Jobs,
	}
	if dry.unheard() {
		others, err := o.pastRuns(ctx, store, journal.Filter{}, planOthers)
		if err != nil {
			return nil, err
		}
		in.Others = others.runs
	}
	p := plan.Make(in)
	p.Before = plan.Sum(past.errors)
	switch {
	case !opts.Budget.IsZero():
		p.BudgetUSD = opts.Budget.USD
	case wf.Budget != nil:
		p.BudgetUSD = wf.Budget.USD
	}
	dry.checkBudget(p.BudgetUSD)
	p.Problems = append([]plan.Problem{}, dry.problems...)
	return p, nil
}

// pastStore returns the store of runs; an empty one if nothing has run yet, since to
// look makes no file.
func (o *Orchestrator) pastStore(ctx context.Context) (journal.Store, error) {
	if o.config.DataDir != "" && o.config.Store == "" {
		if _, err := os.Stat(pipeline.DataDir(o.config.DataDir).History()); errors.Is(err, fs.ErrNotExist) {
			return memory.New(), nil
		}
	}
	return o.history(ctx)
}

// errNoPrevious reports that there is no run for a partial one to take results
// from.
var errNoPrevious = errors.New("there is no earlier run of this workflow to take results from; run the whole workflow once")

// nameOf returns the name by which runs of a workflow without a file are found.
func nameOf(wf *workflow.Workflow, spec *runs.Spec) string {
	if spec.File != "" {
		return ""
	}
	return wf.Name
}

// asks returns which model a step calls, as far as it can be known.
func (o *Orchestrator) asks(ctx context.Context, s *workflow.Step, opts *RunOptions) plan.Asks {
	t := stepTask(s, opts)
	id, err := o.tasks.NamedIdentity(ctx, t)
	if err != nil {
		return plan.Asks{} // the error is reported when the run is checked
	}
	runner, err := o.tasks.RunnerOf(ctx, t)
	if err != nil {
		return plan.Asks{}
	}
	return plan.Asks{External: runner != task.RunnerBuiltin, Model: id.Model, MaxTokens: id.MaxTokens, Characters: id.Prompt, MaxTurns: id.MaxTurns, Batch: t.Batch}
}

// leftOut returns the steps of the top level that a run of a part leaves out.
func leftOut(wf *workflow.Workflow, opts RunOptions) map[string]bool {
	left := map[string]bool{}
	if choose := opts.part().Choose(wf); choose != nil {
		for _, s := range wf.Steps {
			left[s.ID] = choose(s) == engine.ChooseLeave
		}
	}
	return left
}

// pastRuns is what is known of earlier runs.
type pastRuns struct {
	runs   []plan.Run     // the latest first
	latest *journal.State // nil if there is none
	ended  time.Time      // when that ended, or was last known to go on
	began  time.Time      // the one that was read last
	errors []plan.Error   // of their plans
}

// pastRuns reads the latest runs that a filter fits. Runs on the simulator and
// real ones say nothing of each other.
func (o *Orchestrator) pastRuns(ctx context.Context, store journal.Store, f journal.Filter, most int) (*pastRuns, error) {
	past := &pastRuns{}
	f.Limit = most
	for header, err := range store.Runs(ctx, f) {
		if err != nil {
			return nil, fmt.Errorf("finding earlier runs: %w", err)
		}
		if n := len(past.runs); n > 0 {
			past.runs[n-1].Warm = past.began.Sub(lastSeen(header)) < promptCacheTTL
		}
		if err := o.pastRun(ctx, store, header.ID, past); err != nil {
			return nil, err
		}
	}
	return past, nil
}

// promptCacheTTL is how long the service's prompt cache keeps what it was sent.
const promptCacheTTL = 5 * time.Minute

// lastSeen returns when a run ended; of one that goes on, when it began.
func lastSeen(run journal.Run) time.Time {
	if run.FinishedAt.IsZero() {
		return run.StartedAt
	}
	return run.FinishedAt
}

// pastRun adds one run. One that cannot be read is left out: it would only have
// made the plan better.
func (o *Orchestrator) pastRun(ctx context.Context, store journal.Store, id string, past *pastRuns) error {
	run, err := store.Find(ctx, id)
	if err != nil {
		return ctx.Err()
	}
	spec, err := runs.ReadSpec(run)
	if err != nil || spec.Simulated != (o.opts.Simulator != nil) {
		return nil
	}
	state, err := journal.Fold(store.Events(ctx, run.ID, 0))
	if err != nil {
		return ctx.Err()
	}
	past.began = run.StartedAt
	done := run.Status == journal.StatusCompleted
	past.runs = append(past.runs, plan.Run{State: state, Whole: done && spec.Part().Whole()})
	if past.latest == nil {
		past.latest, past.ended = state, lastSeen(run)
	}
	if spec.Plan != nil && done && state.Resumes == 0 && state.Ended != nil {
		e := spec.Plan.Against(plan.Actual{CostUSD: run.CostUSD, Seconds: state.Ended.TotalTimeSeconds})
		if !spec.Plan.Unpriced {
			past.errors = append(past.errors, e)
		}
	}
	return nil
}

// dryRunID is the id that a dry run has for expressions.
const dryRunID = "run_planned"

// firstOf returns the first finished unit of each plain path, whose output stands for
// those that nothing is known of.
func firstOf(state *journal.State) map[string]*journal.UnitState {
	first := map[string]*journal.UnitState{}
	if state == nil {
		return first
	}
	for _, u := range state.Order {
		if p := u.Plain(); first[p] == nil && u.Type == journal.StepFinished {
			first[p] = u
		}
	}
	return first
}

// takes returns an estimate for the order of a dry run, which does not matter.
func takes(*workflow.Step) time.Duration { return time.Second }
