package permission

import (
	"maps"
	"path/filepath"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxNested bounds how deep commands within commands are looked into.
const maxNested = 8

// scan looks through a command for what rules say of any part of it, however it is
// wrapped. What cannot be known counts as what a rule names.
type scan struct {
	policy *Policy
	rules  []Rule // of the list that is looked for: denying, or asking
	cwd    string
	vars   map[string][]string
	found  string // why, once a rule matches
}

// forbidden returns which rule of a list matches a part of a command; empty if none
// does.
func (p *Policy) forbidden(rules []Rule, command, cwd string) string {
	relevant := len(p.Protected) > 0
	for _, r := range rules {
		relevant = relevant || !r.All && (r.Tool == "Bash" || r.Tool == "Read" || r.Tool == "Edit" || r.Tool == "Write")
	}
	if !relevant {
		return ""
	}
	s := &scan{policy: p, rules: rules, cwd: cwd, vars: map[string][]string{}}
	s.text(command, 0)
	return s.found
}

// text looks through the source of a command.
func (s *scan) text(command string, depth int) {
	if s.found != "" {
		return
	}
	if depth > maxNested {
		s.unclear("it is nested too deep to be understood")
		return
	}
	file, err := parse(command)
	if err != nil {
		s.unclear("it cannot be understood: " + err.Error())
		return
	}
	// The rule for the whole text, as it is written.
	s.match(strings.Join(strings.Fields(command), " "))
	s.variables(file)
	syntax.Walk(file, func(node syntax.Node) bool {
		if s.found != "" {
			return false
		}
		switch node := node.(type) {
		case *syntax.CallExpr:
			for _, vars := range s.choices(node) {
				s.command(words(node.Args, s.policy.Home, vars), depth)
			}
		case *syntax.DeclClause:
			if node.Variant != nil {
				s.match(source(node))
			}
		case *syntax.Redirect:
			s.redirect(node)
		}
		return true
	})
}

// variables collects the values that variables get anywhere in a command.
func (s *scan) variables(file *syntax.File) {
	add := func(name string, list []*syntax.Word) {
		for _, w := range words(list, s.policy.Home, nil) {
			s.vars[name] = append(s.vars[name], w.text)
		}
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		switch node := node.(type) {
		case *syntax.Assign:
			switch {
			case node.Name == nil:
			case node.Append || node.Array != nil || node.Index != nil:
				s.vars[node.Name.Value] = append(s.vars[node.Name.Value], string(unknown))
			case node.Value != nil:
				add(node.Name.Value, []*syntax.Word{node.Value})
			}
		case *syntax.WordIter:
			add(node.Name.Value, node.Items)
		case *syntax.CallExpr:
			if len(node.Args) == 0 || !setters[node.Args[0].Lit()] {
				break
			}
			for _, w := range node.Args[1:] {
				s.vars[w.Lit()] = append(s.vars[w.Lit()], string(unknown))
			}
		}
		return true
	})
}

// maxChoices bounds how many combinations of the values of variables are tried.
const maxChoices = 64

// choices returns the combinations of values that the variables in a command may
// have. Variables that may have too many are left out, so they are unknown.
func (s *scan) choices(node syntax.Node) []map[string][]string {
	all := []map[string][]string{{}}
	used := map[string]bool{}
	syntax.Walk(node, func(n syntax.Node) bool {
		p, ok := n.(*syntax.ParamExp)
		if !ok || p.Param == nil || used[p.Param.Value] {
			return true
		}
		name := p.Param.Value
		used[name] = true
		values := s.vars[name]
		if len(values)*len(all) > maxChoices {
			return true
		}
		var next []map[string][]string
		for _, vars := range all {
			for _, value := range values {
				with := maps.Clone(vars)
				with[name] = []string{value}
				next = append(next, with)
			}
		}
		if len(next) > 0 {
			all = next
		}
		return true
	})
	return all
}

// match looks for a rule for Bash that matches the text of a command.
func (s *scan) match(text string) {
	for _, r := range s.rules {
		if s.found == "" && r.Tool == "Bash" && !r.All && matchesCommand(r.Spec, text) {
			s.found = "the permission rule " + r.String()
		}
	}
}

