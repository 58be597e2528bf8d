package permission

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// Mode is what happens to calls that no rule decides.
type Mode string

// Modes.
const (
	ModeDefault     Mode = "default"           // reading in the project is allowed
	ModeAcceptEdits Mode = "acceptEdits"       // and changing files in it
	ModePlan        Mode = "plan"              // nothing is changed, even if a rule allows it
	ModeDontAsk     Mode = "dontAsk"           // as default, and questions are answered with no
	ModeBypass      Mode = "bypassPermissions" // everything but what a rule denies or asks for
)

// ParseMode reads the name of a mode. The empty name is the default mode; manual and
// auto are other names, of default and of acceptEdits.
func ParseMode(name string) (Mode, error) {
	switch m := Mode(name); m {
	case ModeDefault, ModeAcceptEdits, ModePlan, ModeDontAsk, ModeBypass:
		return m, nil
	case "", "manual":
		return ModeDefault, nil
	case "auto":
		return ModeAcceptEdits, nil
	case "bypass":
		return ModeBypass, nil
	}
	return "", fmt.Errorf("permission mode %q: known are default, acceptEdits, plan, dontAsk and bypassPermissions", name)
}

// Policy is what an agent may do. It is immutable while it is used.
type Policy struct {
	Mode  Mode
	Allow []Rule
	Ask   []Rule
	Deny  []Rule

	// Limits narrow what the rules and the mode allow.
	Limits []Limit

	Dir   string   // the project's folder, absolute
	Home  string   // what ~ stands for
	Extra []string // folders outside the project that count as in it

	// Protected are files and folders that no call may use, whatever the mode and
	// the rules: keys, and the store of this program.
	Protected []string
}

// Outcome is what a policy says of a call.
type Outcome int

// Outcomes. Someone may be asked and allow the call; without an answer it is not
// allowed.
const (
	Deny Outcome = iota
	Ask
	Allow
)

// Decision is the outcome and, unless the call is allowed, why, for the model.
type Decision struct {
	Outcome Outcome
	Reason  string
}

var allowed = Decision{Outcome: Allow}

func denied(format string, args ...any) Decision {
	return Decision{Deny, fmt.Sprintf(format, args...)}
}

func ask(format string, args ...any) Decision {
	return Decision{Ask, fmt.Sprintf(format, args...)}
}

// input is what the rules look at in the input of any tool.
type input struct {
	FilePath     string `json:"file_path"`
	NotebookPath string `json:"notebook_path"`
	Path         string `json:"path"`
	Pattern      string `json:"pattern"`
	Command      string `json:"command"`
	URL          string `json:"url"`
	Skill        string `json:"skill"`
	Agent        string `json:"subagent_type"`
	Unsandboxed  bool   `json:"dangerouslyDisableSandbox"`
}

// Check decides about a call. cwd is the current folder, absolute.
func (p *Policy) Check(tool string, raw json.RawMessage, cwd string) Decision {
	if alias, ok := aliases[tool]; ok {
		tool = alias
	}
	var in input
	// Tools of others may use the same names for something else.
	_ = json.Unmarshal(raw, &in)
	for _, r := range p.Deny {
		if r.All && r.named(tool, true) {
			return denied("%s is denied by the permission rule %s.", tool, r)
		}
	}
	d := p.decide(tool, in, cwd)
	if d.Outcome == Allow && slices.ContainsFunc(p.Ask, func(r Rule) bool { return r.All && r.named(tool, true) }) {
		d = ask("%s needs permission: a rule asks for it.", tool)
	}
	if d.Outcome != Deny {
		for _, l := range p.Limits {
			if !l.permits(p, tool, in, cwd) {
				return denied("%s is limited by %s to what it allows: %s.", tool, l.By, l)
			}
		}
	}
	if d.Outcome == Ask && p.Mode == ModeDontAsk {
		d = denied("%s This mode asks no one.", d.Reason)
	}
	return d
}

// Removed reports whether a rule denies every call of a tool, so that it need not
// be offered.
func (p *Policy) Removed(tool string) bool {
	return slices.ContainsFunc(p.Deny, func(r Rule) bool { return r.All && r.named(tool, true) })
}

