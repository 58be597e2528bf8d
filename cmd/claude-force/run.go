package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

type runFlags struct {
	callFlags
	params   paramFlags
	env      []string
	parallel int
	all      bool
	from     string
	only     string
	fresh    bool
	explain  bool
	detach   bool
	engine   string
	record   string
	replay   string
	plan     bool
	yes      bool
	quiet    bool
	attach   []string
	reports  reportFlags
	output   outputFlag
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE|NAME",
		Short: "Run a workflow",
		Long: `Run a workflow, a YAML or JSON file of steps: each gives one agent one task,
after the steps it depends on. Independent steps run in parallel. NAME is that of a
workflow in .claude/workflows; see "claude-force workflow list".

The outputs of the last steps are printed; --all prints every step's. The
first interrupt starts no more steps and waits for those that run, the second
cancels them. Every event is stored at once: resume a run that was interrupted,
failed or crashed with "claude-force runs resume". What has finished is not paid
for again.

When a workflow is run again, unchanged steps are answered from the cache;
--explain shows for each step why it was or was not. --from and --only reuse the
results of other steps from the previous run, whatever has changed.

--plan first prints what the run will cost and how long it will take, and asks
whether to run; without a terminal nothing is run, unless --yes is given. See
"claude-force plan".

--record writes every call and answer into a folder; --replay runs the workflow
from it without a network, and fails on any call that is not in it.

--report writes what came of the run into files, as Markdown, JUnit XML
or SARIF, also if it failed or was interrupted.

With --engine temporal, workers of Temporal run it, and this command follows it: any of
them can be lost without the run. It needs a store that they share, a PostgreSQL
database, and workers that work in the same folder; see docs/temporal.md.

With --server the workflow of that name or path in the server's project is run
there, with the server's settings; an interrupt leaves the run as it is.

--output writes the outputs into a file or a folder, once the run is done, in
place of the standard output. The extension of a file says its form: .json, .csv
and .jsonl are as in "save", and all else is text. A path that ends in a slash,
or that is a folder, gets a file for each step and each item of a foreach, and
run.json with their list. What was there is replaced whole, and stays if the run
fails.

Exit codes: 0 done, 1 a step or the workflow's fail_when failed the run, 2 bad input or configuration, 3 a budget
left no room for a step, 130 interrupted.`,
		Example: `  claude-force run workflow.yaml
  claude-force run review.yaml --param path=./src --max-parallel 4
  claude-force run leads.yaml --param rows=@leads.csv
  git diff | claude-force run review.yaml --param diff=@-
  git diff | claude-force run review.yaml --attach - --quiet > review.md
  claude-force run workflow.json --json | jq .total_time_seconds
  claude-force run workflow.yaml --simulate
  claude-force run workflow.yaml --explain
  claude-force run workflow.yaml --from review
  claude-force run workflow.yaml --plan
  claude-force run nightly.yaml --detach
  claude-force run nightly.yaml --engine temporal
  claude-force --server https://force.example.com run nightly --param day=mon
  claude-force run review.yaml --report md=summary.md,junit=junit.xml
  claude-force run review.yaml --output review.md
  claude-force run review.yaml --output results/
  claude-force run workflow.yaml --record testdata/review
  claude-force run workflow.yaml --replay testdata/review`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.server != "" {
				return a.runRemote(cmd.Context(), cmd, &f, args[0])
			}
			return a.runWorkflow(cmd.Context(), &f, args[0])
		},
	}
	withServer(cmd)
	f.register(cmd)
	f.tools.register(cmd)
	f.approvals.register(cmd)
	flags := cmd.Flags()
	f.params.register(flags)
	f.reports.register(flags)
	f.output.register(cmd)
	flags.StringArrayVar(&f.env, "allow-env", nil, "environment variable that expressions may read; may be repeated")
	flags.IntVar(&f.parallel, "max-parallel", 0, "most steps at once, instead of the workflow's own limit")
	flags.BoolVar(&f.all, "all", false, "print the output of every step")
	flags.StringVar(&f.from, "from", "", "re-run this step and what depends on it; reuse the other results of the previous run")
	flags.StringVar(&f.only, "only", "", "run only this step; reuse what it depends on from the previous run")
	flags.BoolVar(&f.fresh, "fresh", false, "re-run everything and store the new answers (the same as --refresh)")
	flags.BoolVar(&f.explain, "explain", false, "show for each step why it was or was not answered from the cache or a previous run")
	flags.BoolVar(&f.detach, "detach", false, "print the run's id and run in the background; follow it with \"claude-force runs watch\"")
	flags.StringVar(&f.engine, "engine", "", "what runs the workflow instead of this process: temporal, by way of its workers")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print the output and what failed, without progress, notes and summary")
	f.registerAttach(flags)
	flags.StringVar(&f.record, "record", "", "write every call and answer into this folder")
	flags.StringVar(&f.replay, "replay", "", "answer every call from this folder, without a network")
	flags.BoolVar(&f.plan, "plan", false, "print the cost and time of the run, and ask whether to run")
	flags.BoolVarP(&f.yes, "yes", "y", false, "with --plan: run without asking")
	return cmd
}

func (f *runFlags) registerAttach(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.attach, "attach", nil, "files to give to the agent of every step, as a path or glob; - for the standard input; may be repeated")
}

