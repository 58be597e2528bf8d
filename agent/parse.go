package agent

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
)

// Parse parses the data of one agent file. The name of the file is used in
// messages, as the agent's Source and, if the file has no frontmatter, as the name
// of the agent. Parse opens no file.
//
// If the file is not an agent, the error is a [*NotAgentError] and the agent
// is nil. Both results may come with warnings. Parse never panics.
func Parse(file string, data []byte) (*Agent, []Warning, error) {
	return parse(file, data, "")
}

// parse works like Parse. If entry is not empty, it is the name of the agent in a
// claude.json; then the file needs no name or description of its own.
func parse(file string, data []byte, entry string) (*Agent, []Warning, error) {
	p := parser{file: file}
	f := split(data)
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		return p.refuse(0, "the file is in UTF-16", "save it as UTF-8")
	case f.found && !f.closed:
		return p.refuse(1, "the frontmatter has no end", "close it with a line ---")
	case f.indented:
		return p.refuse(1, "there is white space before the frontmatter", "make --- the first line")
	}
	if i := invalidAt(data); i >= 0 {
		p.warn(1+bytes.Count(data[:i], []byte("\n")), "the file is not UTF-8 text; what is not is read as \ufffd", "save it as UTF-8")
	}
	a := &Agent{Source: file, AllTools: true, Prompt: strings.TrimSpace(validUTF8(data[f.bodyStart:]))}
	if !f.found {
		if a.Prompt == "" {
			return p.refuse(0, "the file is empty", "write what the agent is to do, or remove the file")
		}
		a.Name = cmp.Or(entry, fileName(file))
		if a.Name == "" {
			return p.refuse(0, "neither the frontmatter nor the file has a name", "rename the file")
		}
		a.Description = summary(a.Prompt)
		if why := badName(a.Name); why != "" {
			return p.refuse(0, why, "rename the file")
		}
		return a, p.warnings, nil
	}
	h, err := readHead(clean(data[f.headStart:f.headEnd]))
	if err != nil {
		line, hint := 0, hintQuote
		if e, ok := errors.AsType[*yamlError](err); ok {
			line, hint = e.line, cmp.Or(e.hint, hint)
		}
		return p.refuse(fileLine(line), "the frontmatter is not valid YAML: "+err.Error(), hint)
	}
	p.fill(a, h)
	if entry != "" {
		a.Name = entry
		if a.Description == "" {
			a.Description = summary(a.Prompt)
		}
	}
	switch {
	case a.Name == "":
		return p.refuse(1, "the frontmatter has no name", "add a line `name: my-agent`")
	case badName(a.Name) != "":
		return p.refuse(1, badName(a.Name), "use a short name of lowercase letters, digits and hyphens")
	case strings.TrimSpace(a.Description) == "":
		return p.refuse(1, "the frontmatter has no description", "add a line `description: when to use the agent`")
	case a.Prompt == "":
		p.warn(0, "the agent has no prompt", "write it below the frontmatter")
	}
	return a, p.warnings, nil
}

// fileName returns the name of the agent in a file without frontmatter.
func fileName(file string) string {
	base := path.Base(filepath.ToSlash(file))
	if base == "." || base == "/" {
		return ""
	}
	return strings.TrimSuffix(base, ".md")
}

const hintQuote = yamltext.Quote

// fileLine converts a line of the frontmatter to a line of the file; 0, for
// unknown, stays 0.
func fileLine(line int) int {
	if line == 0 {
		return 0
	}
	return line + headLine - 1
}

// parser collects the warnings of one file.
type parser struct {
	file     string
	warnings []Warning
}

func (p *parser) warn(line int, message, hint string) {
	p.warnings = append(p.warnings, Warning{File: p.file, Line: line, Message: message, Hint: hint})
}

func (p *parser) refuse(line int, message, hint string) (*Agent, []Warning, error) {
	return nil, p.warnings, &NotAgentError{File: p.file, Line: line, Message: "not an agent: " + message, Hint: hint}
}

// fill sets the agent's fields from frontmatter.
func (p *parser) fill(a *Agent, h *head) {
	if h.broken != nil {
		line, text := 0, h.broken.Error()
		if e, ok := errors.AsType[*yamlError](h.broken); ok {
			line = e.line
		}
		p.warn(fileLine(line), "the frontmatter is not valid YAML and was read as if its values were quoted: "+text,
			"quote the values in the file")
	}
	last := make(map[string]int, len(h.fields))
	for i, f := range h.fields {
		last[f.key] = i
	}
	for i, f := range h.fields {
		if f.key == "" {
			p.warn(fileLine(f.line), "a key that is not text is ignored", "keys are plain words")
			continue
		}
		if last[f.key] != i {
			p.warn(fileLine(f.line), fmt.Sprintf("%s is given twice; the last one counts", f.key), "remove one")
			continue
		}
		p.set(a, f)
	}
}

