package permission

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// numbered matches options of xargs with their number.
var numbered = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^-[nPL][0-9]+$`) })

var duration = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9]+(\.[0-9]+)?[smhd]?$`) })

// reads decides whether a command only reads, and only in the project.
func (a *allower) reads(name string, args []word) string {
	not := fmt.Sprintf("%s is not known to only read", name)
	rest := args[1:]
	for _, w := range args {
		if strings.IndexByte(w.text, unknown) >= 0 {
			return fmt.Sprintf("an argument of %s is not known before", name)
		}
	}
	if name == "git" {
		return a.git(rest)
	}
	if len(rest) == 1 && versions[name] && slices.Contains([]string{"-v", "-V", "--version", "version"}, rest[0].text) {
		return ""
	}
	if name == "docker" && len(rest) > 0 && rest[0].text == "ps" {
		return ""
	}
	refused, ok := readers[name]
	if !ok {
		return not
	}
	for _, w := range rest {
		if !strings.HasPrefix(w.text, "-") {
			continue
		}
		for _, option := range refused {
			if w.text == option || strings.HasPrefix(w.text, option+"=") || len(option) == 2 && !strings.HasPrefix(w.text, "--") && strings.Contains(w.text[1:], option[1:]) {
				return fmt.Sprintf("%s with %s is not only reading", name, option)
			}
		}
	}
	files := rest
	switch name {
	case "date":
		for _, w := range rest {
			if !strings.HasPrefix(w.text, "-") && !strings.HasPrefix(w.text, "+") {
				return "date may set the clock"
			}
		}
		return ""
	case "echo", "printf", "true", "false", ":", "pwd", "whoami", "id", "uname", "nproc", "sleep", "which", "type", "seq", "tr":
		return ""
	case "ps":
		for _, w := range rest {
			if !strings.HasPrefix(w.text, "-") && strings.Trim(w.text, "aux") != "" {
				return "ps may show the variables of other processes"
			}
		}
		return ""
	case "find":
		for _, w := range rest {
			if findActions().MatchString(w.text) {
				return fmt.Sprintf("find with %s is not only reading", w.text)
			}
		}
	case "cut", "sort":
		// A separator is no file.
		files = slices.DeleteFunc(slices.Clone(rest), func(w word) bool {
			return strings.HasPrefix(w.text, "-d") || strings.HasPrefix(w.text, "-t") || strings.HasPrefix(w.text, "--delimiter") || strings.HasPrefix(w.text, "--output-delimiter")
		})
	case "sed":
		why := ""
		if files, why = sedPrints(rest); why != "" {
			return why
		}
	case "grep", "egrep", "fgrep", "rg", "jq":
		if name == "jq" && slices.ContainsFunc(rest, func(w word) bool { return strings.Contains(w.text, "env") || strings.Contains(w.text, "ENV") }) {
			return "jq may show variables"
		}
		files = afterPattern(rest)
		recursive := name == "rg" || slices.ContainsFunc(rest, func(w word) bool {
			return w.text == "--recursive" || w.text == "--dereference-recursive" || strings.HasPrefix(w.text, "-") && !strings.HasPrefix(w.text, "--") && strings.ContainsAny(w.text, "rR")
		})
		if recursive && slices.ContainsFunc(a.policy.Deny, func(r Rule) bool { return r.Tool == "Read" && !r.All }) {
			return "it reads whole folders, in which a rule denies files"
		}
	}
	for _, w := range files {
		text := w.text
		if strings.HasPrefix(text, "-") {
			i := strings.IndexAny(text, "/~")
			if i < 0 && !strings.Contains(text, "..") {
				continue
			}
			text = text[max(0, i):]
			if _, value, ok := strings.Cut(w.text, "="); ok {
				text = value
			}
		}
		if w.glob && strings.Contains(text, "..") {
			return fmt.Sprintf("an argument of %s is not known before", name)
		}
		if w.glob {
			text = text[:strings.IndexAny(text+"*", "*?[")]
			text = text[:strings.LastIndexByte(text, '/')+1]
			if text == "" {
				text = "."
			}
		}
		if text == "" {
			continue
		}
		if why := a.read(text); why != "" {
			return why
		}
	}
	return ""
}

// afterPattern returns the arguments without the pattern, which is the first that is
// no option, unless -e or -f gives it.
func afterPattern(args []word) []word {
	var files []word
	given := slices.ContainsFunc(args, func(w word) bool {
		return w.text == "-e" || w.text == "-f" || strings.HasPrefix(w.text, "--regexp") || strings.HasPrefix(w.text, "--file") || strings.HasPrefix(w.text, "--from-file")
	})
	for i, w := range args {
		switch {
		case i > 0 && args[i-1].text == "-e":
		case !given && !strings.HasPrefix(w.text, "-"):
			given = true
		default:
			files = append(files, w)
		}
	}
	return files
}

