package main

import (
	"fmt"
	"strings"

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