// command looks through a simple command and what it runs.
func (s *scan) command(args []word, depth int) {
	if s.found != "" || len(args) == 0 {
		return
	}
	name := args[0].text
	base := name
	if strings.IndexByte(name, unknown) < 0 {
		base = filepath.Base(name)
	}
	for _, first := range []string{name, base} {
		s.match(joined(first, args[1:]))
	}
	if base == "git" {
		s.match(joined("git", withoutGitOptions(args[1:])))
	}
	s.paths(base, args[1:])
	switch {
	case shells[base]:
		s.shell(args[1:], depth)
	case base == "eval" || base == "trap" || base == "alias":
		for _, w := range nested(base, args[1:]) {
			s.source(w, depth)
		}
	case base == "find" || base == "fd" || base == "fdfind":
		for i, w := range args {
			if findRuns[w.text] {
				s.command(args[i+1:], depth+1)
			}
		}
	case wrappers[base]:
		for i := range args[1:] {
			if depth < maxNested {
				s.command(args[1+i:], maxNested) // any of them may be the command
			}
		}
		// env -S and su -c take a command as a text.
		for _, w := range args[1:] {
			if strings.ContainsAny(w.text, " \t") && depth < maxNested {
				s.source(w.text, depth)
			}
		}
	}
}

// nested returns the commands in the arguments of a command that takes them as
// text.
func nested(base string, args []word) []string {
	var list []string
	for _, w := range args {
		list = append(list, w.text)
	}
	switch base {
	case "eval":
		return []string{strings.Join(list, " ")}
	case "alias":
		var values []string
		for _, def := range list {
			if _, value, ok := strings.Cut(def, "="); ok {
				values = append(values, value)
			}
		}
		return values
	default: // trap
		if len(list) > 0 && list[0] == "--" {
			list = list[1:]
		}
		return list[:min(1, len(list))]
	}
}

// source looks through a text that is run as a command.
func (s *scan) source(text string, depth int) {
	if strings.IndexByte(text, unknown) >= 0 {
		s.opaque("it runs a text that is not known before")
		return
	}
	s.text(text, depth+1)
}

// unclear refuses what may do anything, if there is a rule about commands or files.
// What is protected is hidden from commands too.
func (s *scan) unclear(why string) {
	for _, r := range s.rules {
		if !r.All && (r.Tool == "Bash" || r.Tool == "Read" || r.Tool == "Edit" || r.Tool == "Write") && s.found == "" {
			s.found = "the permission rule " + r.String() + ", since " + why
		}
	}
}

// opaque refuses what may be any command, if a rule is for some command.
func (s *scan) opaque(why string) {
	for _, r := range s.rules {
		if r.Tool == "Bash" && !r.All && s.found == "" {
			s.found = "the permission rule " + r.String() + ", since " + why
		}
	}
}

// shell looks through a call of a shell: what it gets with -c, or that it reads
// commands from its input.
func (s *scan) shell(args []word, depth int) {
	command, script := false, false
	for _, w := range args {
		switch {
		case command:
			s.source(w.text, depth)
			return
		case strings.HasPrefix(w.text, "-") && !strings.HasPrefix(w.text, "--") && strings.Contains(w.text, "c"):
			command = true
		case !strings.HasPrefix(w.text, "-"):
			script = true
		}
	}
	if !script {
		s.opaque("a shell reads commands from its input")
	}
}

// redirect looks at the file that a command reads or writes.
func (s *scan) redirect(r *syntax.Redirect) {
	if r.Word == nil || r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc || r.Op == syntax.WordHdoc {
		return
	}
	for _, w := range words([]*syntax.Word{r.Word}, s.policy.Home, s.vars) {
		if r.Op == syntax.RdrIn {
			s.path(w, false)
		} else {
			s.path(w, true)
		}
	}
}

// paths looks at the files that a command is given.
func (s *scan) paths(base string, args []word) {
	if base == "echo" || base == "printf" {
		return
	}
	for _, w := range args {
		s.path(w, changers[base])
		if _, value, ok := strings.Cut(w.text, "="); ok {
			s.path(word{value, w.glob}, changers[base] || base == "dd")
		}
		if strings.HasPrefix(w.text, "@") { // curl -d @file
			s.path(word{w.text[1:], w.glob}, false)
		}
		if strings.HasPrefix(w.text, "-") && len(w.text) > 2 { // -ffile
			s.path(word{w.text[2:], w.glob}, changers[base])
		}
	}
}

