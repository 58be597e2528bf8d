package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/workflow"
)

type runFlags struct {
	callFlags
	params   []string
	env      []string
	parallel int
	all      bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a workflow",
		Long: `Run a workflow, a YAML or JSON file of steps: each gives one agent one task,
after the steps it depends on. Independent steps run in parallel.

The outputs of the last steps are printed; --all prints every step's. The
first interrupt starts nothing more and lets running steps finish, the second
stops at once. Running again answers finished steps from the cache.

Exit codes: 0 done, 1 a step failed, 2 bad input or configuration,
130 interrupted.`,
		Example: `  claude-force run workflow.yaml
  claude-force run review.yaml --param path=./src --max-parallel 4
  claude-force run workflow.json --json | jq .total_time_seconds
  claude-force run workflow.yaml --simulate`,
		Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.runWorkflow(cmd.Context(), &f, args[0]) },
	}
	f.register(cmd)
	cmd.Flags().StringArrayVarP(&f.params, "param", "p", nil, "value of a parameter as NAME=VALUE; may be repeated")
	cmd.Flags().StringArrayVar(&f.env, "allow-env", nil, "environment variable that expressions may read; may be repeated")
	cmd.Flags().IntVar(&f.parallel, "max-parallel", 0, "most steps at once, instead of the workflow's own limit")
	cmd.Flags().BoolVar(&f.all, "all", false, "print the output of every step")
	return cmd
}

func (a *app) runWorkflow(ctx context.Context, f *runFlags, path string) error {
	wf, err := a.loadWorkflow(path, f.env)
	if err != nil {
		return err
	}
	params := map[string]string{}
	for _, p := range f.params {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return badInput("--param %q is not NAME=VALUE", p)
		}
		params[name] = value
	}
	if f.parallel < 0 {
		return badInput("--max-parallel must be above 0")
	}
	orch, err := a.open(ctx, &f.callFlags)
	if err != nil {
		return err
	}
	return closing(a.runSteps(ctx, orch, wf, f, params), orch)
}

func (a *app) runSteps(ctx context.Context, orch *claudeforce.Orchestrator, wf *workflow.Workflow, f *runFlags, params map[string]string) error {
	p := a.newProgress(wf, orch.Totals)
	res, err := orch.RunWorkflow(ctx, wf, claudeforce.RunOptions{
		Params: params, MaxParallel: f.parallel, Model: f.model, Policy: f.policy(),
		Drain: a.stopping, Observe: p.observe,
	})
	p.close()
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(a.stdout, res)
	} else {
		err = a.printOutputs(wf, res, f.all)
	}
	if err != nil {
		return err
	}
	if err := a.printSummary(wf, res); err != nil {
		return err
	}
	switch {
	case res.Status == engine.StatusInterrupted:
		a.say("interrupted; run the same command again: finished steps are answered from the cache")
		return errInterrupted
	case res.Status == engine.StatusFailed:
		return errReported
	}
	return nil
}

// printOutputs writes what the run is for: the outputs of steps that no other
// step uses, or of all.
func (a *app) printOutputs(wf *workflow.Workflow, res *engine.Result, all bool) error {
	used := map[string]bool{}
	for _, s := range wf.Steps {
		for _, id := range s.Dependencies {
			used[id] = true
		}
	}
	var ids []string
	for _, s := range wf.Steps {
		if step := res.Steps[s.ID]; step.Output != "" && (all || !used[s.ID]) {
			ids = append(ids, s.ID)
		}
	}
	for _, id := range ids {
		heading := ""
		if len(ids) > 1 {
			heading = "--- " + id + " · " + res.Steps[id].Agent + "\n"
		}
		if _, err := fmt.Fprintf(a.stdout, "%s%s\n", heading, strings.TrimRight(res.Steps[id].Output, "\n")); err != nil {
			return fmt.Errorf("writing outputs: %w", err)
		}
	}
	return nil
}

func (a *app) printSummary(wf *workflow.Workflow, res *engine.Result) error {
	rows := [][]string{{"STEP", "AGENT", "STATUS", "SOURCE", "TIME", "TOKENS", "COST"}}
	for _, s := range wf.Steps {
		step := res.Steps[s.ID]
		row := []string{s.ID, s.Agent, string(step.Status), string(step.Source), "", "", ""}
		if step.StartedAt != nil {
			row[4] = seconds(step.DurationSeconds)
		}
		if step.Status == engine.StatusCompleted {
			row[5], row[6] = thousands(step.Usage.TotalTokens()), dollars(step.CostUSD)
		}
		rows = append(rows, row)
	}
	fmt.Fprintln(a.stderr)
	if err := table(a.stderr, rows); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	for _, s := range wf.Steps {
		if step := res.Steps[s.ID]; step.Status == engine.StatusFailed {
			a.say("step %s failed: %s", s.ID, *step.Error)
		}
	}
	verb := map[engine.Status]string{engine.StatusCompleted: "Completed in", engine.StatusFailed: "Failed after", engine.StatusInterrupted: "Stopped after"}[res.Status]
	a.say("%s %s · %s · order: %s", verb, seconds(res.TotalTimeSeconds), dollars(res.CostUSD), strings.Join(res.ExecutionOrder, ", "))
	return nil
}
