package claudeforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/workflow"
)

// ResumeOptions configure how a run is resumed. The zero value is ready.
type ResumeOptions struct {
	// AcceptChanges goes on although what the run depends on has changed since.
	// Unchanged steps keep their results then, the rest runs
	// again. Without it, changes are a [ChangedError].
	AcceptChanges bool

	// RerunOnce names the steps with effects "once" that may run again.
	RerunOnce []string

	// Failed runs again all that failed, also what the run went on without: items
	// and steps whose failure was tolerated, and what a fallback stood in for. The
	// run may be completed. Steps that have finished keep their results, also those
	// that worked without what failed. If nothing failed, the error is
	// [ErrNothingFailed].
	Failed bool

	MaxParallel int             // instead of the run's; 0 for that
	Budget      workflow.Budget // instead of the run's; the zero value for that

	// As in [RunOptions].
	AskCalls   bool
	AskTimeout time.Duration
	Drain      <-chan struct{}
	OnStart    func(ctx context.Context, id string)
	OnEvent    func(ctx context.Context, ev engine.Event)
	OnTask     func(ctx context.Context, number int, res *Result)
	OnExplain  func(ctx context.Context, x Explanation)
}

// ChangedError reports that a run cannot be resumed without consent, since what it
// depends on has changed.
type ChangedError struct {
	Run     string
	Changes []string // what differs, one sentence each
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("since run %s was stopped, this has changed:\n  %s",
		e.Run, strings.Join(e.Changes, "\n  "))
}

// ErrRunCompleted reports that a run is completed, so it cannot be resumed.
var ErrRunCompleted = errors.New("the run is completed")

// ErrRunExited reports that a step ended a run, so it cannot be resumed unless its
// workflow or what it depends on has changed.
var ErrRunExited = errors.New("the run has ended")

// ErrNothingFailed reports that nothing failed in a run, so there is nothing to run
// again.
var ErrNothingFailed = errors.New("nothing failed in the run")

// ResumeRun resumes a run that was stopped, failed or crashed: steps that have
// finished are taken from its journal, the rest runs. The id may be abbreviated,
// or be "latest". The errors are those of [Orchestrator.RunWorkflow]; a run that
// another process owns is a [*journal.OwnedError].
func (o *Orchestrator) ResumeRun(ctx context.Context, id string, opts ResumeOptions) (*engine.Result, error) {
	store, err := o.history(ctx)
	if err != nil {
		return nil, err
	}
	// Checked before this process owns it, so that a run that is refused stays as it is.
	r, past, err := o.checkResume(ctx, store, id, opts)
	if err != nil {
		return nil, err
	}
	if r.log, err = store.Acquire(ctx, r.id); err != nil {
		if owned, ok := errors.AsType[*journal.OwnedError](err); ok {
			return nil, ownedBy(owned)
		}
		return nil, fmt.Errorf("resuming run %s: %w", r.id, err)
	}
	// Read again now that no other process writes to it.
	resumes := past.Resumes
	if past, err = journal.Fold(store.Events(ctx, r.id, 0)); err != nil {
		return nil, errors.Join(fmt.Errorf("reading run %s: %w", r.id, err), r.log.Release())
	}
	if past.Resumes != resumes {
		return nil, errors.Join(invalid(fmt.Errorf("run %s was resumed by another process just now", r.id)), r.log.Release())
	}
	detail, err := r.resumed()
	if err == nil {
		detail.UncountedUSD = o.uncounted(ctx, store, r.id)
		err = r.log.Append(journal.Event{Type: journal.RunResumed, Detail: journal.Detail(detail)})()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing run %s: %w", r.id, err), r.log.Release())
	}
	return withRunError(o.drive(ctx, r, past))
}

// CheckResume returns the error with which [Orchestrator.ResumeRun] would refuse to resume a
// run as it is now, and changes nothing.
func (o *Orchestrator) CheckResume(ctx context.Context, id string, opts ResumeOptions) error {
	store, err := o.history(ctx)
	if err != nil {
		return err
	}
	_, _, err = o.checkResume(ctx, store, id, opts)
	return err
}

