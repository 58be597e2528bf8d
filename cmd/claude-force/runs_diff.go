package main

import (
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/journal"
)

// stepDiff is a row of `runs diff --json`.
type stepDiff struct {
	Step   string      `json:"step"`
	Item   string      `json:"item,omitempty"`
	Only   string      `json:"only,omitempty"`   // the run that has it, if only one has
	Inputs []string    `json:"inputs,omitempty"` // parts of what it was asked that differ
	Model  [2]string   `json:"model"`
	Same   bool        `json:"same_output"`
	Task   string      `json:"task_diff,omitempty"`
	Output string      `json:"output_diff,omitempty"`
	Cost   [2]*float64 `json:"cost_usd"`
	Time   [2]float64  `json:"duration_seconds"`
	Status [2]string   `json:"status"`
}

func (a *app) runsDiff() *cobra.Command {
	var asJSON, full bool
	var step string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two runs step by step",
		Long: `Compare two runs, the first the older: which steps were asked something else and
in what part, whether their outputs differ, and what they cost and took.`,
		Example: `  claude-force runs diff run_3fa9 latest
  claude-force runs diff run_3fa9 latest --full
  claude-force runs diff run_3fa9 latest --step review --full`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeRuns(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				one, err := claudeforce.ReadRun(cmd.Context(), store, runID(args[0]))
				if err != nil {
					return err
				}
				two, err := claudeforce.ReadRun(cmd.Context(), store, runID(args[1]))
				if err != nil {
					return err
				}
				diffs := diffRuns(one, two, step)
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
	cmd.Flags().StringVar(&step, "step", "", "only this step and what is within it")
	return cmd
}

// diffRuns aligns the steps of two runs that asked a model or a person.
func diffRuns(one, two *claudeforce.RunDetail, step string) []stepDiff {
	diffs := []stepDiff{}
	add := func(x, y *journal.UnitState) {
		u := x
		if u == nil {
			u = y
		}
		if step != "" && !u.In(step) {
			return
		}
		d := stepDiff{Step: u.Step, Item: itemLabel(u)}
		switch {
		case y == nil:
			d.Only = one.Run.ID
			d.fill(0, x)
		case x == nil:
			d.Only = two.Run.ID
			d.fill(1, y)
		default:
			d.fill(0, x)
			d.fill(1, y)
			d.Inputs = claudeforce.Differences(x.Started.Inputs, y.Started.Inputs)
			d.Same = x.Output == y.Output
			d.Task = udiff.Unified(one.Run.ID, two.Run.ID, x.Started.Task+"\n", y.Started.Task+"\n")
			d.Output = udiff.Unified(one.Run.ID, two.Run.ID, x.Output+"\n", y.Output+"\n")
		}
		diffs = append(diffs, d)
	}
	for _, x := range one.State.Order {
		if asked(x) {
			add(x, two.State.Unit(x.Step, x.Item))
		}
	}
	for _, y := range two.State.Order {
		if asked(y) && one.State.Unit(y.Step, y.Item) == nil {
			add(nil, y)
		}
	}
	return diffs
}

// asked reports whether a unit asked a model or a person, or came to nothing.
func asked(u *journal.UnitState) bool {
	return u.Started.Task != "" || u.Type == journal.StepFailed || u.Type == journal.StepSkipped
}

func itemLabel(u *journal.UnitState) string {
	if u.Item == "" {
		return ""
	}
	if u.Started.Label != "" {
		return u.Started.Label
	}
	return u.Item
}

func (d *stepDiff) fill(i int, u *journal.UnitState) {
	d.Status[i] = strings.TrimPrefix(string(u.Type), "step_")
	d.Model[i] = u.Started.Model
	d.Cost[i], d.Time[i] = u.Finished.CostUSD, u.Finished.DurationSeconds
	if u.Finished.Model != "" {
		d.Model[i] = u.Finished.Model
	}
}

func (a *app) printDiffs(one, two *claudeforce.RunDetail, diffs []stepDiff, full bool) error {
	rows := [][]string{{"STEP", "ASKED", "OUTPUT", "MODEL", "COST", "TIME"}}
	for _, d := range diffs {
		name := d.Step
		if d.Item != "" {
			name += "[" + firstLine(d.Item, 40) + "]"
		}
		if d.Only != "" {
			rows = append(rows, []string{name, "only in " + d.Only, "", "", "", ""})
			continue
		}
		asked, output := "the same", "the same"
		if len(d.Inputs) > 0 {
			asked = strings.Join(d.Inputs, ", ")
		}
		if !d.Same {
			output = "differs"
		}
		if d.Status[0] != d.Status[1] {
			output = d.Status[0] + " -> " + d.Status[1]
		}
		model := d.Model[0]
		if d.Model[0] != d.Model[1] {
			model = d.Model[0] + " -> " + d.Model[1]
		}
		rows = append(rows, []string{name, asked, output, model, dollars(d.Cost[0]) + " -> " + dollars(d.Cost[1]),
			seconds(d.Time[0]) + " -> " + seconds(d.Time[1])})
	}
	rows = append(rows, []string{"total", "", "", "", dollars(&one.Run.CostUSD) + " -> " + dollars(&two.Run.CostUSD),
		seconds(one.Result.TotalTimeSeconds) + " -> " + seconds(two.Result.TotalTimeSeconds)})
	if err := table(a.stdout, rows); err != nil {
		return err
	}
	if !full {
		return nil
	}
	for _, d := range diffs {
		for _, part := range []struct{ what, text string }{{"task", d.Task}, {"output", d.Output}} {
			if part.text != "" {
				fmt.Fprintf(a.stdout, "\n=== %s %s: %s\n%s", d.Step, d.Item, part.what, part.text)
			}
		}
	}
	return nil
}
