package permission

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// command decides about a command for the shell.
func (p *Policy) command(in input, cwd string) Decision {
	text := strings.TrimSpace(in.Command)
	if why := p.forbidden(p.Deny, text, cwd); why != "" {
		return denied("The command is denied by %s.", why)
	}
	if why := p.forbidden(p.Ask, text, cwd); why != "" {
		return ask("The command needs permission: %s.", why)
	}
	if p.Mode == ModeBypass {
		return allowed
	}
	if in.Unsandboxed {
		return ask("Running a command outside the sandbox needs permission.")
	}
	if p.Mode != ModePlan && p.allowsAll("Bash") {
		return allowed
	}
	// A rule without wildcards stands for the very command that it spells out.
	exact := slices.ContainsFunc(p.Allow, func(r Rule) bool {
		return r.Tool == "Bash" && (r.All || !strings.Contains(r.Spec, "*") && r.Spec == text)
	})
	if exact {
		return allowed
	}
	file, err := parse(text)
	if err != nil {
		return ask("The command needs permission: it cannot be understood (%v).", err)
	}
	a := &allower{policy: p, cwds: []string{cwd}}
	if why := a.statements(file.Stmts); why != "" {
		return ask("The command needs permission: %s.", why)
	}
	if a.moved && a.changed {
		return ask("The command needs permission: it changes the folder and then runs what is not only reading.")
	}
	return allowed
}

// OnlyReads reports whether a command for the shell is known to only read in the
// project and to stay in its folder, whatever the rules are. So commands of which it is
// true may run in any order.
func OnlyReads(command, dir, home string) bool {
	file, err := parse(strings.TrimSpace(command))
	if err != nil {
		return false
	}
	a := &allower{policy: &Policy{Mode: ModeDefault, Dir: dir, Home: home}, cwds: []string{dir}}
	return a.statements(file.Stmts) == "" && !a.moved && !a.changed
}

// allower decides whether each part of a command is allowed. Its methods return why
// not.
type allower struct {
	policy  *Policy
	cwds    []string // what the current folder may be
	moved   bool     // a part changes the folder
	changed bool     // a part does more than read
}

func (a *allower) statements(list []*syntax.Stmt) string {
	for _, s := range list {
		if why := a.statement(s); why != "" {
			return why
		}
	}
	return ""
}

func (a *allower) statement(s *syntax.Stmt) string {
	if s.Background || s.Coprocess || s.Disown {
		return "it starts something in the background"
	}
	for _, r := range s.Redirs {
		if why := a.redirect(r); why != "" {
			return why
		}
	}
	switch c := s.Cmd.(type) {
	case nil:
		return ""
	case *syntax.CallExpr:
		return a.call(c)
	case *syntax.BinaryCmd:
		if why := a.statement(c.X); why != "" {
			return why
		}
		return a.statement(c.Y)
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			if why := a.statements(append(slices.Clone(c.Cond), c.Then...)); why != "" {
				return why
			}
		}
		return ""
	case *syntax.TimeClause:
		if c.Stmt == nil {
			return ""
		}
		return a.statement(c.Stmt)
	case *syntax.WhileClause:
		return a.statements(append(slices.Clone(c.Cond), c.Do...))
	}
	return fmt.Sprintf("%q is more than simple commands", excerpt(source(s.Cmd)))
}

// redirect decides about a redirection.
func (a *allower) redirect(r *syntax.Redirect) string {
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		if r.Hdoc != nil && !plain(r.Hdoc) {
			return "the text after << has expansions"
		}
		return ""
	case syntax.WordHdoc:
		if !plain(r.Word) {
			return "the text after <<< has expansions"
		}
		return ""
	}
	list := words([]*syntax.Word{r.Word}, a.policy.Home, nil)
	if len(list) != 1 || !list[0].known() {
		return "the file of a redirection is not known before"
	}
	target := list[0].text
	switch {
	case r.Op == syntax.DplIn || r.Op == syntax.DplOut:
		if strings.Trim(target, "0123456789-") == "" {
			return ""
		}
		if r.Op == syntax.DplIn {
			return "a redirection is not understood"
		}
		return a.change(target)
	case slices.Contains([]string{"/dev/null", "/dev/stdout", "/dev/stderr"}, target):
		return ""
	case r.Op == syntax.RdrIn:
		return a.read(target)
	}
	return a.change(target)
}

// plain reports whether a word has no expansions.
func plain(w *syntax.Word) bool {
	ok := true
	syntax.Walk(w, func(node syntax.Node) bool {
		switch node.(type) {
		case *syntax.ParamExp, *syntax.CmdSubst, *syntax.ArithmExp, *syntax.ProcSubst, *syntax.ExtGlob:
			ok = false
		}
		return ok
	})
	return ok
}