func (a *app) runWorkflow(ctx context.Context, f *runFlags, path string) error {
	wf, opts, err := a.runOptions(ctx, f, path)
	if err != nil {
		return err
	}
	if f.record != "" || f.replay != "" {
		return a.runCassette(ctx, f, wf, opts)
	}
	orch, err := a.openIn(ctx, &f.callFlags, claudeforce.Options{KeyOptional: !wf.NeedsModel()})
	if err != nil {
		return err
	}
	if f.plan {
		p, goOn, err := a.planFirst(ctx, orch, wf, f, opts)
		if err != nil || !goOn {
			return closing(err, orch)
		}
		opts.Plan = p
	}
	if f.engine != "" {
		return closing(a.runEngine(ctx, orch, wf, f, opts), orch)
	}
	if f.detach {
		return closing(a.detach(ctx, orch, wf, opts, f.json), orch)
	}
	return closing(a.runSteps(ctx, orch, wf, f, opts), orch)
}

// runOptions returns the workflow of a file, and the options of its run from the
// flags.
func (a *app) runOptions(ctx context.Context, f *runFlags, path string) (*workflow.Workflow, claudeforce.RunOptions, error) {
	f.refresh = f.refresh || f.fresh
	var opts claudeforce.RunOptions
	if err := f.check(); err != nil {
		return nil, opts, err
	}
	if err := f.reports.check(); err != nil {
		return nil, opts, err
	}
	if err := f.output.check(); err != nil {
		return nil, opts, err
	}
	ask, timeout, err := f.approvals.resolve(f.detach || f.engine != "" || a.canAsk())
	if err != nil {
		return nil, opts, err
	}
	attached := slices.Contains(f.attach, "-")
	if attached && path == "-" {
		return nil, opts, badInput("the standard input cannot be both workflow and attachment")
	}
	a.quiet = f.quiet
	wf, err := a.loadWorkflow(path, f.env)
	if err != nil {
		return nil, opts, err
	}
	if err := f.reports.checkWorkflow(wf); err != nil {
		return nil, opts, err
	}
	a.sayNotes(wf)
	params, err := a.params(&f.params, path == "-" || attached)
	if err != nil {
		return nil, opts, err
	}
	given, err := a.readAttachments(ctx, f.attach, false)
	if err != nil {
		return nil, opts, err
	}
	spending, err := f.spending()
	if err != nil {
		return nil, opts, err
	}
	opts = claudeforce.RunOptions{
		Budget: spending, Batch: f.batch,
		Params: params, MaxParallel: f.parallel, Model: f.modelName(), Runner: f.runner, Policy: f.policy(), AllowEnv: f.env,
		From: f.from, Only: f.only, Settings: f.runSettings(), AskCalls: ask, AskTimeout: timeout, Drain: a.stopping, Engine: f.engine,
	}
	if path != "-" {
		opts.File = wf.File()
	}
	if len(given) > 0 {
		opts.Attached = attach.Text(given)
	}
	return wf, opts, nil
}

// check finds flags that do not go together.
func (f *runFlags) check() error {
	switch {
	case f.parallel < 0:
		return badInput("--max-parallel must be above 0")
	case f.record != "" && f.replay != "":
		return badInput("give --record or --replay, not both")
	case f.detach && (f.record != "" || f.replay != "" || f.explain):
		return badInput("--detach cannot be combined with --record, --replay or --explain")
	case f.engine != "" && f.engine != claudeforce.EngineTemporal:
		return badInput("--engine %q: it must be %s", f.engine, claudeforce.EngineTemporal)
	case f.engine != "" && (f.record != "" || f.replay != "" || f.explain):
		return badInput("--engine cannot be combined with --record, --replay or --explain: its workers make the calls")
	case f.detach && len(f.reports.given) > 0:
		return badInput("--detach cannot be combined with --report; once the run has ended, claude-force runs report writes one")
	case f.detach && f.output.given():
		return badInput("--detach cannot be combined with --output; once the run has ended, claude-force runs output --output writes the same")
	case f.quiet && f.explain:
		return badInput("give --quiet or --explain, not both")
	case f.yes && !f.plan:
		return badInput("--yes goes with --plan")
	case f.plan && (f.record != "" || f.replay != ""):
		return badInput("--plan cannot be combined with --record or --replay")
	case f.from != "" && f.only != "":
		return badInput("give --from or --only, not both")
	case f.replay != "" && (f.from != "" || f.only != "" || f.refresh):
		return badInput("--replay answers every call from the folder; it cannot be combined with --from, --only or --fresh")
	}
	return nil
}

func (a *app) runSteps(ctx context.Context, orch *claudeforce.Orchestrator, wf *workflow.Workflow, f *runFlags, opts claudeforce.RunOptions) error {
	p := a.newProgress(wf, orch.Totals)
	approvals := a.newApprover(ctx, orch)
	defer approvals.close()
	var running underway
	var memory memoryLimit
	defer a.waitFor(running.String)()
	opts.OnEvent = func(_ context.Context, ev engine.Event) {
		memory.observe(ev)
		running.observe(ev)
		p.observe(ev)
		approvals.observe(ev)
	}
	var why []claudeforce.Explanation
	if f.explain {
		opts.OnExplain = func(_ context.Context, x claudeforce.Explanation) { why = append(why, x) }
	}
	opts.OnStart = func(_ context.Context, id string) { approvals.begin(id) }
	res, err := orch.RunWorkflow(ctx, wf, opts)
	p.close()
	if res == nil {
		return err
	}
	return a.endRun(wf, res, err, ending{json: f.json, all: f.all, why: why, explain: f.explain, plan: opts.Plan, reports: f.reports, output: f.output})
}
