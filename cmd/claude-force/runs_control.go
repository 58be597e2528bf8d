package main

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/client"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

type resumeFlags struct {
	callFlags
	accept   bool
	failed   bool
	again    []string
	parallel int
	all      bool
	explain  bool
	quiet    bool
	reports  reportFlags
	output   outputFlag
	sealLog  bool // encrypt what is said, if stores are encrypted
}

func (a *app) runsResume() *cobra.Command {
	var f resumeFlags
	cmd := &cobra.Command{
		Use:   "resume RUN",
		Short: "Resume a run that was interrupted or cancelled, has failed or crashed",
		Long: `Resume a run. Steps that have finished are taken from its journal, whatever
their order; only the rest runs. It continues in the folder, and with the flags,
that it started with.

If the workflow, an agent or a file that was read has changed since, the command
lists the changes and asks you. --accept-changes accepts them without a question:
steps with an unchanged request keep their results, the rest runs again.

--failed re-runs all that "claude-force runs failed" lists, also items and steps
whose failure the run tolerated, and then what was left out because of them. The
run may be completed. What has finished is not called again, also if it worked
without what failed; "claude-force run --from STEP" re-runs such a step.`,
		Example: `  claude-force runs resume latest
  claude-force runs resume run_3fa9 --accept-changes
  claude-force runs resume latest --failed
  claude-force runs resume latest --again deploy    # a step with effects "once" that may have run`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.server != "" {
				return a.resumeRemote(cmd.Context(), &f, args[0])
			}
			return a.resumeRun(cmd.Context(), &f, args[0])
		},
	}
	f.register(cmd)
	f.tools.register(cmd)
	f.approvals.register(cmd)
	for _, name := range []string{"model", "no-cache", "refresh"} {
		if err := cmd.Flags().MarkHidden(name); err != nil {
			panic(err) // registered above
		}
	}
	cmd.Flags().BoolVar(&f.accept, "accept-changes", false, "resume although the workflow, an agent or a file has changed")
	cmd.Flags().BoolVar(&f.failed, "failed", false, "re-run all that failed, also what the run went on without")
	cmd.Flags().StringArrayVar(&f.again, "again", nil, "step with effects \"once\" that may start again; may be repeated")
	cmd.Flags().IntVar(&f.parallel, "max-parallel", 0, "most steps at once, instead of the run's own limit")
	cmd.Flags().BoolVar(&f.all, "all", false, "print the output of every step")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "say for each step why it was or was not answered from before")
	cmd.Flags().BoolVar(&f.quiet, "quiet", false, "print no outputs; see them with \"claude-force runs output\"")
	f.reports.register(cmd.Flags())
	f.output.register(cmd)
	cmd.Flags().BoolVar(&f.sealLog, "seal-log", false, "keep what is printed for a log: encrypted, if stores are")
	if err := cmd.Flags().MarkHidden("seal-log"); err != nil {
		panic(err) // registered above
	}
	return cmd
}

func (a *app) resumeRun(ctx context.Context, f *resumeFlags, id string) error {
	if err := f.reports.check(); err != nil {
		return err
	}
	if err := f.output.check(); err != nil {
		return err
	}
	if f.sealLog {
		if err := a.sealMessages(ctx, id); err != nil {
			return err
		}
	}
	var detail *runs.Detail
	err := a.withHistory(ctx, func(store journal.Store) (err error) {
		detail, err = runs.Load(ctx, store, id)
		return err
	})
	if err != nil {
		return err
	}
	if err := f.reports.checkWorkflow(detail.Workflow); err != nil {
		return err
	}
	f.inherit(detail.Spec.Settings)
	orch, err := a.openIn(ctx, &f.callFlags, claudeforce.Options{Dir: detail.Spec.Dir, KeyOptional: !f.accept && !detail.Workflow.NeedsModel()})
	if err != nil {
		return err
	}
	return closing(a.resumeSteps(ctx, orch, f, detail), orch)
}

// inherit takes the flags that were not given from the settings that the run was
// started with.
func (f *callFlags) inherit(s runs.Settings) {
	if f.simulate == "" {
		f.simulate = s.Simulator
	}
	if f.script == "" && f.simulate != "" {
		f.script = s.Script
	}
	f.noCache = f.noCache || s.NoCache
	f.tools.inherit(s.Tools)
	f.noMemory = f.noMemory || s.NoMemory
	f.approvals.inherit(s)
	if f.jobs == 0 {
		f.jobs = s.Jobs
	}
	if f.timeout == 0 {
		f.timeout = s.Timeout
	}
}

