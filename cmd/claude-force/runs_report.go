package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/runs"
	runreport "github.com/claude-force/claude-force/runs/report"
	"github.com/claude-force/claude-force/workflow"
)

// reportFlags are the reports of a run that are to be written.
type reportFlags struct {
	given []string // FORMAT=FILE each
}

func (f *reportFlags) register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.given, "report", nil, "write a report into a file, as FORMAT=FILE: "+strings.Join(runreport.Formats(), ", ")+"; may be repeated")
}

// check finds what would keep reports from being written, before anything is spent.
func (f *reportFlags) check() error {
	files := map[string]bool{}
	for _, text := range f.given {
		format, path, ok := strings.Cut(text, "=")
		switch {
		case !ok || path == "" || !slices.Contains(runreport.Formats(), format):
			return badInput("--report %q is not FORMAT=FILE, such as junit=report.xml; formats are %s", text, strings.Join(runreport.Formats(), ", "))
		case path == "-":
			return badInput("--report %s: the standard output is for answers; claude-force runs report prints a report", text)
		case files[filepath.Clean(path)]:
			return badInput("--report names %s twice", path)
		}
		files[filepath.Clean(path)] = true
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return badInput("--report %s: there is no folder %s", text, filepath.Dir(path))
		}
		if err := openfile.CheckRegular(path); err != nil {
			return badInput("--report %s: %s", text, openfile.Reason(err))
		}
	}
	return nil
}

// checkWorkflow reports a workflow that has not what a report is of.
func (f *reportFlags) checkWorkflow(wf *workflow.Workflow) error {
	for _, text := range f.given {
		format, _, _ := strings.Cut(text, "=")
		if err := runreport.Check(runreport.Format(format), wf); err != nil {
			return badInput("--report %s: %w", text, err)
		}
	}
	return nil
}

// write writes the reports of a run.
func (f *reportFlags) write(wf *workflow.Workflow, res *engine.Result) error {
	for _, text := range f.given {
		format, path, _ := strings.Cut(text, "=")
		var b bytes.Buffer
		if err := runreport.Write(&b, runreport.Format(format), wf, res); err != nil {
			return err
		}
		if err := openfile.Replace(path, b.Bytes()); err != nil {
			return fmt.Errorf("writing the report %s: %w", path, err)
		}
	}
	return nil
}

func (a *app) runsReport() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "report RUN",
		Short: "Print a report of a run as Markdown, JUnit XML or SARIF",
		Long: `Print a report of a run, which may have ended in any way, or be running. Markdown
is a summary: steps with status, time and cost, and what failed and why. JUnit
XML has a test case for each step and each item of a foreach; what failed
without the run failing for it counts as skipped. SARIF has the findings that
the workflow declares.

"claude-force run --report" and "claude-force runs resume --report" write the
same when the run ends.`,
		Example: `  claude-force runs report latest
  claude-force runs report latest --format junit > junit.xml
  claude-force runs report latest --format sarif > findings.sarif`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(runreport.Formats(), format) {
				return badInput("--format %q is none of %s", format, strings.Join(runreport.Formats(), ", "))
			}
			return a.withRun(cmd.Context(), args[0], func(d *runs.Detail) error {
				if err := runreport.Check(runreport.Format(format), d.Workflow); err != nil {
					return inputError{err}
				}
				return runreport.Write(a.stdout, runreport.Format(format), d.Workflow, d.Result)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", string(runreport.Markdown), "the form of the report: "+strings.Join(runreport.Formats(), ", "))
	completeFlag(cmd, "format", cobra.FixedCompletions(runreport.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
