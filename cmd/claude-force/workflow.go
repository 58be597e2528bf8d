package main

import (
	"context"
	"errors"
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

// problem is one entry of `workflow validate --json`.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Hint    string `json:"hint"`

	// Severity is "error", or "note" for what is no mistake but may not be what the
	// author meant.
	Severity string `json:"severity"`
}

func (a *app) validate(ctx context.Context, paths, env []string, asJSON bool) error {
	problems, bad := []problem{}, false
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
		if err == nil {
			err = claudeforce.CheckEdits(ctx, "", project, wf)
		}
		if err == nil {
			err = claudeforce.CheckModels(ctx, cfg, "", wf)
		}
		if list, ok := errors.AsType[workflow.Errors](err); ok {
			for _, e := range list {
				problems, bad = append(problems, problem{e.File, e.Line, e.Column, e.Message, e.Hint, "error"}), true
				if !asJSON {
					a.say("%v", e)
				}
			}
			continue
		}
		if err != nil {
			return err
		}
		if asJSON {
			for _, e := range wf.Notes {
				problems = append(problems, problem{e.File, e.Line, e.Column, e.Message, e.Hint, "note"})
			}
		} else {
			a.sayNotes(wf)
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
