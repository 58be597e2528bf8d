package claudeforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/workflow"
)

// RunOptions configure one run of a workflow. The zero value is ready.
type RunOptions struct {
	// ID is the run's id, as [runs.NewID] and [runs.IDFor] make it. Empty means a random one. The
	// error of an id that a run has is [journal.ErrExists].
	ID string

	Params      map[string]string // values of the workflow's parameters
	MaxParallel int               // instead of the workflow's; 0 for that
	Model       string            // instead of every step's
	Runner      string            // instead of every step's: one of [task.Runners]
	Policy      llm.Policy        // how the cache treats the calls; [llm.PolicyRefresh] ignores what is cached
	AllowEnv    []string          // environment variables that expressions may read, as given to [LoadWorkflow]
	File        string            // path of the workflow's file; empty if it has none
	Budget      workflow.Budget   // instead of the workflow's; the zero value for that
	Batch       bool              // send the calls of all steps by way of message batches

	// From and Only limit the run to a part of its workflow, with the results of
	// the rest from the latest run; see [runs.Part]. What runs is re-run, also if
	// its answers are cached. At most one of them is set.
	From, Only string

	// Attached is material that the agent of every step is given first, such as
	// files in the form of [attach.Text].
	Attached string

	// Plan is what the run is expected to take, from [Orchestrator.Plan]. It is
	// kept with the run, so that later plans can say how far off it was. Nil
	// means there is none.
	Plan *plan.Plan

	// Tags are kept with the run for the caller.
	Tags map[string]string

	// Drain, when closed, stops the run from starting anything more, retries
	// and calls that were not sent yet included; what is in flight may finish.
	Drain <-chan struct{}

	// AskCalls lets steps wait for approval of calls of tools that no rule allows, as
	// [Orchestrator.Decide] gives it, whatever process the run is in by then. No
	// answer within AskTimeout means no; 0 waits forever. Without AskCalls such a
	// call is denied at once.
	AskCalls   bool
	AskTimeout time.Duration

	// Key is the name of the key that the run is for, and Team its team; empty for the
	// owner of the data folder. Its calls are those of the key, also after a resume: they
	// need a key that is good, a model that it may call and room in its budgets.
	Key, Team string

	// Settings are kept with the run for the process that resumes it.
	Settings runs.Settings

	// OnStart receives the run's id before anything starts. Callbacks run one at
	// a time on the goroutine that called RunWorkflow; a nil one is not called.
	OnStart func(ctx context.Context, id string)

	// OnEvent receives every change of a step.
	OnEvent func(ctx context.Context, ev engine.Event)

	// OnTask receives what came of each task of a run of tasks, see
	// [Orchestrator.RunTasks], with the task's number in the list, from 0. Tasks
	// that had finished before the run was resumed are among them.
	OnTask func(ctx context.Context, number int, res *Result)

	// OnExplain receives, for every step that has completed, why it was reused
	// or was run.
	OnExplain func(ctx context.Context, x Explanation)

	// Engine is what works on the run instead of a process: [EngineTemporal], or empty.
	// Only [Orchestrator.SubmitRun] takes one. The store must be one whose runs several
	// processes may write at once; see [journal.Joiner].
	Engine string

	tasks bool // the workflow is a list of tasks
}

// part returns the part of the workflow that the run is limited to.
func (o *RunOptions) part() runs.Part { return runs.Part{From: o.From, Only: o.Only} }

// cachePolicy returns the cache policy of the run's calls. A partial run (From,
// Only) bypasses cached answers: the user wants new ones.
func (o *RunOptions) cachePolicy() llm.Policy {
	if !o.part().Whole() && o.Policy == llm.PolicyDefault {
		return llm.PolicyRefresh
	}
	return o.Policy
}

// RunWorkflow runs a workflow to its end. Without a result, the run did not
// start: a parameter, an agent or a file is missing, and nothing was spent. With
// a result, the error is a [*RunError] if the run did not complete, or says that
// the journal could not be written and the run was stopped. The result is
// complete in any case.
//
// What happens is written to the journal; [Orchestrator.ResumeRun] resumes a run
// that was stopped or crashed.
func (o *Orchestrator) RunWorkflow(ctx context.Context, wf *workflow.Workflow, opts RunOptions) (*engine.Result, error) {
	if opts.Engine != "" {
		return nil, invalid(fmt.Errorf("the engine %s works on runs that are submitted, not on those of a process", opts.Engine))
	}
	r, err := o.newRun(ctx, wf, opts)
	if err != nil {
		return nil, err
	}
	return withRunError(o.drive(ctx, r, nil))
}