func (p *parser) set(a *Agent, f field) {
	switch f.key {
	case "name":
		a.Name = p.text(f)
		if a.Name != "" && !plainName(a.Name) && badName(a.Name) == "" {
			p.warn(fileLine(f.line), fmt.Sprintf("the name %q is not made of lowercase letters, digits and hyphens", a.Name),
				"Claude Code may not accept it")
		}
	case "description":
		if a.Description = p.text(f); f.value.Kind == yaml.ScalarNode && a.Description != "" {
			a.Description = f.value.Value // as it is: a block keeps its final newline
		}
		a.Description = strings.ReplaceAll(a.Description, `\n`, "\n")
		if c := f.value.LineComment; c != "" && f.value.Style == 0 {
			p.warn(fileLine(f.line), "the description ends where a # starts a comment", "quote the value if the # belongs to it")
		}
	case "model":
		a.Model = p.text(f)
		if strings.EqualFold(a.Model, "inherit") {
			a.Model = ""
		}
		if strings.ContainsAny(a.Model, " \t\n") {
			p.warn(fileLine(f.line), fmt.Sprintf("the model %q holds white space", a.Model), "use an alias such as sonnet, or a model id")
		}
	case "model_floor":
		a.ModelFloor = p.text(f)
	case "model_ceiling":
		a.ModelCeiling = p.text(f)
	case "effort":
		effort := strings.ToLower(p.text(f))
		if effort == "" || slices.Contains(efforts, effort) {
			a.Effort = effort
		} else {
			p.warn(fileLine(f.line), fmt.Sprintf("unknown effort %q", effort), "use low, medium, high, xhigh or max")
		}
	case "tools":
		a.Tools, a.AllTools = p.tools(f)
	case "disallowedTools":
		a.DisallowedTools, _ = p.tools(f)
	case "permissionMode":
		a.PermissionMode = p.text(f)
		if a.PermissionMode != "" && !slices.Contains(permissionModes, a.PermissionMode) {
			p.warn(fileLine(f.line), fmt.Sprintf("unknown permissionMode %q", a.PermissionMode), "use default, acceptEdits, plan or dontAsk")
			a.PermissionMode = ""
		}
	case "runner":
		if a.Runner = p.text(f); a.Runner != "" && !slices.Contains(runners, a.Runner) {
			p.warn(fileLine(f.line), fmt.Sprintf("unknown runner %q", a.Runner), "use "+strings.Join(runners, " or "))
			a.Runner = ""
		}
	case "prompt_mode":
		switch mode := p.text(f); mode {
		case "append":
			a.AppendPrompt = true
		case "", "replace":
		default:
			p.warn(fileLine(f.line), fmt.Sprintf("unknown prompt_mode %q", mode), "use append or replace")
		}
	case "maxTurns", "max_turns":
		n, err := strconv.Atoi(p.text(f))
		if err != nil || n <= 0 {
			p.warn(fileLine(f.line), f.key+" is not a number above 0", "write for example `maxTurns: 20`")
			return
		}
		a.MaxTurns = n
	case "max_tokens":
		n, err := strconv.Atoi(p.text(f))
		if err != nil || n <= 0 {
			p.warn(fileLine(f.line), "max_tokens is not a number above 0", "write for example `max_tokens: 4096`")
			return
		}
		a.MaxTokens = n
	case "cache":
		switch strings.ToLower(p.text(f)) {
		case "false", "no", "off":
			a.NoCache = true
		case "true", "yes", "on":
		default:
			p.warn(fileLine(f.line), "cache is neither true nor false", "write `cache: false` to keep answers out of the cache")
		}
	case "cache_ttl":
		ttl, err := time.ParseDuration(p.text(f))
		if err != nil || ttl <= 0 {
			p.warn(fileLine(f.line), "cache_ttl is not a time span above 0", "write for example `cache_ttl: 12h`; `cache: false` turns the cache off")
			return
		}
		a.CacheTTL = ttl
	default:
		p.extra(a, f)
	}
}

// runners are what can have the conversation with the model.
var runners = []string{"builtin", "claude-code"}

// permissionModes are the modes that Claude Code knows.
var permissionModes = []string{"default", "acceptEdits", "plan", "dontAsk", "bypassPermissions", "auto", "manual"}

