package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/sandbox"
)

// sandboxCheck reports whether commands of agents can be isolated here.
func sandboxCheck() claudeforce.Check {
	report := sandbox.Probe()
	c := claudeforce.Check{Name: "sandbox", Status: claudeforce.CheckPassed}
	var held []string
	for _, g := range report.Guards {
		held = append(held, g.Name)
	}
	switch missing := report.Missing(); {
	case len(missing) > 0:
		c.Status = claudeforce.CheckWarned
		var names []string
		for _, g := range missing {
			names = append(names, fmt.Sprintf("%s (%s)", g.Name, g.Reason))
		}
		c.Detail = "commands of agents cannot be isolated here: nothing guards " + strings.Join(names, ", ")
		c.Hint = "agents cannot run commands, unless you turn the sandbox off"
	case !report.Namespaces():
		c.Status = claudeforce.CheckWarned
		c.Detail = "commands of agents are isolated, but without namespaces: nothing protects hooks and settings inside a project"
		c.Hint = "allow this user, or this container, to create user namespaces"
	default:
		c.Detail = "commands of agents are isolated: " + strings.Join(held, ", ")
	}
	return c
}

// toolsSandbox shows what isolates commands here.
func (a *app) toolsSandbox() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Show what isolates the commands of agents on this system",
		Long: `Commands of agents run isolated, in layers: namespaces, Landlock, a filter of system
calls, a control group and a watchdog. Each guard needs one layer at least. This
starts an isolated process for each layer and shows which of them hold, and why
the others do not.

Exit code 1 if a guard has no layer; commands then run only without isolation.`,
		Example: `  claude-force tools sandbox
  claude-force tools sandbox --json | jq '.guards[] | select(.by == [])'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			report := sandbox.Probe()
			if asJSON {
				if err := printJSON(a.stdout, report); err != nil {
					return err
				}
			} else {
				fmt.Fprint(a.stdout, report)
			}
			if len(report.Missing()) > 0 {
				return errReported
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object: layers and guards")
	return cmd
}
