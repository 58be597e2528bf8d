package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// withRun runs do with what is known of a run.
func (a *app) withRun(ctx context.Context, id string, do func(*runs.Detail) error) error {
	return a.withHistory(ctx, func(store journal.Store) error {
		d, err := runs.Load(ctx, store, id)
		if err != nil {
			return err
		}
		return do(d)
	})
}

func (a *app) runsShow() *cobra.Command {
	var asJSON, items, calls bool
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "Show a run: its steps over time, with the critical path marked",
		Long: `Show a run: its inputs, its status, and its steps over time. The steps
marked with a star are the critical path: no schedule could have been shorter.
A thick stroke is when the service worked on the requests of a step, a thin one
when the step waited: for a slot, a limit, a budget, another attempt or a person,
and a shaded one when tools ran. Of agents with tools it shows the turns and the
calls of tools; --calls lists each of them. A completed run of 1,000 units of
work or more is shown without reading its items, unless it has findings or files
of items, an exit ended it while steps were under way, or --items, --calls or
--json is given.`,
		Example: `  claude-force runs show latest
  claude-force runs show run_3fa9 --items
  claude-force runs show latest --calls
  claude-force runs show latest --json | jq .result.steps`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				load := runs.LoadSummary
				if asJSON || items || calls {
					load = runs.Load
				}
				d, err := load(cmd.Context(), store, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, d)
				}
				return a.showRun(d, items, calls)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&items, "items", false, "show every item of a foreach and every step within a step")
	cmd.Flags().BoolVar(&calls, "calls", false, "list the turns and calls of tools of agents")
	return cmd
}

func (a *app) showRun(d *runs.Detail, items, calls bool) error {
	head := [][]string{
		{"run", d.Run.ID}, {"workflow", orDash(d.Run.Workflow)}, {"file", orDash(d.Run.File)},
		{"status", string(runs.StatusOf(d.Run))}, {"started", d.Run.StartedAt.Local().Format(time.DateTime)},
		{"took", amount.Seconds(d.Result.TotalTimeSeconds)},
		{"cost", dollars(&d.Run.CostUSD) + ", " + plural(d.Run.Tokens, "token")},
	}
	if d.Run.StartedBy != "" {
		head = append(head, []string{"started by", "key " + d.Run.StartedBy})
	}
	if d.Result.Error != nil {
		head = append(head, []string{"why", firstLine(*d.Result.Error, 200)})
	}
	if end := d.Result.Exited; end != nil {
		head = append(head, []string{"exited", fmt.Sprintf("at %s with code %d: %s", end.Step, end.Code, firstLine(end.Message, 200))})
	}
	if len(d.Result.Findings) > 0 {
		head = append(head, []string{"found", countFindings(d.Result.Findings)})
	}
	head = append(head, times(d)...)
	for _, name := range sortedKeys(d.Spec.Params) {
		head = append(head, []string{"param " + name, firstLine(d.Spec.Params[name], 80)})
	}
	switch {
	case d.Run.Engine != "" && d.Run.Owned():
		head = append(head, []string{"owned by", "the workers of " + d.Run.Engine})
	case d.Run.Owned():
		head = append(head, []string{"owned by", fmt.Sprintf("process %d on %s", d.Run.Owner.PID, d.Run.Owner.Host)})
	}
	if err := table(a.stdout, head); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	if _, err := fmt.Fprint(a.stdout, timeline(d, items, a.width())); err != nil {
		return err
	}
	if err := a.printLoops(d, calls); err != nil {
		return err
	}
	if err := a.printModels(d.State.Order); err != nil {
		return err
	}
	for _, u := range d.State.Order {
		switch {
		case u.Type == journal.ApprovalAsked && u.Decision == nil && d.Result.Exited == nil:
			how := ""
			if u.Asked.WantsValue() {
				how = " " + howToAnswer(u.Asked)
			}
			fmt.Fprintf(a.stdout, "\n%s asks: %s\n  claude-force runs approve %s %[1]s%[4]s\n", u.Step, u.Asked.Message, d.Run.ID, how)
		case u.Type == journal.StepFailed && u.Item == "":
			fmt.Fprintf(a.stdout, "\n%s failed: %s\n", u.Step, u.Failed.Message)
		}
	}
	for _, u := range d.State.Order {
		if c := u.Finished.Changes; c != nil {
			fmt.Fprintf(a.stdout, "\n%s changed %s on branch %s\n  claude-force runs diff %s %s\n", unitName(d, u.Unit), plural(len(c.Files), "file"), c.Branch, d.Run.ID, u.Step)
		}
	}
	a.showWithin(d)
	if len(d.Result.Files) > 0 {
		rows := [][]string{{"FILE", "STEP", "BYTES", "SHA-256"}}
		for _, f := range d.Result.Files {
			rows = append(rows, []string{firstLine(f.Path, 100), orDash(unitLabel(f)), amount.Thousands(f.Bytes), f.SHA256[:min(12, len(f.SHA256))]})
		}
		fmt.Fprintln(a.stdout)
		if err := table(a.stdout, rows); err != nil {
			return err
		}
	}
	if d.Result.Exited != nil && d.State.Ended != nil {
		return nil // nothing is left to do
	}
	switch runs.StatusOf(d.Run) {
	case runs.StatusCrashed, journal.StatusInterrupted:
		fmt.Fprintf(a.stdout, "\nresume with: claude-force runs resume %s\n", d.Run.ID)
	case journal.StatusFailed:
		fmt.Fprintf(a.stdout, "\n%s\n", resumeAdvice(d.Result))
	}
	return nil
}

