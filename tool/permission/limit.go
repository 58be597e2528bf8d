package permission

import (
	"slices"
	"strings"
)

// Limit narrows a policy to what rules allow: a call must be allowed by the policy
// and by each of its limits. Reading in the project is always within a limit, unless
// Named says otherwise.
type Limit struct {
	By    string // who set it, for the model: "the step"
	Rules []Rule

	// Named leaves tools alone for which no rule has parentheses, and applies rules
	// for Read, Glob and Grep to reading in the project too.
	Named bool
}

// permits reports whether a call is within the limit.
func (l Limit) permits(p *Policy, tool string, in input, cwd string) bool {
	if l.Named {
		mine := slices.DeleteFunc(slices.Clone(l.Rules), func(r Rule) bool { return !r.named(tool, false) })
		if len(mine) == 0 || slices.ContainsFunc(mine, func(r Rule) bool { return r.All }) {
			return true
		}
	}
	alone := &Policy{Mode: ModeDefault, Allow: l.Rules, Dir: p.Dir, Home: p.Home, Extra: p.Extra}
	if l.Named && (tool == "Read" || tool == "Glob" || tool == "Grep") {
		return alone.allowsPath(p.place(cwd, readPath(tool, in)), "Read", tool)
	}
	return alone.decide(tool, in, cwd).Outcome == Allow
}

// String returns the rules.
func (l Limit) String() string {
	texts := make([]string, len(l.Rules))
	for i, r := range l.Rules {
		texts[i] = r.String()
	}
	return strings.Join(texts, ", ")
}