func (p *Policy) decide(tool string, in input, cwd string) Decision {
	switch tool {
	case "Read", "Glob", "Grep":
		return p.reading(tool, in, cwd)
	case "Write", "Edit", "NotebookEdit":
		return p.writing(tool, in, cwd)
	case "Bash":
		return p.command(in, cwd)
	}
	value := ""
	switch tool {
	case "WebFetch":
		value = in.URL
	case "Skill":
		value = strings.TrimPrefix(in.Skill, "/")
	case "Agent":
		value = cmp.Or(in.Agent, "general-purpose")
	}
	for _, list := range []struct {
		rules   []Rule
		outcome Decision
		denies  bool
	}{
		{p.Deny, denied("%s is denied by a permission rule.", named(tool, value)), true},
		{p.Ask, ask("%s needs permission.", named(tool, value)), true},
		{p.Allow, allowed, false},
	} {
		for _, r := range list.rules {
			if r.named(tool, list.denies) && (r.All || matchesValue(tool, r.Spec, value)) {
				return list.outcome
			}
		}
	}
	if p.Mode == ModeBypass || free[tool] {
		return allowed
	}
	return ask("%s needs permission.", named(tool, value))
}

func named(tool, value string) string {
	if value == "" {
		return tool
	}
	return tool + " of " + value
}

// free are tools that need no permission: what they start asks for its own.
var free = map[string]bool{
	"Agent": true, "Skill": true, "TodoWrite": true, "ToolSearch": true, "TaskStop": true, "ListMcpResourcesTool": true,
	"TaskCreate": true, "TaskGet": true, "TaskList": true, "TaskUpdate": true,
}

// Names reports whether a rule allows a tool for a value, such as Skill(deploy). It is
// for tools that need no permission in general.
func (p *Policy) Names(tool, value string) bool {
	return slices.ContainsFunc(p.Allow, func(r Rule) bool {
		return r.named(tool, false) && (r.All || matchesValue(tool, r.Spec, value))
	})
}

// matchesValue reports whether a rule of a tool without paths and commands matches.
func matchesValue(tool, spec, value string) bool {
	if tool == "WebFetch" {
		domain, ok := strings.CutPrefix(spec, "domain:")
		if !ok {
			return false
		}
		u, err := url.Parse(value)
		if err != nil {
			return false
		}
		host := hostName(u.Hostname())
		if parent, ok := strings.CutPrefix(domain, "*."); ok {
			return strings.HasSuffix(host, "."+hostName(parent))
		}
		return host == hostName(domain)
	}
	if prefix, ok := strings.CutSuffix(spec, ":*"); ok {
		return value == prefix || strings.HasPrefix(value, prefix+":") || strings.HasPrefix(value, prefix+" ")
	}
	if tool == "Agent" {
		return strings.EqualFold(spec, value)
	}
	return spec == value
}