// SubmitRun checks a run and writes it down without starting it, and returns its
// id: [Orchestrator.ResumeRun] starts it, in any process, unless it has an Engine.
func (o *Orchestrator) SubmitRun(ctx context.Context, wf *workflow.Workflow, opts RunOptions) (string, error) {
	r, err := o.newRun(ctx, wf, opts)
	if err != nil {
		return "", err
	}
	if err := r.log.Release(); err != nil {
		return "", fmt.Errorf("writing run %s: %w", r.id, err)
	}
	return r.id, nil
}

// pendingRun is a run that is about to be driven.
type pendingRun struct {
	id      string
	started time.Time
	wf      *workflow.Workflow
	spec    *runs.Spec
	params  map[string]any
	opts    RunOptions
	log     journal.Log
	changed bool     // since steps of it finished
	changes []string // since it was stopped
	again   []string
	failed  bool // what failed runs again, whatever the run made of that
	files   *changedFiles
}

// newRun checks a run and writes it down.
func (o *Orchestrator) newRun(ctx context.Context, wf *workflow.Workflow, opts RunOptions) (*pendingRun, error) {
	params, err := wf.BindParams(opts.Params)
	if err != nil {
		return nil, invalid(err)
	}
	if err := opts.part().Check(wf); err != nil {
		return nil, invalid(err)
	}
	id := cmp.Or(opts.ID, runs.NewID())
	files := newChangedFiles(o, nil)
	env, err := o.check(ctx, wf, workflow.Env{Params: params, Run: map[string]any{"id": id}, Env: runs.Env(wf), ChangedFiles: files.in(ctx)}, &opts)
	if err == nil {
		err = o.checkCommands(ctx, wf, env, &opts, nil)
	}
	if err != nil {
		return nil, invalid(err)
	}
	store, err := o.history(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.checkEngine(store, opts.Engine); err != nil {
		return nil, err
	}
	r := &pendingRun{id: id, started: time.Now(), wf: wf, params: params, opts: opts, files: files}
	if r.spec, err = o.spec(ctx, wf, opts); err != nil {
		return nil, err
	}
	if err := o.checkLedger(r); err != nil {
		return nil, err
	}
	if opts.From != "" || opts.Only != "" {
		earlier, err := runs.Latest(ctx, store, r.spec.Path(), wf.Name, "")
		if err != nil {
			return nil, err
		}
		if earlier == nil {
			return nil, invalid(errNoPrevious)
		}
		r.spec.Earlier = earlier.ID
	}
	data, err := json.Marshal(r.spec)
	if err != nil {
		return nil, fmt.Errorf("writing run %s: %w", id, err)
	}
	r.log, err = store.Create(ctx, journal.Run{ID: id, Workflow: wf.Name, File: r.spec.Path(), Engine: opts.Engine, StartedBy: r.spec.Key, Spec: data})
	if err != nil {
		return nil, fmt.Errorf("writing run %s: %w", id, err)
	}
	return r, nil
}

// spec returns what a run is started with, for its journal.
func (o *Orchestrator) spec(ctx context.Context, wf *workflow.Workflow, opts RunOptions) (*runs.Spec, error) {
	dir, err := filepath.Abs(o.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the working directory: %w", err)
	}
	spec := &runs.Spec{
		Version: runs.SpecVersion, Dir: dir, File: opts.File, Source: string(wf.Source), Files: map[string]string{},
		Params: opts.Params, AllowEnv: opts.AllowEnv, Model: opts.Model, Runner: opts.Runner, Policy: opts.Policy,
		MaxParallel: opts.MaxParallel, Budget: opts.Budget, Batch: opts.Batch, From: opts.From, Only: opts.Only, Tags: opts.Tags, Key: opts.Key, Team: opts.Team, Settings: opts.Settings,
		Named: wf.Named(), Commands: wf.SlashCommands(), Digests: o.digests(ctx, wf), Simulated: o.opts.Simulator != nil, Tasks: opts.tasks, Attached: opts.Attached,
	}
	if opts.Plan != nil {
		spec.Plan = opts.Plan.Promise()
	}
	for path, sub := range wf.All() {
		if sub != wf {
			spec.Files[path] = string(sub.Source)
		}
	}
	return spec, nil
}

// digests returns those of what a run depends on beside what it is given: the
// workflow's files, the agents and the environment.
func (o *Orchestrator) digests(ctx context.Context, wf *workflow.Workflow) map[string]string {
	sums := map[string]string{}
	for path, w := range wf.All() {
		name := "workflow " + path
		if w == wf {
			name = "workflow"
		}
		sums[name] = task.Digest(w.Source)
	}
	for s := range allVariants(wf) {
		if s.Agent == "" || s.Inline != nil {
			continue // to look for one without a name would be the slowest of all; the others are in the workflow's file
		}
		if a, err := o.agent(ctx, s.Agent); err == nil {
			text := fmt.Appendf(nil, "%q %q %q %d", a.Prompt, a.Model, a.Effort, a.MaxTokens)
			if a.ModelFloor != "" || a.ModelCeiling != "" {
				text = fmt.Appendf(text, " %q %q", a.ModelFloor, a.ModelCeiling)
			}
			sums["agent "+s.Agent] = task.Digest(text)
		}
	}
	for name, c := range wf.SlashCommands() {
		data, err := json.Marshal(c)
		if err == nil {
			sums["command "+name] = task.Digest(data)
		}
	}
	for _, name := range wf.EnvNames() {
		sums["environment variable "+name] = task.Digest([]byte(os.Getenv(name)))
	}
	return sums
}

// drive runs a run to its end. past is what its journal says so far; nil for a
// new one.
func (o *Orchestrator) drive(ctx context.Context, r *pendingRun, past *journal.State) (res *engine.Result, err error) {
	ctx, span := o.tell.Run(ctx, r.id, r.wf.Name, past != nil)
	defer func() { span.End(runStatus(res, err), err) }()
	defer func() { err = errors.Join(err, r.log.Release()) }()
	defer o.forget(r.wf)
	store, err := o.history(ctx)
	if err != nil {
		return nil, err
	}
	previous, err := runs.LoadPrevious(ctx, store, r.id, r.spec, r.wf)
	if err != nil {
		return nil, err
	}
	after := int64(0)
	if past != nil {
		after = past.LastSeq
	}
	control, stop := o.listen(ctx, store, r.id, after)
	defer stop()
	opts := r.opts
	kept := newReuse(o, &opts)
	observe := opts.OnEvent
	if opts.OnExplain != nil {
		observe = o.explaining(opts, previous, past, kept)
	}
	if observe, err = o.tasked(r, observe); err != nil {
		return nil, err
	}
	again := map[string]bool{}
	for _, id := range r.again {
		again[id] = true
	}
	if opts.OnStart != nil {
		opts.OnStart(ctx, r.id)
	}
	o.noteParallel(ctx, r.wf, opts)
	missed := o.missed()
	options := o.engineOptions(ctx, r, store, previous, kept)
	options.Drain, options.Observe, options.Log, options.Past, options.Control = opts.Drain, observing(span, observe), r.log, past, control
	options.Changed, options.Again, options.Failed = r.changed, again, r.failed
	res, err = engine.Run(ctx, r.wf, options)
	if res != nil && res.Status == engine.StatusFailed && !res.FailWhen && res.Exited == nil && res.OverBudget() && r.budget(o.config.Budget).OnExceed == workflow.OnExceedPartial {
		res.Status = engine.StatusPartial
	}
	if n := o.missed() - missed; n > 0 && res != nil && (res.Status == engine.StatusCompleted || res.Status == engine.StatusPartial) {
		// Whatever the workflow does about failures, this is not the run that was recorded.
		res.Status, res.Error = engine.StatusFailed, new(fmt.Sprintf("%d of the run's calls are not in the recording", n))
	}
	return res, err
}

// engineOptions returns the options of a run that follow from what it was started with.
func (o *Orchestrator) engineOptions(ctx context.Context, r *pendingRun, store journal.Store, previous *runs.Previous, kept *reuse) engine.Options {
	opts := r.opts
	save := o.save
	if o.opts.Replay != nil {
		save = nil
	}
	return engine.Options{
		RunID: r.id, Params: r.params, Env: runs.Env(r.wf),
		Execute: func(ctx context.Context, a engine.Attempt) (llm.Outcome, error) {
			tags := llm.Tags{Workflow: r.wf.Name, Run: r.id, Step: a.Path, Item: a.Item, Key: r.spec.Key, Team: r.spec.Team}
			ctx = llm.WithDrain(ctx, opts.Drain)
			ctx = admission.WithRun(o.withBudgets(llm.WithTags(ctx, tags), r, a.Step), r.id)
			return o.attempt(ctx, a, &opts)
		},
		Identify:     func(s *workflow.Step) engine.Identity { return o.identify(ctx, s, &opts) },
		Attach:       o.attach,
		Glob:         o.glob,
		ChangedFiles: r.files.list,
		MaxParallel:  parallel(r.wf, opts),
		Duration:     previous.Duration(),
		Choose:       opts.part().Choose(r.wf),
		Earlier:      previous.State,
		Before:       previous.State,
		Unchanged:    kept.unchanged,
		Saw:          kept.saw,
		Save:         save,
		AskCalls:     opts.AskCalls,
		AskTimeout:   opts.AskTimeout,
		Decided: func(ctx context.Context, unit journal.Unit) (*journal.Decision, error) {
			return runs.Decision(ctx, store, r.id, unit)
		},
	}
}

// missed returns how many calls were not in the recording that is replayed.
func (o *Orchestrator) missed() int {
	if o.opts.Replay == nil {
		return 0
	}
	return o.opts.Replay.Missed()
}

// batchParallel is how many steps of a run are under way at once if any is sent
// by way of a batch, since all that are ready should go into one.
const batchParallel = 10_000

// parallel returns how many steps may be under way at once; 0 for the engine's own
// limit.
func parallel(wf *workflow.Workflow, opts RunOptions) int {
	if opts.MaxParallel > 0 || wf.MaxParallel > 0 {
		return opts.MaxParallel
	}
	if opts.Batch {
		return batchParallel
	}
	for s := range allSteps(wf) {
		if s.Latency == workflow.LatencyBatch {
			return batchParallel
		}
	}
	return 0
}

// check finds what would stop a step before anything is spent on the others:
// agents that are missing, bounds of models that are none, and files that no pattern finds. Patterns that use
// what is only known during the run cannot be checked yet. It returns env with the
// workflow's vars.
func (o *Orchestrator) check(ctx context.Context, wf *workflow.Workflow, env workflow.Env, opts *RunOptions) (workflow.Env, error) {
	env, err := wf.WithVars(env)
	if err != nil {
		return env, err
	}
	if errs := wf.CheckChanges(env); len(errs) > 0 {
		return env, errs
	}
	var errs []error
	for _, p := range wf.Params {
		name, ok := env.Params[p.Name].(string)
		if p.Format != workflow.FormatFile || !ok {
			continue
		}
		if _, err := o.files.List(ctx, []string{name}, attach.Limits{}); err != nil {
			errs = append(errs, fmt.Errorf("parameter %s: %w", p.Name, err))
		}
	}
	errs = append(errs, o.checkModels(ctx, wf, opts))
	errs = append(errs, o.checkFiles(ctx, wf, env, opts)...)
	if o.tools != nil {
		errs = append(errs, sharedEdits(ctx, o.tools, o.agent, wf))
	}
	return env, errors.Join(errs...)
}

// CheckModels returns what is wrong with the models of a run's steps, as far as it is known
// before the run. The error is an [InputError].
func (o *Orchestrator) CheckModels(ctx context.Context, wf *workflow.Workflow, opts RunOptions) error {
	return invalid(o.checkModels(ctx, wf, &opts))
}

func (o *Orchestrator) checkModels(ctx context.Context, wf *workflow.Workflow, opts *RunOptions) error {
	var errs []error
	for s := range allVariants(wf) {
		if s.Agent == "" {
			continue
		}
		err := o.tasks.CheckModel(ctx, stepTask(s, opts))
		if err == nil && o.opts.Replay == nil {
			err = checkRunner(ctx, o.tasks, stepTask(s, opts))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("step %s: %w", s.ID, err))
		}
	}
	return errors.Join(errs...)
}

// static reports whether a text is the same throughout a run.
func static(v *workflow.Value) bool {
	for root := range v.Uses() {
		if root != "params" && root != "vars" && root != "env" && root != "run" {
			return false
		}
	}
	return true
}