// change decides about changing a file in passing.
func (a *allower) change(path string) string {
	a.changed = true
	for _, cwd := range a.cwds {
		if d := a.policy.changing("", a.policy.place(cwd, path)); d.Outcome != Allow {
			return lowerFirst(strings.TrimSuffix(d.Reason, "."))
		}
	}
	return ""
}

// read decides about reading a file.
func (a *allower) read(path string) string {
	for _, cwd := range a.cwds {
		if at := a.policy.place(cwd, path); !a.policy.inside(at) && !a.policy.allowsPath(at, "Read") {
			return at.given + " is outside the project"
		}
	}
	return ""
}

// call decides about a simple command.
func (a *allower) call(c *syntax.CallExpr) string {
	for _, assign := range c.Assigns {
		if assign.Name == nil || !safeVariables[assign.Name.Value] || assign.Append || assign.Array != nil || assign.Index != nil ||
			assign.Value != nil && !plain(assign.Value) {
			return fmt.Sprintf("it sets the variable %q", source(assign))
		}
	}
	if len(c.Args) == 0 {
		return "it sets variables"
	}
	for _, w := range c.Args {
		if substitutes(w) {
			return fmt.Sprintf("%q runs another command", excerpt(source(w)))
		}
	}
	return a.args(c.Args, false)
}

// substitutes reports whether a word runs a command.
func substitutes(w *syntax.Word) bool {
	found := false
	syntax.Walk(w, func(node syntax.Node) bool {
		switch node.(type) {
		case *syntax.CmdSubst, *syntax.ProcSubst:
			found = true
		}
		return !found
	})
	return found
}

// args decides about a command with its arguments. With more, others follow that
// are not known.
func (a *allower) args(list []*syntax.Word, more bool) string {
	text := source(&syntax.CallExpr{Args: list})
	name := list[0].Lit()
	args := words(list, a.policy.Home, nil)
	if inner, follows := unwrap(list); len(inner) > 0 {
		return a.args(inner, more || follows)
	}
	rule := a.policy.Mode != ModePlan && a.byRule(text) || a.policy.Mode == ModePlan && a.byRule(text)
	if rule {
		a.changed = true
		return a.ruled(name, args, list)
	}
	if name == "" || args[0].text != name {
		return fmt.Sprintf("%q is no plain name of a command", excerpt(source(list[0])))
	}
	if more {
		return fmt.Sprintf("the arguments of %s are not known before", name)
	}
	if name == "cd" {
		return a.cd(args)
	}
	if a.policy.Mode == ModeAcceptEdits && editors[name] {
		return a.editor(name, args)
	}
	if why := a.reads(name, args); why != "" {
		if changers[name] && name != "git" {
			// Which file it is about says more than that it is not allowed.
			for _, w := range args[1:] {
				if w.known() && !strings.HasPrefix(w.text, "-") && !(name == "sed" && !a.exists(w.text)) {
					return fmt.Sprintf("%q changes %s", excerpt(text), a.policy.place(a.cwds[0], w.text).given)
				}
			}
		}
		return why
	}
	return ""
}

func (a *allower) exists(path string) bool {
	at := a.policy.place(a.cwds[0], path)
	return at.given != at.real || fileExists(at.given)
}

// byRule reports whether a rule allows a command. A pattern with * does not match
// across what the shell takes apart, since text is one simple command.
func (a *allower) byRule(text string) bool {
	return slices.ContainsFunc(a.policy.Allow, func(r Rule) bool {
		return r.Tool == "Bash" && (r.All || matchesCommand(r.Spec, text))
	})
}

// ruled decides about a command that a rule allows: one that runs another needs a
// rule for that too, and one that is known to change files must not do so outside.
func (a *allower) ruled(name string, args []word, list []*syntax.Word) string {
	if name == "find" || name == "fd" || name == "fdfind" {
		for i, w := range args {
			if !findRuns[w.text] {
				continue
			}
			if i+1 >= len(list) || len(args) != len(list) {
				return fmt.Sprintf("%s runs a command that is not known before", name)
			}
			if why := a.args(list[i+1:], true); why != "" {
				return why
			}
		}
	}
	if !pathCommands[name] {
		return ""
	}
	for _, w := range args[1:] {
		if strings.HasPrefix(w.text, "-") {
			continue
		}
		if strings.IndexByte(w.text, unknown) >= 0 {
			return fmt.Sprintf("an argument of %s is not known before", name)
		}
		if why := a.read(w.text); why != "" {
			return why
		}
	}
	return ""
}

