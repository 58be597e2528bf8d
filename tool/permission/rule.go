// Package permission decides which calls of tools may run: rules in the syntax of
// Claude Code, such as Bash(go test:*) and Edit(src/**), and a mode.
//
// A rule denies before another asks, and asks before another allows. Commands for
// the shell are parsed, and each part of them must be allowed. What cannot be
// understood is not allowed, and is denied if it may be what a rule denies.
package permission

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Rule is a tool, and in parentheses to which of its calls the rule applies.
type Rule struct {
	Tool string
	Spec string // what is in the parentheses
	All  bool   // the rule has no parentheses, or * in them
}

// FolderRule returns the rule for the calls of a tool with files in a folder, whose path
// is absolute, and below it.
func FolderRule(tool, dir string) Rule {
	path := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(filepath.ToSlash(dir))
	return Rule{Tool: tool, Spec: "//" + strings.TrimPrefix(path, "/") + "/**"}
}

// String returns the rule as it is written.
func (r Rule) String() string {
	if r.All {
		return r.Tool
	}
	return r.Tool + "(" + r.Spec + ")"
}

// ParseRule reads one rule.
func ParseRule(text string) (Rule, error) {
	text = strings.TrimSpace(text)
	name, rest, has := strings.Cut(text, "(")
	name = strings.TrimSpace(name)
	if name == "" || strings.ContainsAny(name, " ,)\t\n") {
		return Rule{}, fmt.Errorf("permission rule %q: it must be a tool, or a tool and parentheses, such as Bash(go test:*)", text)
	}
	if alias, ok := aliases[name]; ok {
		name = alias
	}
	if !has {
		return Rule{Tool: name, All: true}, nil
	}
	spec, closed := strings.CutSuffix(rest, ")")
	if !closed {
		return Rule{}, fmt.Errorf("permission rule %q: the parenthesis is not closed", text)
	}
	spec = strings.TrimSpace(spec)
	return Rule{Tool: name, Spec: spec, All: spec == "*" || spec == ""}, nil
}

// ParseRules reads rules that are separated by commas or spaces.
func ParseRules(text string) ([]Rule, error) {
	var rules []Rule
	for _, field := range split(text) {
		r, err := ParseRule(field)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// split separates a list at commas and spaces outside parentheses.
func split(text string) []string {
	depth := 0
	return strings.FieldsFunc(text, func(r rune) bool {
		switch r {
		case '(':
			depth++
		case ')':
			depth = max(0, depth-1)
		case ',', ' ', '\t', '\n':
			return depth == 0
		}
		return false
	})
}

// aliases are other names of tools.
var aliases = map[string]string{"Task": "Agent", "KillShell": "TaskStop", "KillBash": "TaskStop"}

// named reports whether the rule is for a tool of that name, whatever the call.
// mcp__server and mcp__server__* stand for all tools of a server. A rule that denies
// may name all servers; one that allows may not.
func (r Rule) named(tool string, denies bool) bool {
	if alias, ok := aliases[tool]; ok {
		tool = alias
	}
	if r.Tool == tool {
		return true
	}
	if !strings.HasPrefix(r.Tool, "mcp__") || !strings.HasPrefix(tool, "mcp__") {
		return false
	}
	if prefix, star := strings.CutSuffix(r.Tool, "*"); star {
		if server := strings.TrimSuffix(strings.TrimPrefix(prefix, "mcp__"), "__"); server == "" {
			return denies
		}
		return strings.HasPrefix(tool, prefix)
	}
	// The name of a server has no double underscore, a tool's may have one.
	return !strings.Contains(strings.TrimPrefix(r.Tool, "mcp__"), "__") && strings.HasPrefix(tool, r.Tool+"__")
}
