package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// Formats of the outputs of a run.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatCSV   = "csv"
	formatJSONL = "jsonl"
)

var outputFormats = []string{formatText, formatJSON, formatCSV, formatJSONL}

func (a *app) runsOutput() *cobra.Command {
	var step, item, format string
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "output RUN",
		Short: "Print the outputs of a run as `run` does, or as rows",
		Long: `Print the outputs of a run as "run" does. With --format csv or jsonl they are
rows: one for each item of the foreach that --step names, with its key, its
name, its status, the error if it failed, and the fields of its output if that
is a JSON object. Of a step whose output is a JSON list each element is a row.
Without --step there is a row for each task of a list of tasks, for each item
of a workflow's only foreach, else for each step.

Columns are those of the step's schema, in its order, then the others in the
order in which they first appear. A text that a spreadsheet would take for a
formula gets a leading apostrophe in CSV.`,
		Example: `  claude-force runs output latest
  claude-force runs output latest --step linter
  claude-force runs output latest --step review --item src/a.go
  claude-force runs output latest --json | jq -r .output
  claude-force runs output latest --step review --format csv > reviews.csv
  claude-force runs output latest --format jsonl | jq -r 'select(.error) | .item'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if item != "" && step == "" {
				return badInput("--item needs --step, the foreach that it is an item of")
			}
			switch format {
			case formatJSON:
				asJSON = true
			case formatText:
			default:
				if !slices.Contains(outputFormats, format) {
					return badInput("--format %q is none of %s", format, strings.Join(outputFormats, ", "))
				}
				if asJSON || item != "" || all {
					return badInput("--format %s cannot be combined with --json, --item or --all", format)
				}
				return a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error { return a.printTable(d, step, format) })
			}
			return a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
				if step == "" && asJSON {
					return printJSON(a.stdout, d.Result)
				}
				if step == "" {
					return a.printRun(d, all)
				}
				_, res, err := d.Step(step)
				if err == nil && item != "" {
					res, err = findItem(step, res, item)
				}
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, res)
				}
				_, err = fmt.Fprintln(a.stdout, strings.TrimRight(res.Output, "\n"))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&step, "step", "", "the output of this step; of one within a step as OUTER/INNER")
	cmd.Flags().StringVar(&item, "item", "", "with --step: of this item of a foreach, by its name or key")
	cmd.Flags().BoolVar(&all, "all", false, "the outputs of all steps")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON, as \"run --json\" does; with --step that of the step")
	cmd.Flags().StringVar(&format, "format", formatText, "how outputs are printed: "+strings.Join(outputFormats, ", "))
	completeFlag(cmd, "step", a.completeSteps)
	completeFlag(cmd, "format", cobra.FixedCompletions(outputFormats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// printTable prints the outputs of a run, or of one of its steps, as rows.
func (a *app) printTable(d *runs.Detail, step, format string) error {
	t, err := d.Table(step)
	if err != nil {
		return err
	}
	if format == formatCSV {
		return a.printTableCSV(t)
	}
	for _, row := range t.Rows {
		var line bytes.Buffer
		enc := json.NewEncoder(&line)
		enc.SetEscapeHTML(false)
		for _, name := range t.Columns {
			value, ok := row[name]
			if !ok {
				continue
			}
			for _, part := range []struct {
				before string
				v      any
			}{{",", name}, {":", value}} {
				line.WriteString(part.before)
				if err := enc.Encode(part.v); err != nil {
					return fmt.Errorf("writing a row: %w", err)
				}
				line.Truncate(line.Len() - 1) // the end of the line
			}
		}
		if _, err := fmt.Fprintf(a.stdout, "{%s}\n", bytes.TrimPrefix(line.Bytes(), []byte(","))); err != nil {
			return fmt.Errorf("writing rows: %w", err)
		}
	}
	return nil
}

func (a *app) printTableCSV(t *runs.Table) error {
	out := newCSV(a.stdout)
	cells := make([]any, len(t.Columns))
	for i, name := range t.Columns {
		cells[i] = name
	}
	out.row(cells...)
	for _, row := range t.Rows {
		for i, name := range t.Columns {
			cells[i] = row[name]
			switch v := cells[i].(type) {
			case workflow.Object, []any, map[string]any:
				text, err := workflow.Encode(v)
				if err != nil {
					return fmt.Errorf("writing a row: %w", err)
				}
				cells[i] = text
			}
		}
		out.row(cells...)
	}
	return out.flush()
}

// printRun prints the outputs of a run: of a list of tasks as "execute" does.
func (a *app) printRun(d *runs.Detail, all bool) error {
	refs, err := d.Spec.TaskRefs()
	if err != nil {
		return err
	}
	if refs == nil {
		return a.printOutputs(d.Workflow, d.Result, all)
	}
	out := taskPrinter{a: a}
	for _, res := range claudeforce.TasksOf(d.Result, refs) {
		out.print(res)
	}
	return out.err
}

// findItem returns the result of an item of a foreach, by its name or key.
func findItem(path string, res *engine.StepResult, item string) (*engine.StepResult, error) {
	i := slices.IndexFunc(res.Items, func(it *engine.ItemResult) bool { return it.Item == item || strings.HasPrefix(it.Key, item) })
	if i < 0 {
		return nil, badInput("step %s has no item %q; `claude-force runs show --items` lists them", path, item)
	}
	return res.Items[i].StepResult, nil
}

// completeSteps completes to the steps of the run that was named.
func (a *app) completeSteps(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if len(args) > 0 {
		// Without the run there is nothing to offer.
		_ = a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
			names = sortedKeys(d.Result.Steps)
			return nil
		})
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
