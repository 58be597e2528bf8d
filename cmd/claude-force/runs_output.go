package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/runs"
)

// Formats of the outputs of a run.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatCSV   = "csv"
	formatJSONL = "jsonl"
)

var outputFormats = []string{formatText, formatJSON, formatCSV, formatJSONL}

// runsOutputFlags are the flags of "runs output".
type runsOutputFlags struct {
	step, item, format string
	all, json          bool
	output             outputFlag
}

func (a *app) runsOutput() *cobra.Command {
	var f runsOutputFlags
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
formula gets a leading apostrophe in CSV.

--output writes into a file or a folder as that of "run" does, and also what there
is of a run that is not done. Without --format the extension of a file says its
form.`,
		Example: `  claude-force runs output latest
  claude-force runs output latest --step linter
  claude-force runs output latest --step review --item src/a.go
  claude-force runs output latest --json | jq -r .output
  claude-force runs output latest --step review --format csv > reviews.csv
  claude-force runs output latest --format jsonl | jq -r 'select(.error) | .item'
  claude-force runs output latest --output results/`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd.Flags().Changed("format")); err != nil {
				return err
			}
			return a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error { return a.showOutput(&f, d) })
		},
	}
	cmd.Flags().StringVar(&f.step, "step", "", "the output of this step; of one within a step as OUTER/INNER")
	cmd.Flags().StringVar(&f.item, "item", "", "with --step: of this item of a foreach, by its name or key")
	cmd.Flags().BoolVar(&f.all, "all", false, "the outputs of all steps")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the result as JSON, as \"run --json\" does; with --step that of the step")
	cmd.Flags().StringVar(&f.format, "format", formatText, "how outputs are printed: "+strings.Join(outputFormats, ", "))
	f.output.register(cmd)
	completeFlag(cmd, "step", a.completeSteps)
	completeFlag(cmd, "format", cobra.FixedCompletions(outputFormats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check finds flags that do not go together. Without a format that was given, that of a
// file is what its extension says.
func (f *runsOutputFlags) check(formatGiven bool) error {
	if f.item != "" && f.step == "" {
		return badInput("--item needs --step, the foreach that it is an item of")
	}
	if !slices.Contains(outputFormats, f.format) {
		return badInput("--format %q is none of %s", f.format, strings.Join(outputFormats, ", "))
	}
	rows := f.format == formatCSV || f.format == formatJSONL
	if rows && (f.json || f.item != "" || f.all) {
		return badInput("--format %s cannot be combined with --json, --item or --all", f.format)
	}
	f.json = f.json || f.format == formatJSON
	if err := f.output.check(); err != nil {
		return err
	}
	if f.output.folder && (f.step != "" || f.all || formatGiven || f.json) {
		return badInput("--output %s is a folder, which has the outputs of all steps in forms of their own; without --step, --all, --json and --format, or name a file", f.output.path)
	}
	if f.output.given() && !formatGiven && !f.json {
		if f.format = formatFor(f.output.path); f.item != "" && f.format != formatJSON {
			f.format = formatText
		}
	}
	return nil
}

// showOutput prints the outputs of a run, or writes them into a file or a folder.
func (a *app) showOutput(f *runsOutputFlags, d *runs.Detail) error {
	if !f.output.given() {
		return a.printOutput(a.stdout, f, d)
	}
	refs, err := d.Spec.TaskRefs()
	if err != nil {
		return err
	}
	return a.writeOutputs(f.output, d.Workflow, d.Result, refs, func() ([]byte, error) {
		var b bytes.Buffer
		err := a.printOutput(&b, f, d)
		return b.Bytes(), err
	})
}

// printOutput writes the outputs of a run.
func (a *app) printOutput(w io.Writer, f *runsOutputFlags, d *runs.Detail) error {
	switch {
	case f.format == formatCSV || f.format == formatJSONL:
		t, err := d.Table(f.step)
		if err != nil {
			return err
		}
		return printTable(w, t, f.format)
	case f.step == "" && f.json:
		return printJSON(w, d.Result)
	case f.step == "" && f.format == formatJSON:
		return printJSON(w, runs.OutputValue(d.Workflow, d.Result, f.all))
	case f.step == "":
		return a.printRun(w, d, f.all)
	}
	s, res, err := d.Step(f.step)
	if err == nil && f.item != "" {
		res, err = runs.FindItem(f.step, res, f.item)
	}
	switch {
	case err != nil:
		return err
	case f.json:
		return printJSON(w, res)
	case f.format == formatJSON && f.item != "":
		return printJSON(w, runs.ParsedOutput(s, res.Output))
	case f.format == formatJSON:
		return printJSON(w, runs.StepValue(s, res))
	}
	_, err = fmt.Fprintln(w, strings.TrimRight(res.Output, "\n"))
	return err
}

// printTable writes rows.
func printTable(w io.Writer, t *runs.Table, format string) error {
	if format == formatCSV {
		return t.WriteCSV(w)
	}
	return t.WriteLines(w)
}

// printRun writes the outputs of a run: of a list of tasks as "execute" does.
func (a *app) printRun(w io.Writer, d *runs.Detail, all bool) error {
	refs, err := d.Spec.TaskRefs()
	if err != nil {
		return err
	}
	if refs == nil {
		return runs.WriteOutputs(w, d.Workflow, d.Result, all)
	}
	out := taskPrinter{a: a, w: w}
	for _, res := range claudeforce.TasksOf(d.Result, refs) {
		out.print(res)
	}
	return out.err
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
