package main

import (
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/workflow/workflowdir"
)

// listedWorkflow is an entry of `workflow list --json`.
type listedWorkflow struct {
	*workflowdir.File
	Title       string        `json:"title,omitempty"`
	Description string        `json:"description,omitempty"`
	Params      []listedParam `json:"params"`
	Problem     string        `json:"problem,omitempty"` // why it cannot be run
}

// listedParam is a parameter of a workflow.
type listedParam struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required"`
	Default     any    `json:"default,omitempty"`
}

func (a *app) workflowList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the workflows that have names",
		Long: `List the workflows that "claude-force run NAME" and steps find by name: files in
.claude/workflows of this folder and those up to the repository's, of your home folder,
and of plugins. Of several with one name the first counts; the others are shown with the
file that is used instead.`,
		Example: `  claude-force workflow list
  claude-force workflow list --json | jq -r '.[] | select(.shadowed_by | not) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			set, err := claudeforce.Workflows("")
			if err != nil {
				return err
			}
			for _, problem := range set.Problems {
				a.say("warning: %s", problem)
			}
			list := []listedWorkflow{}
			for _, f := range set.All() {
				list = append(list, listed(f))
			}
			switch {
			case asJSON:
				return printJSON(a.stdout, list)
			case len(list) == 0:
				a.say("there are no workflows in %s", strings.Join(set.Folders, ", "))
				return nil
			}
			return table(a.stdout, workflowRows(list))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// listed returns what is shown of a workflow.
func listed(f *workflowdir.File) listedWorkflow {
	l := listedWorkflow{File: f, Params: []listedParam{}}
	wf, err := claudeforce.LoadWorkflow("", f.Path)
	if err != nil {
		l.Problem = firstLine(err.Error(), 300)
		return l
	}
	l.Title, l.Description = wf.Name, wf.Description
	for _, p := range wf.Params {
		typ := p.Type
		if p.Format != "" {
			typ = p.Format
		}
		l.Params = append(l.Params, listedParam{Name: p.Name, Type: typ, Description: p.Description, Required: !p.HasDefault, Default: p.Default})
	}
	return l
}

// workflowRows returns a table of workflows. A parameter that must be given ends with an
// asterisk.
func workflowRows(list []listedWorkflow) [][]string {
	rows := [][]string{{"NAME", "FROM", "FILE", "PARAMETERS", "DESCRIPTION"}}
	for _, l := range list {
		var params []string
		for _, p := range l.Params {
			if p.Required {
				p.Name += "*"
			}
			params = append(params, p.Name)
		}
		about := l.Description
		switch {
		case l.ShadowedBy != "":
			about = "not used: the name stands for " + l.ShadowedBy
		case l.Problem != "":
			about = "cannot be run: " + l.Problem
		case about == "":
			about = l.Title
		}
		rows = append(rows, []string{l.Name, string(l.Origin), l.Path, strings.Join(params, ", "), brief(about)})
	}
	return rows
}
