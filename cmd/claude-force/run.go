package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/runs"
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
	record   string
	replay   string
	plan     bool
	yes      bool
	quiet    bool
	attach   []string
	reports  reportFlags
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
  claude-force run review.yaml --report md=summary.md,junit=junit.xml
  claude-force run workflow.yaml --record testdata/review
  claude-force run workflow.yaml --replay testdata/review`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runWorkflow(cmd.Context(), &f, args[0]) },
	}
	f.register(cmd)
	f.tools.register(cmd)
	f.approvals.register(cmd)
	flags := cmd.Flags()
	f.params.register(flags)
	f.reports.register(flags)
	flags.StringArrayVar(&f.env, "allow-env", nil, "environment variable that expressions may read; may be repeated")
	flags.IntVar(&f.parallel, "max-parallel", 0, "most steps at once, instead of the workflow's own limit")
	flags.BoolVar(&f.all, "all", false, "print the output of every step")
	flags.StringVar(&f.from, "from", "", "re-run this step and what depends on it; reuse the other results of the previous run")
	flags.StringVar(&f.only, "only", "", "run only this step; reuse what it depends on from the previous run")
	flags.BoolVar(&f.fresh, "fresh", false, "re-run everything and store the new answers (the same as --refresh)")
	flags.BoolVar(&f.explain, "explain", false, "show for each step why it was or was not answered from the cache or a previous run")
	flags.BoolVar(&f.detach, "detach", false, "print the run's id and run in the background; follow it with \"claude-force runs watch\"")
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
	ask, timeout, err := f.approvals.resolve(f.detach || a.canAsk())
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
	given, err := a.readAttachments(ctx, f.attach)
	if err != nil {
		return nil, opts, err
	}
	spending, err := f.spending()
	if err != nil {
		return nil, opts, err
	}
	opts = claudeforce.RunOptions{
		Budget: spending, Batch: f.batch,
		Params: params, MaxParallel: f.parallel, Model: f.modelName(), Policy: f.policy(), AllowEnv: f.env,
		From: f.from, Only: f.only, Settings: f.runSettings(), AskCalls: ask, AskTimeout: timeout, Drain: a.stopping,
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
	case f.detach && len(f.reports.given) > 0:
		return badInput("--detach cannot be combined with --report; once the run has ended, claude-force runs report writes one")
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
	defer a.waitFor(running.String)()
	opts.OnEvent = func(_ context.Context, ev engine.Event) {
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
	return a.endRun(wf, res, err, ending{json: f.json, all: f.all, why: why, explain: f.explain, plan: opts.Plan, reports: f.reports})
}

// ending sets how the end of a run is printed.
type ending struct {
	json, all, explain bool
	noOutputs          bool
	why                []claudeforce.Explanation
	plan               *plan.Plan // nil if there was none
	reports            reportFlags
}

// endRun records a run that has ended, writes its reports, and prints its end: its outputs
// on the standard output, the rest on the standard error. It returns the error of the
// command.
func (a *app) endRun(wf *workflow.Workflow, res *engine.Result, failed error, how ending) error {
	if _, ok := errors.AsType[*claudeforce.RunError](failed); ok {
		failed = nil // the status says it
	}
	if a.recording != nil {
		if err := a.recording(res); err != nil {
			return fmt.Errorf("recording the run: %w", err)
		}
	}
	reportErr := how.reports.write(wf, res)
	err := a.printEnd(wf, res, failed, how)
	if err == nil {
		return reportErr
	}
	if reportErr != nil {
		a.say("claude-force: %v", reportErr)
	}
	return err
}

// printEnd prints the end of a run, and returns the error of the command.
func (a *app) printEnd(wf *workflow.Workflow, res *engine.Result, failed error, how ending) error {
	var err error
	switch {
	case how.json && how.explain:
		err = printJSON(a.stdout, struct {
			*engine.Result
			Explanations []claudeforce.Explanation `json:"explanations"`
		}{res, how.why})
	case how.json:
		err = printJSON(a.stdout, res)
	case how.noOutputs:
	default:
		err = a.printOutputs(wf, res, how.all)
	}
	if err != nil {
		return err
	}
	if a.quiet {
		a.sayFailures(wf, res)
	} else if err := a.printSummary(wf, res); err != nil {
		return err
	}
	a.sayAccuracy(how.plan, res)
	if how.explain {
		if err := a.printExplanations(how.why); err != nil {
			return err
		}
	}
	switch {
	case failed != nil:
		return fmt.Errorf("the run was stopped: %w", failed)
	case res.Status == engine.StatusInterrupted:
		a.say("interrupted; resume with: claude-force runs resume %s", res.RunID)
		return errInterrupted
	case res.Status == engine.StatusCancelled:
		a.say("cancelled")
		return errReported
	case res.Status == engine.StatusPartial:
		a.say("the budget left no room for %s: %s", plural(len(res.NotDone), "step"), notDone(res))
		return nil
	case res.Status == engine.StatusFailed && !res.FailWhen && res.OverBudget():
		a.say("the budget left no room for %s: %s", plural(len(res.NotDone), "step"), notDone(res))
		a.say("what has finished is kept; resume with: claude-force runs resume %s --budget USD", res.RunID)
		return errOverBudget
	case res.Status == engine.StatusFailed:
		if res.Error != nil {
			a.say("claude-force: %s", *res.Error)
		}
		if res.FailWhen && len(res.NotDone) == 0 {
			a.say("every step has completed; resuming changes nothing until the workflow has changed")
			return errReported
		}
		if tooLarge(res) {
			a.say("resuming changes nothing until the prompt is smaller")
			return errReported
		}
		a.say("what has finished is kept; resume with: claude-force runs resume %s", res.RunID)
		return errReported
	}
	return nil
}

// notDone names what a run did not do.
func notDone(res *engine.Result) string {
	names := make([]string, len(res.NotDone))
	for i, n := range res.NotDone {
		names[i] = n.Step
	}
	return firstLine(strings.Join(names, ", "), 200)
}

func (a *app) printExplanations(why []claudeforce.Explanation) error {
	rows := [][]string{{"STEP", "SOURCE", "WHY"}}
	for _, x := range why {
		name := x.Step
		if x.Item != "" {
			name += "[" + x.Item + "]"
		}
		rows = append(rows, []string{name, string(x.Source), x.Reason})
	}
	fmt.Fprintln(a.stderr)
	return table(a.stderr, rows)
}

// printOutputs writes what the run is for: the outputs of steps that no other
// step uses, or of all.
func (a *app) printOutputs(wf *workflow.Workflow, res *engine.Result, all bool) error {
	if wf.Output != nil && res.Output != "" && !all {
		_, err := fmt.Fprintln(a.stdout, strings.TrimRight(res.Output, "\n"))
		return err
	}
	ids := runs.LastSteps(wf, res)
	if all {
		ids = nil
		for _, s := range wf.Steps {
			if res.Steps[s.ID].Output != "" {
				ids = append(ids, s.ID)
			}
		}
	}
	for _, id := range ids {
		heading := ""
		if len(ids) > 1 {
			heading = "--- " + id
			if agent := res.Steps[id].Agent; agent != "" {
				heading += " · " + agent
			}
			heading += "\n"
		}
		for _, text := range []string{heading, strings.TrimRight(res.Steps[id].Output, "\n"), "\n"} { // an output may be long: it is not copied
			if _, err := io.WriteString(a.stdout, text); err != nil {
				return fmt.Errorf("writing outputs: %w", err)
			}
		}
	}
	return nil
}

// failures counts what failed in a run, also what the run tolerated; empty for
// nothing.
func failures(res *engine.Result) string {
	steps, items := 0, 0
	for _, s := range res.Steps {
		if s.Status == engine.StatusFailed {
			steps++
		}
		for _, item := range s.Items {
			if item.Status == engine.StatusFailed {
				items++
			}
		}
	}
	text := ""
	if steps > 0 {
		text += " · " + plural(steps, "step") + " failed"
	}
	if items > 0 {
		text += " · " + plural(items, "item") + " failed"
	}
	return text
}

func (a *app) printSummary(wf *workflow.Workflow, res *engine.Result) error {
	rows := [][]string{{"STEP", "AGENT", "STATUS", "SOURCE", "TIME", "WAITED", "TOKENS", "COST"}}
	for _, s := range wf.Steps {
		step := res.Steps[s.ID]
		row := []string{s.ID, s.Agent, string(step.Status), string(step.Source), "", "", "", ""}
		if step.StartedAt != nil {
			row[4] = seconds(step.DurationSeconds)
		}
		if step.Measured() {
			row[5] = seconds(step.WaitedSeconds)
		}
		if step.Status == engine.StatusCompleted {
			row[6], row[7] = thousands(step.Usage.TotalTokens()), dollars(step.CostUSD)
		}
		switch {
		case len(step.Items) > 0:
			row[1] = plural(len(step.Items), "item")
		case step.Iterations > 0:
			row[1] = plural(step.Iterations, "iteration")
		case s.Action() != nil:
			row[1] = s.Action().Verb()
		case s.Agent == "" && len(step.Steps) > 0:
			row[1] = plural(len(step.Steps), "step")
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(a.stderr)
	if err := table(a.stderr, rows); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	for _, s := range wf.Steps {
		step := res.Steps[s.ID]
		if step.Status == engine.StatusFailed {
			a.say("step %s failed: %s", s.ID, *step.Error)
		}
		if step.ModelReason != "" {
			a.say("step %s: %s was chosen: %s", s.ID, step.Model, step.ModelReason)
		}
		if step.Degraded != "" {
			a.say("step %s: %s", s.ID, step.Degraded)
		}
	}
	if len(res.Findings) > 0 {
		a.say("%s", countFindings(res.Findings))
	}
	for _, f := range res.Files {
		a.say("saved %s", savedLine(f))
	}
	for _, note := range res.Notes {
		a.say("note: %s", note)
	}
	verb := map[engine.Status]string{engine.StatusCompleted: "Completed in", engine.StatusFailed: "Failed after", engine.StatusInterrupted: "Stopped after", engine.StatusCancelled: "Cancelled after", engine.StatusPartial: "Ended, not whole, after"}[res.Status]
	a.say("%s · %s %s%s · %s · order: %s", res.RunID, verb, seconds(res.TotalTimeSeconds), failures(res), dollars(res.CostUSD), strings.Join(res.ExecutionOrder, ", "))
	return nil
}

// sayFailures names the steps that failed, and why.
func (a *app) sayFailures(wf *workflow.Workflow, res *engine.Result) {
	for _, id := range res.Failed(wf) {
		a.say("step %s failed: %s", id, *res.Steps[id].Error)
	}
}

// countFindings returns how many findings there are of each severity.
func countFindings(findings []workflow.Finding) string {
	count := map[workflow.Severity]int{}
	for _, f := range findings {
		count[f.Severity]++
	}
	var each []string
	for _, s := range workflow.Severities() {
		if n := count[s]; n > 0 {
			each = append(each, thousands(n)+" "+string(s))
		}
	}
	return plural(len(findings), "finding") + ": " + strings.Join(each, ", ")
}

// savedLine returns a file that the run saved, for people.
func savedLine(f engine.SavedFile) string {
	return fmt.Sprintf("%s (%s, %s)", firstLine(f.Path, 200), cmp.Or(unitLabel(f), "output of the run"), plural(f.Bytes, "byte"))
}

// unitLabel returns the step and the item whose output a file holds; empty for that of
// the run.
func unitLabel(f engine.SavedFile) string {
	if f.Item == "" {
		return f.Step
	}
	return f.Step + "[" + f.Item + "]"
}

// tooLarge reports whether every failure was of a prompt that its model cannot take.
func tooLarge(res *engine.Result) bool {
	failed := 0
	for _, n := range res.NotDone {
		if n.Status != engine.StatusFailed {
			continue
		}
		if failed++; n.Code != llm.CodeTooLarge.String() {
			return false
		}
	}
	return failed > 0
}
