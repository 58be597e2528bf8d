package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/internal/nearest"
	"github.com/claude-force/claude-force/tool/permission"
)

// offered are the tools that agents can have here, without those of MCP servers, and
// the former names of some.
var offered = []string{
	"Read", "Write", "Edit", "NotebookEdit", "Glob", "Grep", "Bash", "TaskStop", "WebFetch", "WebSearch", "Agent", "Skill", "TodoWrite",
	"ListMcpResourcesTool", "ReadMcpResourceTool",
	"Task", "KillShell", "KillBash", "MultiEdit", "LS", "NotebookRead", "BashOutput", "TodoRead",
}

// elsewhere are tools of Claude Code that agents do not have here.
var elsewhere = []string{
	"AskUserQuestion", "EnterPlanMode", "EnterWorktree", "ExitPlanMode", "ExitWorktree", "LSP", "SlashCommand", "TaskCreate", "TaskGet", "TaskList",
	"TaskOutput", "TaskUpdate", "ToolSearch",
}

// written is an entry of a list of tools.
type written struct {
	key  string // of the list
	text string
	rule permission.Rule
}

// tools returns what is wrong with the tools that an agent names. bad reports whether
// the agent cannot run with them.
func tools(ag *agent.Agent, data []byte, opts *Options) (found []Finding, bad bool) {
	add := func(e written, hint, format string, args ...any) {
		found = append(found, Finding{File: ag.Source, Line: lineOf(data, e.key, e.text), Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	read := func(key string, texts []string) (list []written) {
		for _, text := range texts {
			e := written{key: key, text: text}
			var err error
			if e.rule, err = permission.ParseRule(text); err != nil {
				bad = bad || key == "tools" && strings.Contains(text, "(")
				add(e, "a rule is a tool, and what it is about in parentheses, such as Bash(go test:*)", "%v", err)
				continue
			}
			if message, hint := unknownTool(text, opts); message != "" {
				add(e, hint, "%s", message)
			} else if why, hint := opts.Policy.Useless(e.rule); why != "" {
				add(e, hint, "%q can never match: %s", text, why)
			}
			for _, other := range list {
				switch {
				case other.rule == e.rule:
					add(e, "one of them is enough", "%q is in %s twice", e.rule.String(), key)
				case other.rule.Tool == e.rule.Tool && (other.rule.All || e.rule.All):
					wide, narrow := other, e
					if e.rule.All {
						wide, narrow = e, other
					}
					add(narrow, "remove one of them", "%q has no effect: %s names %s too, for all its calls", narrow.text, key, wide.text)
				default:
					continue
				}
				break
			}
			list = append(list, e)
		}
		return list
	}
	var allowed []written
	if !ag.AllTools {
		allowed = read("tools", ag.Tools)
	}
	denied := read("disallowedTools", ag.DisallowedTools)
	for _, e := range allowed {
		if i := slices.IndexFunc(denied, func(d written) bool { return opts.Policy.Covers(d.rule, e.rule) }); i >= 0 {
			add(e, "name it in one of the two", "%q is never allowed: disallowedTools has %s", e.text, denied[i].text)
			continue
		}
		if i := slices.IndexFunc(opts.Policy.Deny, func(d permission.Rule) bool { return opts.Policy.Covers(d, e.rule) }); i >= 0 {
			add(e, "", "%q is never allowed: a permission rule denies %s", e.text, opts.Policy.Deny[i])
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return found, bad
}

// unknownTool returns what is wrong with the name of a tool; an empty message if
// nothing is.
func unknownTool(text string, opts *Options) (message, hint string) {
	name, _, _ := strings.Cut(text, "(")
	name = strings.TrimSpace(name)
	if rest, ok := strings.CutPrefix(name, "mcp__"); ok {
		server, _, _ := strings.Cut(rest, "__")
		if server == "" || server == "*" || opts.Servers == nil || slices.Contains(opts.Servers, server) {
			return "", ""
		}
		hint = opts.advice(UnknownServer)
		if near := nearest.Name(server, opts.Servers); near != "" {
			hint = fmt.Sprintf("did you mean mcp__%s?", near)
		}
		return fmt.Sprintf("%q can never match: no MCP server %q is configured", text, server), hint
	}
	switch {
	case slices.Contains(offered, name):
		return "", ""
	case slices.Contains(elsewhere, name):
		return fmt.Sprintf("agents have no tool %q here, which is one of Claude Code's", name), opts.advice(UnknownTool)
	}
	hint = opts.advice(UnknownTool)
	if near := nearest.Name(name, offered); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return fmt.Sprintf("unknown tool %q", name), hint
}
