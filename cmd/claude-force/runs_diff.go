package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

func (a *app) runsDiff() *cobra.Command {
	var asJSON, full bool
	var step, item string
	cmd := &cobra.Command{
		Use:   "diff A B | diff RUN STEP",
		Short: "Compare two runs step by step, or show what a step changed in its worktree",
		Long: `Compare two runs, the first the older: which steps were asked something else and
in what part, whether their outputs and calls of tools differ, and what they cost
and took.

With a run and a step of it that worked in a worktree, print the step's patch.`,
		Example: `  claude-force runs diff latest fix
  claude-force runs diff run_3fa9 latest
  claude-force runs diff run_3fa9 latest --full
  claude-force runs diff run_3fa9 latest --step review --full`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeRuns(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				one, err := runs.Load(cmd.Context(), store, args[0])
				if err != nil {
					return err
				}
				if changes, ok, err := changesOf(one, args[1], item); ok {
					if err != nil {
						return err
					}
					return a.printPatch(cmd.Context(), one, changes, asJSON)
				}
				two, err := runs.Load(cmd.Context(), store, args[1])
				if err != nil {
					return err
				}
				diffs := runs.Diff(one, two, step)
				if step != "" && len(diffs) == 0 {
					return badInput("neither run has a step %q that was asked something; `claude-force runs show` lists them", step)
				}
				if asJSON {
					return printJSON(a.stdout, diffs)
				}
				return a.printDiffs(one, two, diffs, full)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().BoolVar(&full, "full", false, "print how tasks and outputs differ, line by line")
	cmd.Flags().StringVar(&item, "item", "", "with a step: the item of its foreach")
	cmd.Flags().StringVar(&step, "step", "", "only this step and what is within it")
	return cmd
}

func (a *app) printDiffs(one, two *runs.Detail, diffs []runs.StepDiff, full bool) error {
	rows := [][]string{{"STEP", "ASKED", "OUTPUT", "MODEL", "COST", "TIME", "SERVICE", "WAITED"}}
	for _, d := range diffs {
		name := d.Step
		if d.Item != "" {
			name += "[" + firstLine(d.Item, 40) + "]"
		}
		if d.Only != "" {
			rows = append(rows, []string{name, "only in " + d.Only, "", "", "", "", "", ""})
			continue
		}
		asked, output := "the same", "the same"
		if len(d.Inputs) > 0 {
			asked = strings.Join(d.Inputs, ", ")
		}
		if !d.Same {
			output = "differs"
		}
		if d.Tools != "" {
			output += fmt.Sprintf("; tools: %d -> %s in %d -> %s", d.ToolCalls[0], plural(d.ToolCalls[1], "call"), d.Turns[0], plural(d.Turns[1], "turn"))
		}
		if d.Status[0] != d.Status[1] {
			output = d.Status[0] + " -> " + d.Status[1]
		}
		model := d.Model[0]
		if d.Model[0] != d.Model[1] {
			model = d.Model[0] + " -> " + d.Model[1]
		}
		rows = append(rows, []string{name, asked, output, model, dollars(d.Cost[0]) + " -> " + dollars(d.Cost[1]),
			amount.Seconds(d.Time[0]) + " -> " + amount.Seconds(d.Time[1]), measured(d.Service[0]) + " -> " + measured(d.Service[1]),
			measured(d.Waited[0]) + " -> " + measured(d.Waited[1])})
	}
	was, now := one.Result, two.Result
	rows = append(rows, []string{"total", "", "", "", dollars(&one.Run.CostUSD) + " -> " + dollars(&two.Run.CostUSD),
		amount.Seconds(was.TotalTimeSeconds) + " -> " + amount.Seconds(now.TotalTimeSeconds), measured(was.ServiceSeconds) + " -> " + measured(now.ServiceSeconds),
		measured(was.WaitedSeconds) + " -> " + measured(now.WaitedSeconds)})
	if err := table(a.stdout, rows); err != nil {
		return err
	}
	if !full {
		return nil
	}
	for _, d := range diffs {
		for _, part := range []struct{ what, text string }{{"task", d.Task}, {"tools", d.Tools}, {"output", d.Output}} {
			if part.text != "" {
				fmt.Fprintf(a.stdout, "\n=== %s %s: %s\n%s", d.Step, d.Item, part.what, part.text)
			}
		}
	}
	return nil
}

// measured returns a time, or a dash if it was not measured.
func measured(s float64) string {
	if s == 0 {
		return "-"
	}
	return amount.Seconds(s)
}