// checkResume reads a run that is to be resumed, and what has happened in it, and checks
// that it may be.
func (o *Orchestrator) checkResume(ctx context.Context, store journal.Store, id string, opts ResumeOptions) (*pendingRun, *journal.State, error) {
	run, err := runs.Find(ctx, store, id)
	if err != nil {
		return nil, nil, err
	}
	if opts.Failed {
		if err := hasFailures(ctx, store, &run); err != nil {
			return nil, nil, err
		}
	} else if run.Status == journal.StatusCompleted {
		return nil, nil, invalid(runs.WrongState(&run, fmt.Errorf("run %s: %w", run.ID, ErrRunCompleted)))
	}
	if run.Owned() {
		return nil, nil, invalid(runs.WrongState(&run, run.OwnedError()))
	}
	r, past, err := o.resumable(ctx, store, run, opts)
	if err != nil {
		return nil, nil, err
	}
	return r, past, o.checkLedger(r)
}

// hasFailures returns an error if nothing failed in a run.
func hasFailures(ctx context.Context, store journal.Store, run *journal.Run) error {
	d, err := runs.Load(ctx, store, run.ID)
	if err != nil {
		return err
	}
	if len(d.Failures()) == 0 {
		return invalid(runs.WrongState(run, fmt.Errorf("run %s: %w", run.ID, ErrNothingFailed)))
	}
	return nil
}

// uncounted returns what calls of a run cost that its journal does not count: those
// whose process ended between the end of the call and its event. The run must not
// be under way. Nothing is counted if the records of calls cannot be read.
func (o *Orchestrator) uncounted(ctx context.Context, store journal.Store, id string) float64 {
	if o.config.DataDir == "" || !o.config.Analytics.Enabled {
		return 0
	}
	run, err := store.Find(ctx, id)
	if err != nil {
		return 0
	}
	calls, err := pipeline.OpenCalls(ctx, o.config)
	if err != nil {
		o.notice(ctx, fmt.Sprintf("what run %s paid for calls that were cut off is not known: %v", id, err))
		return 0
	}
	cost, err := calls.RunCost(ctx, id)
	if err = errors.Join(err, calls.Close()); err != nil {
		o.notice(ctx, fmt.Sprintf("what run %s paid for calls that were cut off is not known: %v", id, err))
		return 0
	}
	return max(cost.Sub(llm.Dollars(run.CostUSD)), 0).USD()
}

func ownedBy(err *journal.OwnedError) error { return invalid(err) }