// cd changes what the current folder may be.
func (a *allower) cd(args []word) string {
	if len(args) != 2 || !args[1].known() || strings.HasPrefix(args[1].text, "-") {
		return "the folder of cd is not known before"
	}
	if why := a.read(args[1].text); why != "" {
		return why
	}
	if args[1].text != "." {
		a.moved = true
	}
	for _, cwd := range slices.Clone(a.cwds) {
		if to := a.policy.place(cwd, args[1].text).given; !slices.Contains(a.cwds, to) {
			a.cwds = append(a.cwds, to)
		}
	}
	if len(a.cwds) > 16 {
		return "it changes the folder too often"
	}
	return ""
}

// editors are commands that may change files when edits are accepted.
var editors = map[string]bool{"mkdir": true, "touch": true, "rm": true, "rmdir": true, "mv": true, "cp": true, "sed": true}

// editor decides about a command that changes files when edits are accepted.
func (a *allower) editor(name string, args []word) string {
	rest := args[1:]
	if name == "sed" {
		if !slices.ContainsFunc(rest, func(w word) bool { return w.text == "-i" || w.text == "--in-place" }) {
			return a.reads(name, args)
		}
		var files []word
		script := false
		for _, w := range rest {
			switch {
			case w.text == "-i" || w.text == "--in-place" || w.text == "-E" || w.text == "-r" || w.text == "-n":
			case !script && !strings.HasPrefix(w.text, "-"):
				if script = true; !harmlessSubstitution(w.text) {
					return "the script of sed is not a plain substitution"
				}
			default:
				files = append(files, w)
			}
		}
		rest = files
	}
	for _, w := range rest {
		switch {
		case strings.IndexByte(w.text, unknown) >= 0 || w.glob && strings.Contains(w.text, ".."):
			return fmt.Sprintf("an argument of %s is not known before", name)
		case strings.HasPrefix(w.text, "-"):
			if name == "sed" || strings.Contains(w.text, "/") || strings.Contains(w.text, "=") || name == "cp" && strings.Contains(w.text, "t") {
				return fmt.Sprintf("%s with %s is not only about files in the project", name, w.text)
			}
			continue
		}
		if why := a.change(w.text); why != "" {
			return why
		}
		for _, cwd := range a.cwds {
			if at := a.policy.place(cwd, w.text); (name == "rm" || name == "mv" || name == "rmdir") && within(at.given, a.policy.Dir) {
				return "it removes the project"
			}
		}
	}
	a.changed = true
	return ""
}

// unwrap returns the command that a harmless wrapper runs; empty if list is none.
// follows says that the wrapper adds arguments.
func unwrap(list []*syntax.Word) (inner []*syntax.Word, follows bool) {
	rest := list[1:]
	skip := func(n int) { rest = rest[min(n, len(rest)):] }
	is := func(options ...string) bool { return len(rest) > 0 && slices.Contains(options, rest[0].Lit()) }
	switch list[0].Lit() {
	case "timeout":
		for is("-s", "--signal", "-k", "--kill-after", "--foreground", "--preserve-status", "-v", "--verbose") {
			if is("-s", "--signal", "-k", "--kill-after") {
				skip(1)
			}
			skip(1)
		}
		if len(rest) == 0 || !duration().MatchString(rest[0].Lit()) {
			return nil, false
		}
		skip(1)
	case "nice":
		if is("-n") {
			skip(2)
		}
	case "nohup", "time":
	case "xargs":
		follows = true
		for is("-n", "-P", "-L", "-0", "-r", "--null", "--no-run-if-empty") || len(rest) > 0 && numbered().MatchString(rest[0].Lit()) {
			if is("-n", "-P", "-L") {
				skip(1)
			}
			skip(1)
		}
	default:
		return nil, false
	}
	if len(rest) == 0 || strings.HasPrefix(rest[0].Lit(), "-") || rest[0].Lit() == "" {
		return nil, false
	}
	return rest, follows
}

// safeVariables may be set for a command without changing which program it runs.
var safeVariables = map[string]bool{
	"NODE_ENV": true, "CI": true, "LANG": true, "LC_ALL": true, "LC_CTYPE": true, "TZ": true, "NO_COLOR": true, "FORCE_COLOR": true,
	"GOOS": true, "GOARCH": true, "CGO_ENABLED": true, "RUST_BACKTRACE": true, "RUST_LOG": true, "COLUMNS": true,
}

// pathCommands are those whose arguments are files: a rule for them is for files of
// the project.
var pathCommands = map[string]bool{
	"touch": true, "mkdir": true, "rm": true, "rmdir": true, "mv": true, "cp": true, "ln": true, "cat": true, "head": true, "tail": true,
	"ls": true, "chmod": true, "tee": true, "truncate": true, "stat": true, "wc": true, "sort": true, "cd": true,
}

func excerpt(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func lowerFirst(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToLower(text[:1]) + text[1:]
}

func fileExists(path string) bool {
	_, err := filepath.EvalSymlinks(path)
	return err == nil
}
