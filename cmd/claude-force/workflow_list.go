package main

import (
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
)

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
			list := []claudeforce.WorkflowInfo{}
			for _, f := range set.All() {
				info := claudeforce.DescribeWorkflow("", f)
				info.Problem = firstLine(info.Problem, 300)
				list = append(list, info)
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

// workflowRows returns a table of workflows. A parameter that must be given ends with an
// asterisk.
func workflowRows(list []claudeforce.WorkflowInfo) [][]string {
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