func (p *parser) extra(a *Agent, f field) {
	switch f.key {
	case "tool", "allowed-tools", "allowed_tools", "allowedTools":
		p.warn(fileLine(f.line), fmt.Sprintf("%s is ignored in an agent file", f.key), "the key is called tools")
	case "disallowed-tools", "disallowed_tools":
		p.warn(fileLine(f.line), fmt.Sprintf("%s is ignored in an agent file", f.key), "the key is called disallowedTools")
	}
	var value any
	if err := f.value.Decode(&value); err != nil {
		p.warn(fileLine(f.line), fmt.Sprintf("the value of %s cannot be read and is ignored", f.key), "check it for keys given twice")
		return
	}
	if a.Extra == nil {
		a.Extra = make(map[string]any)
	}
	a.Extra[f.key] = value
}

// text returns a scalar as it is written, without surrounding white space; empty
// if it is null or not a scalar.
func (p *parser) text(f field) string {
	if f.value.Kind != yaml.ScalarNode {
		p.warn(fileLine(f.line), fmt.Sprintf("%s is a list or a map and is ignored", f.key), "write it as text on one line")
		return ""
	}
	switch f.value.ShortTag() {
	case "!!null":
		return ""
	case "!!str":
	default:
		if f.key == "name" || f.key == "description" {
			p.warn(fileLine(f.line), fmt.Sprintf("%s is not text to YAML", f.key), "put it in quotes, or Claude Code skips the file")
		}
	}
	return strings.TrimSpace(f.value.Value)
}

// tools returns a list of tools, from a comma-separated string or a YAML list of
// such strings. all is true for "*".
func (p *parser) tools(f field) (tools []string, all bool) {
	switch f.value.Kind {
	case yaml.ScalarNode:
		if f.value.ShortTag() == "!!null" {
			p.warn(fileLine(f.line), f.key+" is empty, which means no tools", "remove the line, or name the tools")
			return nil, false
		}
		tools = splitTools(f.value.Value)
	case yaml.SequenceNode:
		for _, item := range f.value.Content {
			if item.Kind == yaml.AliasNode {
				item = item.Alias
			}
			if item.Kind != yaml.ScalarNode {
				p.warn(fileLine(item.Line), f.key+" contains something that is not the name of a tool; it is ignored", "")
				continue
			}
			tools = append(tools, splitTools(item.Value)...)
		}
	default:
		p.warn(fileLine(f.line), f.key+" is a map, which means no tools", "write `tools: Read, Grep`")
		return nil, false
	}
	if slices.Contains(tools, "*") {
		return nil, true
	}
	return tools, false
}

// splitTools splits at the commas and white space that are not inside parentheses:
// "Read, Agent(a,b)" are two tools, "Read Write Bash(git log:*)" three. A list that lost its meaning because its
// line had to be quoted ("[Read, Grep]") is still a list.
func splitTools(s string) []string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	var tools []string
	depth, start := 0, 0
	add := func(tool string) {
		if tool = strings.Trim(tool, " \t\r\n\"'"); tool != "" {
			tools = append(tools, tool)
		}
	}
	for i, r := range s {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth = max(0, depth-1)
		case (r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n') && depth == 0:
			add(s[start:i])
			start = i + 1
		}
	}
	add(s[start:])
	return tools
}

// maxName bounds, in bytes, the name of an agent.
const maxName = 256

// badName returns why Claude Code does not take a file for an agent because of its
// name, or "".
func badName(name string) string {
	switch {
	case strings.Contains(name, ":"):
		return fmt.Sprintf("the name %.80q holds a colon, which stands between a plugin and its agent", name)
	case len(name) > maxName:
		return fmt.Sprintf("the name is longer than %d bytes", maxName)
	}
	return ""
}

// invalidAt returns the offset of the first byte that is not UTF-8, or -1.
func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

// plainName reports whether Claude Code accepts name.
func plainName(name string) bool {
	for i, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' && i > 0) {
			return false
		}
	}
	return true
}

// maxSummary bounds, in bytes, the description made of a first sentence.
const maxSummary = 200

// summary returns the first heading of a Markdown text or, if it has none, its
// first sentence.
func summary(text string) string {
	fenced, first := false, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") || strings.HasPrefix(line, "~~~") {
			fenced = !fenced
			continue
		}
		if fenced || line == "" {
			continue
		}
		marks := len(line) - len(strings.TrimLeft(line, "#"))
		if rest := line[marks:]; marks >= 1 && marks <= 6 && strings.HasPrefix(rest, " ") {
			if title := strings.Trim(rest, " #"); title != "" {
				return title
			}
		}
		if first == "" {
			first = line
		}
	}
	if end := strings.Index(first, ". "); end >= 0 {
		first = first[:end+1]
	}
	if len(first) > maxSummary {
		cut := strings.ToValidUTF8(first[:maxSummary], "")
		first = cut[:max(strings.LastIndexByte(cut, ' '), 0)] + "…"
	}
	if first == "" {
		return "an agent without a description"
	}
	return first
}
