package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/workflow/importer"
)

// importedWorkflow is what `workflow import --json` prints.
type importedWorkflow struct {
	File     string          `json:"file"`
	Format   importer.Format `json:"format"`
	Steps    int             `json:"steps"`
	Changed  int             `json:"changed"`
	Missing  int             `json:"missing"`
	Notes    []importer.Note `json:"notes"`
	Output   string          `json:"output,omitempty"`   // the file that was written
	Workflow string          `json:"workflow,omitempty"` // its text, if none was
}

// importFlags are the flags of `workflow import`.
type importFlags struct {
	from, which, output string
	force, asJSON       bool
}

func (a *app) workflowImport() *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Write a workflow for a file of another tool",
		Long: `Read a workflow of another tool and write it as a workflow of this one: ` + importFormats() + `.
Which it is follows from its keys.

A comment in the result says where something has no counterpart, and so does a
note on the standard error. A step that cannot be carried over asks a person, so
that no run goes on as if it had been done. The result is always valid; look at
its comments before you run it. See docs/import.md.`,
		Example: `  claude-force workflow import recipe.yaml -o workflow.yaml
  claude-force workflow import .claude/claude.json --workflow bug-fix
  claude-force workflow import recipe.yaml --json | jq -r '.notes[].message'`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.importWorkflow(args[0], flags) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.from, "from", "", "what the file was written for: "+strings.Join(formatNames(), ", "))
	f.StringVar(&flags.which, "workflow", "", "which workflow of a file that has several")
	f.StringVarP(&flags.output, "output", "o", "", "write the workflow to this file")
	f.BoolVar(&flags.force, "force", false, "replace the file if it is there")
	f.BoolVar(&flags.asJSON, "json", false, "print a JSON object with the notes")
	return cmd
}

// importFormats describes the formats that can be imported.
func importFormats() string {
	return "one of conductor, a DAG of dagu, a recipe of goose or a claude.json of the first claude-force"
}

func formatNames() []string {
	var names []string
	for _, format := range importer.Formats {
		names = append(names, string(format))
	}
	return names
}

func (a *app) importWorkflow(path string, flags importFlags) error {
	if flags.from != "" && !slices.Contains(formatNames(), flags.from) {
		return badInput("--from %q is none of %s", flags.from, strings.Join(formatNames(), ", "))
	}
	shown, data, err := a.importSource(path)
	if err != nil {
		return inputError{err}
	}
	r, err := importer.Import(shown, data, importer.Options{From: importer.Format(flags.from), Workflow: flags.which})
	if errors.Is(err, importer.ErrUnknown) {
		return badInput("%w; --from names it: %s", err, strings.Join(formatNames(), ", "))
	}
	if err != nil {
		return inputError{err}
	}
	if flags.output != "" {
		if err := writeNew(flags.output, r.YAML, flags.force); err != nil {
			return err
		}
	}
	result := importedWorkflow{File: shown, Format: r.Format, Steps: r.Steps, Notes: r.Notes, Output: flags.output}
	if result.Notes == nil {
		result.Notes = []importer.Note{}
	}
	for _, n := range r.Notes {
		if n.Kind == importer.Missing {
			result.Missing++
		} else {
			result.Changed++
		}
		if !flags.asJSON {
			a.say("%s:%d: %s: %s", shown, n.Line, n.Kind, n.Message)
		}
	}
	switch {
	case flags.asJSON:
		if flags.output == "" {
			result.Workflow = string(r.YAML)
		}
		return printJSON(a.stdout, result)
	case flags.output == "":
		if _, err := a.stdout.Write(r.YAML); err != nil {
			return err
		}
	}
	a.say("imported %s (%s): %s, %d changed, %d missing", shown, r.Format, plural(r.Steps, "step"), result.Changed, result.Missing)
	return nil
}

// importSource reads the file to import, - for the standard input.
func (a *app) importSource(path string) (shown string, data []byte, err error) {
	if path == "-" {
		file, err := attach.ReadAll(a.stdin, "stdin", attach.Limits{OnNote: a.note})
		return "stdin", []byte(file.Content), err
	}
	data, err = openfile.ReadTyped(path, importer.MaxBytes)
	if err != nil {
		return path, nil, errors.New(path + ": " + openfile.Reason(err))
	}
	return path, data, nil
}

// writeNew writes a file that must not be there, unless it may be replaced.
func writeNew(path string, data []byte, replace bool) error {
	if !replace {
		if _, err := os.Lstat(path); err == nil {
			return badInput("%s is there already; --force replaces it", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return badInput("%s: %s", path, openfile.Reason(err))
		}
	}
	if err := openfile.Replace(path, data); err != nil {
		return badInput("%s: %s", path, openfile.Reason(err))
	}
	return nil
}