// showWithin says what there is of the items of a run that is summed up beside their
// number, their time and their cost.
func (a *app) showWithin(d *runs.Detail) {
	for _, s := range d.Workflow.Steps {
		w := d.Within[s.ID]
		if w == nil {
			continue
		}
		if w.Turns > 0 {
			fmt.Fprintf(a.stdout, "\n%s: %s and %s of tools; `claude-force runs show %s --calls` lists them\n", s.ID, plural(w.Turns, "turn"), plural(w.ToolCalls, "call"), d.Run.ID)
		}
		for _, model := range sortedKeys(w.Chosen) {
			fmt.Fprintf(a.stdout, "\n%s: %s was selected for %s\n", s.ID, model, plural(w.Chosen[model], "item"))
		}
		if w.Changed > 0 {
			fmt.Fprintf(a.stdout, "\n%s: %s changed files on branches of their own; `claude-force runs show %s --items` lists them\n", s.ID, plural(w.Changed, "item"), d.Run.ID)
		}
	}
}

// printModels says which models were chosen for steps, and why.
func (a *app) printModels(units []*journal.UnitState) error {
	rows := [][]string{{"STEP", "MODEL", "WHY"}}
	for _, u := range units {
		if u.Finished.ModelReason != "" {
			name := u.Step
			if u.Item != "" {
				name += "[" + runs.ItemLabel(u) + "]"
			}
			rows = append(rows, []string{name, u.Finished.Model, u.Finished.ModelReason})
		}
	}
	if len(rows) == 1 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	return table(a.stdout, rows)
}

func (a *app) runsExport() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export RUN",
		Short: "Print all of a run as JSON: what it was asked, its events and its result",
		Example: `  claude-force runs export latest > run.json
  claude-force runs export latest | jq '.events[] | select(.type == "step_failed")'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				d, err := runs.Load(cmd.Context(), store, args[0])
				if err != nil {
					return err
				}
				whole := struct {
					Run    journal.Run     `json:"run"`
					Spec   *runs.Spec      `json:"spec"`
					Events []journal.Event `json:"events"`
					Result *engine.Result  `json:"result"`
				}{Run: d.Run, Spec: d.Spec, Result: d.Result}
				for ev, err := range store.Events(cmd.Context(), d.Run.ID, 0) {
					if err != nil {
						return err
					}
					whole.Events = append(whole.Events, ev)
				}
				if output == "" {
					return printJSON(a.stdout, whole)
				}
				f, err := os.OpenFile(output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
				if err != nil {
					return inputError{err}
				}
				return closing(printJSON(f, whole), f)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write into this file instead of the standard output")
	return cmd
}
