package claudeforce

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/claudecode"
)

// checkClaudeCode checks the program of the runner claude-code, which only the agents need
// that name the runner.
func checkClaudeCode(ctx context.Context, dir string) Check {
	c := Check{Name: claudecode.Name, Status: CheckPassed}
	var needed []string
	if set, _, err := Agents(dir); err == nil { // else another check says it
		for _, a := range set.All() {
			if a.Runner == claudecode.Name {
				needed = append(needed, a.Name)
			}
		}
	}
	slices.Sort(needed)
	bad, who := CheckWarned, "only the runner "+claudecode.Name+" needs it"
	if len(needed) > 0 {
		bad, who = CheckFailed, "the runner of "+strings.Join(needed, ", ")
	}
	path, err := claudecode.Find()
	if err != nil {
		c.Status, c.Detail = CheckSkipped, "not installed; "+who
		if len(needed) > 0 {
			c.Status, c.Hint = CheckFailed, "install it with `npm install -g @anthropic-ai/claude-code`, or let these agents use the runner builtin"
		}
		return c
	}
	version, err := claudecode.Version(ctx, path)
	switch {
	case err != nil:
		c.Status, c.Detail, c.Hint = bad, err.Error(), "reinstall it with `npm install -g @anthropic-ai/claude-code`"
	case claudecode.Older(version):
		c.Status, c.Hint = bad, "update it with `npm install -g @anthropic-ai/claude-code`, or as it was installed"
		c.Detail = fmt.Sprintf("%s is version %s, before %s, and asks no permissions of us, so that no tool would run; %s", path, version, claudecode.MinVersion, who)
	default:
		c.Detail = fmt.Sprintf("%s, version %s", path, version)
	}
	return c
}