// path looks for a rule that forbids a file.
func (s *scan) path(w word, change bool) {
	if s.found != "" || w.text == "" {
		return
	}
	if w.known() && s.policy.protected(s.policy.place(s.cwd, w.text)) {
		s.found = "the protection of " + w.text
		return
	}
	tools := map[string]bool{"Read": true, "Edit": change, "Write": change}
	for _, r := range s.rules {
		if r.All || !tools[r.Tool] {
			continue
		}
		if !w.known() {
			if couldBePath(r.Spec, w) {
				s.found = "the permission rule " + r.String()
			}
			continue
		}
		for _, path := range s.policy.place(s.cwd, w.text).paths() {
			if s.policy.matchesPath(r.Spec, path) {
				s.found = "the permission rule " + r.String()
			}
		}
	}
}

// couldBePath reports whether a word with wildcards or unknown parts may stand for
// a file that a pattern matches, by its last name.
func couldBePath(spec string, w word) bool {
	spec, below := strings.CutSuffix(spec, "/**")
	spec = strings.TrimSuffix(spec, "/")
	pattern := wildcards(spec[strings.LastIndexByte(spec, '/')+1:])
	parts := strings.Split(strings.ReplaceAll(w.text, string(unknown), "/"+string(unknown)+"/"), "/")
	for i, part := range parts {
		if part == "" || below && i == len(parts)-1 {
			continue // a folder is named, and not what is in it
		}
		hidden := strings.HasPrefix(pattern, ".")
		if hidden && strings.IndexByte("*?[", part[0]) >= 0 {
			continue // wildcards leave hidden files out
		}
		if couldMatch(pattern, strings.ReplaceAll(wildcards(part), "*", string(unknown))) {
			return true
		}
	}
	return false
}

// wildcards returns a pattern with * for every wildcard.
func wildcards(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '?':
			b.WriteByte('*')
		case '[':
			b.WriteByte('*')
			if end := strings.IndexByte(pattern[i:], ']'); end > 0 {
				i += end
			}
		default:
			b.WriteByte(pattern[i])
		}
	}
	return b.String()
}

func joined(first string, rest []word) string {
	var b strings.Builder
	b.WriteString(first)
	for _, w := range rest {
		b.WriteByte(' ')
		b.WriteString(w.text)
	}
	return b.String()
}

// withoutGitOptions returns the arguments of git from the subcommand on.
func withoutGitOptions(args []word) []word {
	for len(args) > 0 && strings.HasPrefix(args[0].text, "-") {
		n := 1
		switch args[0].text {
		case "-C", "-c", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--exec-path", "--config-env", "--attr-source":
			n = 2
		}
		args = args[min(n, len(args)):]
	}
	return args
}

var shells = map[string]bool{"sh": true, "bash": true, "dash": true, "zsh": true, "ksh": true, "ash": true, "mksh": true, "fish": true, "rbash": true}

// wrappers are commands that run another, which is among their arguments.
var wrappers = map[string]bool{
	"sudo": true, "doas": true, "su": true, "env": true, "nice": true, "ionice": true, "chrt": true, "taskset": true, "nohup": true,
	"timeout": true, "time": true, "setsid": true, "stdbuf": true, "unbuffer": true, "command": true, "builtin": true, "exec": true,
	"xargs": true, "parallel": true, "watch": true, "strace": true, "ltrace": true, "gdb": true, "busybox": true, "toybox": true,
	"unshare": true, "nsenter": true, "chroot": true, "flock": true, "script": true, "systemd-run": true, "runuser": true, "setpriv": true,
	"prlimit": true, "caffeinate": true, "expect": true, "ssh": true, "entr": true, "coproc": true, "proot": true, "firejail": true, "bwrap": true,
}

// setters are commands that set the variables they are given by name.
var setters = map[string]bool{"read": true, "printf": true, "mapfile": true, "readarray": true, "getopts": true, "let": true, "wait": true}

// findRuns are the options of find and fd after which a command stands.
var findRuns = map[string]bool{"-exec": true, "-execdir": true, "-ok": true, "-okdir": true, "-x": true, "-X": true, "--exec": true, "--exec-batch": true}

// changers are commands that change the files they are given.
var changers = map[string]bool{
	"rm": true, "rmdir": true, "unlink": true, "shred": true, "mv": true, "cp": true, "ln": true, "link": true, "install": true, "rsync": true,
	"touch": true, "truncate": true, "tee": true, "dd": true, "sed": true, "chmod": true, "chown": true, "chgrp": true, "mkdir": true,
	"patch": true, "ed": true, "ex": true, "vi": true, "vim": true, "nano": true, "perl": true, "git": true, "sponge": true, "split": true,
}
