package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/workflow"
)

func (a *app) workflow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workflow",
		Short: "Find, check, draw and import workflow files",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.workflowList(), a.workflowValidate(), a.workflowGraph(), a.workflowImport(), a.workflowSchema())
	return cmd
}

func (a *app) workflowValidate() *cobra.Command {
	var env []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate FILE|NAME...",
		Short: "Find everything wrong in workflow files, without running them",
		Long: `Check workflow files: cycles, unknown agents and dependencies, duplicate ids,
expressions that cannot work. All problems are reported at once, each with
line and column. Nothing is sent. Exit code 2 if there is any problem.`,
		Example: `  claude-force workflow validate workflow.yaml
  claude-force workflow validate .github/workflows/*.json --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.validate(cmd.Context(), args, env, asJSON) },
	}
	cmd.Flags().StringArrayVar(&env, "allow-env", nil, "environment variable that expressions may read; may be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the problems and notes as a JSON array")
	return cmd
}

func (a *app) validate(ctx context.Context, paths, env []string, asJSON bool) error {
	problems, bad := []claudeforce.FileProblem{}, false
	project, err := a.openTools(ctx, "", &permissionFlags{}, claudeforce.Options{})
	if err != nil {
		return err
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	for _, path := range paths {
		wf, err := a.loadWorkflow(path, env)
		found, err := claudeforce.FileProblems(err)
		if wf != nil && err == nil {
			found, err = claudeforce.CheckWorkflow(ctx, cfg, "", project, wf)
		}
		if err != nil {
			return err
		}
		problems = append(problems, found...)
		wrong := slices.ContainsFunc(found, func(p claudeforce.FileProblem) bool { return p.Severity == claudeforce.SeverityError })
		bad = bad || wrong
		if asJSON {
			continue
		}
		for _, p := range found {
			if p.Severity == claudeforce.SeverityError {
				a.say("%v", p)
			} else {
				a.note(p.String())
			}
		}
		if !wrong {
			critical, _ := wf.CriticalPath(func(*workflow.Step) time.Duration { return time.Second })
			fmt.Fprintf(a.stdout, "%s: valid: %s, longest path %s\n", path, plural(len(wf.Steps), "step"), strings.Join(critical, " -> "))
		}
	}
	if asJSON {
		if err := printJSON(a.stdout, problems); err != nil {
			return err
		}
	}
	if bad {
		return inputError{errReported}
	}
	return nil
}

func (a *app) workflowSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of workflow files",
		Long: `Print the JSON Schema of workflow files, with which editors complete and check
them. Name it in the file, or in the editor's settings:

    # yaml-language-server: $schema=workflow.schema.json`,
		Example: `  claude-force workflow schema > workflow.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(workflow.Schema())
			return err
		},
	}
}

func (a *app) workflowGraph() *cobra.Command {
	var format string
	formats := []string{"text", "mermaid", "svg"}
	cmd := &cobra.Command{
		Use:   "graph FILE|NAME",
		Short: "Draw a workflow",
		Example: `  claude-force workflow graph workflow.yaml
  claude-force workflow graph workflow.yaml --format mermaid >> README.md
  claude-force workflow graph workflow.yaml --format svg > graph.svg`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !slices.Contains(formats, format) {
				return badInput("--format %q is none of %s", format, strings.Join(formats, ", "))
			}
			wf, err := a.loadWorkflow(args[0], nil)
			if err != nil {
				return err
			}
			switch format {
			case "mermaid":
				_, err = io.WriteString(a.stdout, wf.Mermaid())
			case "svg":
				_, err = a.stdout.Write(wf.SVG())
			default:
				_, err = io.WriteString(a.stdout, wf.Text())
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, mermaid or svg")
	return cmd
}

// sayNotes prints what is no mistake in a file but may not be meant.
func (a *app) sayNotes(wf *workflow.Workflow) {
	for _, n := range wf.Notes {
		a.note(n.Error())
	}
}

// loadWorkflow reads a workflow from a file, which is given by its path or name, or from
// the standard input if the path is -.
func (a *app) loadWorkflow(path string, env []string) (*workflow.Workflow, error) {
	if path != "-" {
		return claudeforce.LoadWorkflow("", path, env...)
	}
	file, err := attach.ReadAll(a.stdin, "stdin", attach.Limits{OnNote: a.note})
	if err != nil {
		return nil, inputError{err}
	}
	return claudeforce.ParseWorkflow("", "stdin", []byte(file.Content), env...)
}