// hostName returns the one form of a host's name: what a client connects to, whatever
// letters the name is written in.
func hostName(name string) string {
	if ascii, err := idna.Lookup.ToASCII(name); err == nil {
		name = ascii
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// protected reports whether a place is in what no call may use.
func (p *Policy) protected(at place) bool {
	for _, path := range at.paths() {
		if slices.ContainsFunc(p.Protected, func(dir string) bool { return within(dir, path) || within(resolve(dir), path) }) {
			return true
		}
	}
	return false
}

// reading decides about a call that reads files.
func (p *Policy) reading(tool string, in input, cwd string) Decision {
	at := p.place(cwd, readPath(tool, in))
	if p.protected(at) {
		return denied("%s may not be read: it is protected.", at.given)
	}
	if r, ok := p.pathRule(p.Deny, at, "Read"); ok {
		return denied("%s may not be read: the permission rule %s denies it.", at.given, r)
	}
	if r, ok := p.pathRule(p.Ask, at, "Read", tool); ok {
		return ask("Reading %s needs permission (%s).", at.given, r)
	}
	if p.Mode == ModeBypass || p.inside(at) || p.allowsPath(at, "Read", tool) {
		return allowed
	}
	return ask("Reading %s needs permission: it is outside the project.", at.given)
}

// readPath returns the file or folder that a call reads.
func readPath(tool string, in input) string {
	switch {
	case tool == "Read":
		return in.FilePath
	case tool == "Glob" && filepath.IsAbs(in.Pattern):
		return literalFolder(in.Pattern)
	}
	return in.Path
}

// literalFolder returns the folder of a pattern up to its first wildcard.
func literalFolder(pattern string) string {
	if i := strings.IndexAny(pattern, "*?[{"); i >= 0 {
		pattern = pattern[:i]
	}
	return filepath.Dir(pattern + "x")
}

// writing decides about a call that changes a file.
func (p *Policy) writing(tool string, in input, cwd string) Decision {
	path := in.FilePath
	if tool == "NotebookEdit" {
		path = in.NotebookPath
	}
	at := p.place(cwd, path)
	if p.protected(at) {
		return denied("%s may not be changed: it is protected.", at.given)
	}
	if r, ok := p.pathRule(p.Deny, at, "Edit", "Write", "NotebookEdit", "Read"); ok {
		return denied("%s may not be changed: the permission rule %s denies it.", at.given, r)
	}
	if r, ok := p.pathRule(p.Ask, at, "Edit", tool); ok {
		return ask("Changing %s needs permission (%s).", at.given, r)
	}
	return p.changing(tool, at)
}

// changing decides about changing a file that no rule denies. The tool is empty for
// a command.
func (p *Policy) changing(tool string, at place) Decision {
	switch {
	case p.Mode == ModeBypass:
		return allowed
	case p.Mode == ModePlan:
		return denied("%s may not be changed: in plan mode nothing is changed.", at.given)
	case sensitive(at, p.Dir):
		return ask("Changing %s needs permission: it is a sensitive file.", at.given)
	case p.allowsPath(at, "Edit") || tool != "" && p.allowsAll(tool):
		return allowed
	case p.Mode == ModeAcceptEdits && p.inside(at):
		return allowed
	}
	return ask("Changing %s needs permission.", at.given)
}

// pathRule returns the rule that matches a place, as given or without links. Only
// rules with a path, of the tools named, are looked at.
func (p *Policy) pathRule(rules []Rule, at place, tools ...string) (Rule, bool) {
	for _, r := range rules {
		if !slices.Contains(tools, r.Tool) {
			continue
		}
		for _, path := range at.paths() {
			if !r.All && p.matchesPath(r.Spec, path) {
				return r, true
			}
		}
	}
	return Rule{}, false
}

// allowsPath reports whether a rule allows a place: as it is given and without
// links.
func (p *Policy) allowsPath(at place, tools ...string) bool {
	for _, path := range at.paths() {
		if !slices.ContainsFunc(p.Allow, func(r Rule) bool {
			return slices.Contains(tools, r.Tool) && (!r.All && p.matchesPath(r.Spec, path) || r.All && r.Tool != "Edit")
		}) {
			return false
		}
	}
	return true
}

// allowsAll reports whether a rule allows every call of a tool.
func (p *Policy) allowsAll(tool string) bool {
	return slices.ContainsFunc(p.Allow, func(r Rule) bool { return r.All && r.Tool == tool })
}

// DeniedFile reports whether a rule forbids reading, or changing, a file, or it is
// protected. The path
// is absolute and without links.
func (p *Policy) DeniedFile(change bool, path string) bool {
	tools := []string{"Read"}
	if change {
		tools = []string{"Edit", "Write", "NotebookEdit", "Read"}
	}
	_, ok := p.pathRule(p.Deny, place{path, path}, tools...)
	return ok || p.protected(place{path, path})
}

// granted returns the folders outside the project that the rules of a tool allow
// files in.
func (p *Policy) granted(tool string) []string {
	var dirs []string
	for _, r := range p.Allow {
		if r.All || r.Tool != tool {
			continue
		}
		dir := ""
		switch {
		case strings.HasPrefix(r.Spec, "//"):
			dir = literalFolder(r.Spec[1:])
		case strings.HasPrefix(r.Spec, "~/") && p.Home != "":
			dir = literalFolder(filepath.Join(p.Home, r.Spec[2:]))
		}
		if dir != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// NamesHost reports whether a rule allows WebFetch for exactly that host, and not for
// all hosts or those of a domain.
func (p *Policy) NamesHost(host string) bool {
	return slices.ContainsFunc(p.Allow, func(r Rule) bool {
		domain, ok := strings.CutPrefix(r.Spec, "domain:")
		return ok && r.Tool == "WebFetch" && hostName(domain) == hostName(host)
	})
}

// HostOf returns the host of a URL in the form that rules compare; empty if it has none.
func HostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return hostName(u.Hostname())
}