// resumable reads a run that is to be resumed, and checks that it may be.
func (o *Orchestrator) resumable(ctx context.Context, store journal.Store, run journal.Run, opts ResumeOptions) (*pendingRun, *journal.State, error) {
	past, err := journal.Fold(store.Events(ctx, run.ID, 0))
	if err != nil {
		return nil, nil, fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	spec, err := runs.SpecOf(run, past)
	if err != nil {
		return nil, nil, err
	}
	if !opts.Budget.IsZero() {
		spec.Budget = opts.Budget
	}
	wf, err := o.workflowOf(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	r, err := restored(run, spec, wf)
	if err != nil {
		return nil, nil, err
	}
	r.again, r.failed = opts.RerunOnce, opts.Failed
	r.opts.AskCalls, r.opts.AskTimeout, r.opts.Drain = opts.AskCalls, opts.AskTimeout, opts.Drain
	r.opts.OnStart, r.opts.OnEvent, r.opts.OnTask, r.opts.OnExplain = opts.OnStart, opts.OnEvent, opts.OnTask, opts.OnExplain
	if opts.MaxParallel > 0 {
		r.opts.MaxParallel = opts.MaxParallel
	}
	if err := r.opts.part().Check(r.wf); err != nil {
		return nil, nil, err
	}
	for _, id := range opts.RerunOnce {
		if !hasStep(r.wf, id) {
			return nil, nil, runs.NoStep(id, allSteps(r.wf))
		}
	}
	r.changes = o.changes(ctx, r, past)
	if len(r.changes) > 0 && !opts.AcceptChanges {
		return nil, nil, invalid(&ChangedError{Run: run.ID, Changes: r.changes})
	}
	if end := past.Exited; end != nil && past.Ended != nil && len(r.changes) == 0 {
		return nil, nil, invalid(runs.WrongState(&run, fmt.Errorf("run %s: %w: it exited at %s, %s: %s", run.ID, ErrRunExited, end.Step, end.Status, end.Message)))
	}
	if len(r.changes) > 0 {
		if r.spec, err = o.spec(ctx, r.wf, r.opts); err != nil {
			return nil, nil, err
		}
		r.spec.Dir, r.spec.Earlier = spec.Dir, spec.Earlier
	}
	r.files = newChangedFiles(o, past)
	env, err := r.wf.WithVars(workflow.Env{Params: r.params, Run: map[string]any{"id": r.id}, Env: runs.Env(r.wf), ChangedFiles: r.files.in(ctx)})
	if err == nil {
		err = o.checkCommands(ctx, r.wf, env, &r.opts, past)
	}
	if err != nil {
		return nil, nil, invalid(err)
	}
	// Steps that finished before changes were accepted may not fit them, also if
	// nothing has changed since.
	r.changed = len(r.changes) > 0 || past.Spec != nil
	return r, past, nil
}

// restored returns a run as its spec has it.
func restored(run journal.Run, spec *runs.Spec, wf *workflow.Workflow) (*pendingRun, error) {
	r := &pendingRun{id: run.ID, started: run.StartedAt, spec: spec, wf: wf}
	var err error
	if r.params, err = wf.BindParams(spec.Params); err != nil {
		return nil, invalid(err)
	}
	r.opts = RunOptions{
		Params: spec.Params, MaxParallel: spec.MaxParallel, Model: spec.Model, Runner: spec.Runner, Policy: spec.Policy, AllowEnv: spec.AllowEnv,
		File: spec.File, Budget: spec.Budget, Batch: spec.Batch, From: spec.From, Only: spec.Only, Tags: spec.Tags, Key: spec.Key, Team: spec.Team, Settings: spec.Settings,
		tasks: spec.Tasks, Attached: spec.Attached,
	}
	return r, nil
}

// resumed returns the event that journals the resume.
func (r *pendingRun) resumed() (journal.Resumed, error) {
	detail := journal.Resumed{Changes: r.changes}
	if len(r.changes) == 0 {
		return detail, nil
	}
	var err error
	detail.Spec, err = json.Marshal(r.spec)
	return detail, err
}

func hasStep(wf *workflow.Workflow, id string) bool {
	for s := range allSteps(wf) {
		if s.ID == id {
			return true
		}
	}
	return false
}

// workflowOf reads the workflow of a run: its file as it is now, else as it was.
func (o *Orchestrator) workflowOf(ctx context.Context, spec *runs.Spec) (*workflow.Workflow, error) {
	if spec.File != "" {
		data, err := openfile.Read(spec.Path(), maxWorkflow)
		if err == nil {
			return o.ParseWorkflow(spec.File, data, spec.AllowEnv...)
		}
		o.notice(ctx, fmt.Sprintf("the workflow's file cannot be read (%v); the run continues with the workflow as it was", err))
	}
	return spec.Recorded(o.CheckAgent)
}

// vanished names those of the files that a foreach found which are not there any
// more. A resume that accepts that lists the files again.
func (o *Orchestrator) vanished(paths []string) []string {
	var gone []string
	for _, path := range paths {
		name := path
		if !filepath.IsAbs(name) {
			name = filepath.Join(o.opts.Dir, path)
		}
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, "file "+path+" is gone")
		}
	}
	return gone
}

// changes returns what differs from when the run was started: the workflow, agents,
// the environment, and the files that finished steps have read.
func (o *Orchestrator) changes(ctx context.Context, r *pendingRun, past *journal.State) []string {
	changes := o.changedDigests(ctx, r)
	was := map[string]string{}
	for _, u := range past.Order {
		if u.Expanded != nil {
			changes = append(changes, o.vanished(u.Expanded.Paths)...)
		}
		if u.Type != journal.StepFinished {
			continue
		}
		for name, sum := range u.Started.Inputs {
			if path, ok := strings.CutPrefix(name, "file "); ok {
				was[path] = sum
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(was)) {
		files, err := o.files.Read(ctx, []string{path}, attach.Limits{})
		switch {
		case errors.Is(err, attach.ErrNoMatch) && slices.Contains(changes, "file "+path+" is gone"):
		case err != nil:
			changes = append(changes, "file "+path+" cannot be read any more")
		case len(files) == 1 && task.Digest([]byte(files[0].Content)) != was[path]:
			changes = append(changes, "file "+path+" has changed")
		}
	}
	return changes
}

// changedDigests returns what of the workflow, the agents and the environment differs from
// when the run was started.
func (o *Orchestrator) changedDigests(ctx context.Context, r *pendingRun) []string {
	var changes []string
	now := o.digests(ctx, r.wf)
	for _, name := range slices.Sorted(maps.Keys(r.spec.Digests)) {
		switch sum, ok := now[name]; {
		case !ok && strings.HasPrefix(name, "agent "):
			// No step asks it any more: then the workflow has changed.
		case !ok:
			changes = append(changes, name+" is gone")
		case sum != r.spec.Digests[name]:
			changes = append(changes, name+" has changed")
		}
	}
	return changes
}