var (
	address = `([0-9]+|\$|/([^/\\]|\\.)*/)`
	prints  = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(` + address + `(,` + address + `)?)?[pq]?(;(` + address + `(,` + address + `)?)?[pq])*$`)
	})
)

// sedPrints returns the files of a call of sed that only prints lines.
func sedPrints(args []word) (files []word, why string) {
	quiet, script := false, false
	for _, w := range args {
		switch {
		case w.text == "-n" || w.text == "--quiet" || w.text == "--silent":
			quiet = true
		case w.text == "-E" || w.text == "-r" || w.text == "--":
		case strings.HasPrefix(w.text, "-"):
			return nil, fmt.Sprintf("sed with %s is not known to only read", w.text)
		case !script:
			if script = true; !prints().MatchString(w.text) {
				return nil, "the script of sed does more than print lines"
			}
		default:
			files = append(files, w)
		}
	}
	if !quiet {
		return nil, "sed without -n is not known to only read"
	}
	return files, ""
}

// harmlessSubstitution reports whether a script of sed is one substitution that
// neither runs a command nor writes a file.
func harmlessSubstitution(script string) bool {
	if len(script) < 4 || script[0] != 's' || strings.ContainsAny(script[1:2], "\\\n \x00") {
		return false
	}
	separators := 0
	for i := 1; i < len(script); i++ {
		switch {
		case script[i] == '\\':
			i++
		case script[i] == '\n':
			return false
		case script[i] == script[1]:
			if separators++; separators == 3 {
				return strings.Trim(script[i+1:], "gpiI0123456789") == ""
			}
		}
	}
	return false
}

var findActions = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^-(exec|execdir|ok|okdir|delete|fprint.*|fls)$`) })

// readers are commands that only read, and the options with which they do not.
var readers = map[string][]string{
	"ls": nil, "cat": nil, "head": nil, "tail": nil, "wc": {"--files0-from"}, "grep": nil, "egrep": nil, "fgrep": nil,
	"rg": {"--pre", "-z", "--search-zip", "--hostname-bin"}, "find": {"-files0-from"}, "sed": nil,
	"sort": {"-o", "--output", "--compress-program", "-T", "--temporary-directory", "--files0-from"}, "cut": nil, "tr": nil,
	"diff": nil, "cmp": nil, "stat": nil, "du": {"--files0-from"}, "df": nil, "ps": nil, "date": {"-s", "--set", "-f", "--file"}, "jq": nil,
	"echo": nil, "printf": {"-v"}, "test": nil, "[": nil, "true": nil, "false": nil, ":": nil, "pwd": nil, "sleep": nil,
	"basename": nil, "dirname": nil, "realpath": nil, "readlink": nil, "file": {"-C", "--compile"}, "which": nil, "type": nil, "uname": nil,
	"whoami": nil, "id": nil, "nproc": nil, "seq": nil, "nl": nil, "tac": nil, "rev": nil, "comm": nil, "paste": nil,
	"md5sum": nil, "sha1sum": nil, "sha256sum": nil, "sha512sum": nil, "cksum": nil, "od": nil, "strings": nil,
}

// versions are commands that may be asked for their version.
var versions = map[string]bool{
	"node": true, "npm": true, "python": true, "python3": true, "pip": true, "pip3": true, "go": true, "git": true, "cargo": true, "rustc": true,
	"java": true, "ruby": true, "php": true, "deno": true, "bun": true, "yarn": true, "pnpm": true, "make": true, "gcc": true, "docker": true,
}

// git decides about a call of git.
func (a *allower) git(args []word) string {
	if len(args) == 0 {
		return ""
	}
	sub, rest := args[0].text, args[1:]
	if sub == "--version" || sub == "version" {
		return ""
	}
	not := fmt.Sprintf("git %s is not known to only read", sub)
	first := ""
	for _, w := range rest {
		switch {
		case w.text == "--":
		case strings.HasPrefix(w.text, "--output"), strings.HasPrefix(w.text, "--ext-diff"), strings.HasPrefix(w.text, "--textconv"), strings.HasPrefix(w.text, "--open-files-in-pager"),
			w.text == "--no-index", strings.HasPrefix(w.text, "--upload-pack"), strings.HasPrefix(w.text, "--exec"), sub == "grep" && strings.HasPrefix(w.text, "-O"), sub == "blame" && strings.HasPrefix(w.text, "--contents"):
			return not
		case !strings.HasPrefix(w.text, "-") && first == "":
			first = w.text
		}
	}
	list := func(options ...string) bool {
		return !slices.ContainsFunc(rest, func(w word) bool { return !slices.Contains(options, w.text) })
	}
	switch sub {
	case "status", "log", "diff", "show", "blame", "grep", "rev-parse", "ls-files", "describe", "shortlog":
	case "branch":
		if !list("-a", "-r", "-v", "-vv", "--list", "--all", "--remotes", "--show-current", "--verbose", "--no-color") {
			return not
		}
	case "tag":
		if !list("-l", "--list", "-n") {
			return not
		}
	case "remote":
		if !list("-v", "--verbose") {
			return not
		}
	case "reflog":
		if first != "" && first != "show" {
			return not
		}
	case "stash":
		if first != "list" {
			return not
		}
	default:
		return not
	}
	for _, w := range rest {
		if sub == "log" && strings.HasPrefix(w.text, "-O") || sub == "diff" && strings.HasPrefix(w.text, "-O") {
			return not
		}
		if strings.HasPrefix(w.text, "/") || strings.HasPrefix(w.text, "..") && !strings.Contains(w.text, "...") && strings.Contains(w.text, "/") {
			if why := a.read(w.text); why != "" {
				return why
			}
		}
	}
	return ""
}
