package toolset

import (
	"slices"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
)

// MayEdit reports whether an agent may change files of the project without asking, by
// the rules of a step unless they are nil, else by what the user granted, and by the
// agent's own file. A rule for
// certain commands is taken to allow such that change no files.
func (p *Project) MayEdit(a *agent.Agent, limits []string) bool {
	if p.options.OnlyOwn || actsNot(a) {
		return false
	}
	s := &Session{Agent: a, Dir: p.options.Dir, project: p}
	policy := p.options.Policy
	if p.narrow(&policy, a, task.Task{}, p.usersOwn(a)) != nil {
		return false // the agent does not start; the error is reported elsewhere
	}
	s.policy.Store(&policy)
	mode, allow := policy.Mode, policy.Allow
	if limits != nil {
		mode, allow = permission.ModeDefault, nil
		for _, text := range limits {
			if rules, err := permission.ParseRules(text); err == nil { // a wrong one is reported elsewhere
				allow = append(allow, rules...)
			}
		}
	}
	if mode == permission.ModePlan || policy.Mode == permission.ModePlan {
		return false
	}
	edits := []string{"Write", "Edit", "NotebookEdit"}
	ruled := mode == permission.ModeAcceptEdits || mode == permission.ModeBypass ||
		slices.ContainsFunc(allow, func(r permission.Rule) bool { return slices.Contains(edits, r.Tool) })
	if ruled && slices.ContainsFunc(edits, s.Offers) {
		return true
	}
	commands := mode == permission.ModeBypass || slices.ContainsFunc(allow, func(r permission.Rule) bool { return r.Tool == "Bash" && r.All })
	return commands && s.Offers("Bash")
}