func (a *app) resumeSteps(ctx context.Context, orch *claudeforce.Orchestrator, f *resumeFlags, detail *runs.Detail) error {
	refs, err := detail.Spec.TaskRefs()
	if err != nil {
		return err
	}
	if refs != nil && len(f.reports.given) > 0 {
		return badInput("--report is of the run of a workflow, and %s has a list of tasks; see claude-force runs output --format csv", detail.Run.ID)
	}
	if refs != nil && f.output.given() {
		return badInput("--output is of the run of a workflow, and %s has a list of tasks; once it has ended: claude-force runs output --output", detail.Run.ID)
	}
	if refs != nil && !f.quiet {
		return a.resumeTasks(ctx, orch, f, detail.Run.ID, refs.Count())
	}
	var p progress = plain{a}
	k := a.newApprover(ctx, orch)
	defer k.close()
	spending, err := f.spending()
	if err != nil {
		return err
	}
	ask, timeout, err := f.approvals.resolve(a.canAsk())
	if err != nil {
		return err
	}
	var running underway
	var memory memoryLimit
	defer a.waitFor(running.String)()
	opts := claudeforce.ResumeOptions{
		AskCalls: ask, AskTimeout: timeout,
		Budget: spending, AcceptChanges: f.accept, Failed: f.failed, RerunOnce: f.again, MaxParallel: f.parallel, Drain: a.stopping,
		OnStart: func(_ context.Context, id string) {
			// The workflow may be another one, if its changes were accepted.
			if now, err := readRun(ctx, orch, id); err == nil {
				detail = now
			}
			p = a.newProgress(detail.Workflow, orch.Totals)
			k.begin(id)
		},
		OnEvent: func(_ context.Context, ev engine.Event) {
			memory.observe(ev)
			running.observe(ev)
			p.observe(ev)
			k.observe(ev)
		},
	}
	var why []claudeforce.Explanation
	if f.explain {
		opts.OnExplain = func(_ context.Context, x claudeforce.Explanation) { why = append(why, x) }
	}
	res, err := a.resumeAsking(ctx, orch, detail.Run.ID, opts)
	p.close()
	if res == nil {
		return err
	}
	return a.endRun(detail.Workflow, res, err, ending{json: f.json, all: f.all, noOutputs: f.quiet, why: why, explain: f.explain, reports: f.reports, output: f.output})
}

// resumeTasks resumes a run of tasks and prints what came of all of them, as
// "execute" does.
func (a *app) resumeTasks(ctx context.Context, orch *claudeforce.Orchestrator, f *resumeFlags, id string, count int) error {
	spending, err := f.spending()
	if err != nil {
		return err
	}
	opts := claudeforce.ResumeOptions{Budget: spending, AcceptChanges: f.accept, Failed: f.failed, MaxParallel: f.parallel, Drain: a.stopping}
	return a.showTasks(ctx, orch, f.json, count, func(ctx context.Context, onTask func(context.Context, int, *claudeforce.Result)) (*engine.Result, error) {
		opts.OnTask = onTask
		return a.resumeAsking(ctx, orch, id, opts)
	})
}

// resumeAsking resumes a run. It asks the user whether to, if something has changed.
func (a *app) resumeAsking(ctx context.Context, orch *claudeforce.Orchestrator, id string, opts claudeforce.ResumeOptions) (*engine.Result, error) {
	res, err := orch.ResumeRun(ctx, id, opts)
	changed, ok := errors.AsType[*claudeforce.ChangedError](err)
	if !ok || !a.canAsk() {
		return res, err
	}
	a.say("Since run %s was stopped, this has changed:\n  %s", changed.Run, strings.Join(changed.Changes, "\n  "))
	yes, aerr := a.confirm(ctx, "Resume? Unchanged steps keep their results, the rest runs again.")
	if aerr != nil || !yes {
		return res, cmp.Or(aerr, err)
	}
	opts.AcceptChanges = true
	return orch.ResumeRun(ctx, id, opts)
}

// readRun returns what is known of a run of an orchestrator.
func readRun(ctx context.Context, orch *claudeforce.Orchestrator, id string) (*runs.Detail, error) {
	store, err := orch.History(ctx)
	if err != nil {
		return nil, err
	}
	return runs.Load(ctx, store, id)
}

// cancelRun stops a run, or has its server do so.
func cancelRun(ctx context.Context, store journal.Store, id string) (signaled bool, err error) {
	if h, ok := store.(*client.History); ok {
		return h.Cancel(ctx, id)
	}
	return runs.Cancel(ctx, store, id)
}

// whoStops says who was signaled to stop a run, and when it does.
func whoStops(ctx context.Context, store journal.Store, id string) string {
	if run, err := runs.Find(ctx, store, id); err == nil && run.Engine != "" {
		return "the workers of " + run.Engine + " were signaled; the run stops once one of them has seen it"
	}
	return "the process that owns the run was signaled; it stops within a second"
}

func (a *app) runsCancel() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "cancel RUN",
		Short:             "Stop a run",
		Long:              "Stop a run: calls in flight are canceled, and it does not continue by itself. What has\nfinished is kept; \"claude-force runs resume\" continues the run.",
		Example:           `  claude-force runs cancel latest`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				signaled, err := cancelRun(cmd.Context(), store, args[0])
				if err != nil {
					return err
				}
				switch {
				case asJSON:
					return printJSON(a.stdout, map[string]bool{"signaled": signaled, "cancelled": !signaled, "told": signaled})
				case signaled:
					a.say("%s", whoStops(cmd.Context(), store, args[0]))
				default:
					a.say("cancelled")
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object: whether a process was signaled, or the run is cancelled already")
	return cmd
}
