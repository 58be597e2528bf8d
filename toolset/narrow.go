package toolset

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
)

// narrow applies what the agent's file and the task say to a policy. They only take
// away; with own, the agent's file also grants what it names.
func (p *Project) narrow(policy *permission.Policy, a *agent.Agent, t task.Task, own bool) error {
	var rules []permission.Rule
	for _, entry := range a.Tools {
		if !strings.Contains(entry, "(") {
			continue
		}
		r, err := permission.ParseRule(entry)
		if err != nil {
			return fault.Input(fmt.Errorf("the tools of agent %s: %w", a.Name, err))
		}
		if r.Tool != "Agent" { // Agent(a, b) names the agents that may be started
			rules = append(rules, r)
		}
	}
	if len(rules) > 0 {
		// A tool that is also named without parentheses is not limited.
		for _, entry := range a.Tools {
			if r, err := permission.ParseRule(entry); err == nil && r.All {
				rules = append(rules, r)
			}
		}
		policy.Limits = append(slices.Clip(policy.Limits), permission.Limit{By: "the agent's file", Rules: rules, Named: true})
	}
	if own {
		for _, r := range rules {
			if !r.All {
				policy.Allow = append(slices.Clip(policy.Allow), r)
			}
		}
	}
	if a.PermissionMode != "" {
		mode, err := permission.ParseMode(a.PermissionMode)
		if err == nil { // of others, Claude Code takes the default too
			policy.Mode = narrower(policy.Mode, mode, own)
		}
	}
	if t.Allow != nil {
		limit := permission.Limit{By: "the step"}
		for _, text := range t.Allow {
			parsed, err := permission.ParseRules(text)
			if err != nil {
				return fault.Input(fmt.Errorf("allow of the task for %s: %w", a.Name, err))
			}
			limit.Rules = append(limit.Rules, parsed...)
		}
		policy.Limits = append(slices.Clip(policy.Limits), limit)
	}
	return nil
}

// notGranted returns those of a step's rules that a policy does not have.
func notGranted(policy *permission.Policy, texts []string) []string {
	if policy.Mode == permission.ModeBypass || policy.Mode == permission.ModeAcceptEdits {
		return nil
	}
	var missing []string
	for _, text := range texts {
		rules, err := permission.ParseRules(text)
		if err != nil {
			continue // reported already
		}
		for _, r := range rules {
			if r.Tool == "Read" || r.Tool == "Glob" || r.Tool == "Grep" {
				continue
			}
			if !slices.ContainsFunc(policy.Allow, func(has permission.Rule) bool { return has.Tool == r.Tool && (has.All || has.Spec == r.Spec) }) {
				missing = append(missing, r.String())
			}
		}
	}
	return missing
}

// narrower returns the mode for an agent whose file names one: a mode that allows less
// than the user's. A file of the user's own may also accept edits.
func narrower(users, agents permission.Mode, own bool) permission.Mode {
	switch {
	case users == permission.ModePlan:
		return users
	case agents == permission.ModePlan, agents == permission.ModeDontAsk:
		return agents
	case agents == permission.ModeAcceptEdits && own && users == permission.ModeDefault:
		return agents
	}
	return users
}

// usersOwn reports whether an agent's file is one that only the user puts there.
func (p *Project) usersOwn(a *agent.Agent) bool {
	home := p.options.Policy.Home
	if home == "" || a.Source == "" || a.Source == agent.BuiltinSource {
		return false
	}
	path, err := filepath.Abs(a.Source)
	if err != nil {
		return false
	}
	// A home folder that is, or is in, the project is the project's author's too.
	if rel, err := filepath.Rel(p.options.Dir, home); err == nil && filepath.IsLocal(rel) {
		return false
	}
	return strings.HasPrefix(path, filepath.Join(home, ".claude", "agents")+string(filepath.Separator))
}
