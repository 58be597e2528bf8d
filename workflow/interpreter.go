package workflow

import (
	"path"
	"slices"
	"strings"
)

// interpreters are programs that run a text they are given as an argument: by the name
// without a version, the options before the text, without their hyphens. A short one
// also counts as the last of several letters, as in bash -ec.
var interpreters = map[string][]string{
	"sh": {"c"}, "bash": {"c"}, "dash": {"c"}, "ash": {"c"}, "zsh": {"c"}, "ksh": {"c"}, "fish": {"c", "command"}, "su": {"c", "command"},
	"python": {"c"}, "pypy": {"c"}, "node": {"e", "p", "eval", "print"}, "nodejs": {"e", "p", "eval", "print"}, "bun": {"e", "eval"},
	"perl": {"e", "E"}, "ruby": {"e"}, "php": {"r"}, "lua": {"e"}, "luajit": {"e"}, "r": {"e"}, "rscript": {"e"}, "julia": {"e", "eval"}, "osascript": {"e"},
	"powershell": {"c", "command"}, "pwsh": {"c", "command"}, "env": {"S", "split-string"}, "script": {"c", "command"}, "sed": {"e", "expression"},
	"psql": {"c", "command"}, "mysql": {"e", "execute"},
}

// runners are programs that run the command which their other arguments are.
var runners = []string{"env", "sudo", "doas", "nohup", "nice", "ionice", "time", "timeout", "stdbuf", "setsid", "xargs", "busybox", "exec", "command", "unshare", "chroot", "flock", "parallel", "watch", "npx", "strace"}

// wholly are programs that take all their arguments, from the one at the number, as
// the text of a command or a program.
var wholly = map[string]int{"eval": 1, "ssh": 2, "watch": 1, "parallel": 1}

// scripts are programs whose first argument that is no option is a program, unless an
// option names a file of it.
var scripts = []string{"awk", "gawk", "mawk", "nawk", "sed", "jq"}

// word is an argument as the file has it: ok without an expression.
type word struct {
	text string
	ok   bool
}

// interpreted returns the number of the first argument with an expression that a
// program takes as code, and that program; -1 if there is none.
func interpreted(args []word) (int, string) {
	for start, arg := range args {
		if start > 0 && !slices.ContainsFunc(args[:start], isRunner) {
			break
		}
		if !arg.ok {
			continue
		}
		if at := codeOf(programName(arg.text), args[start:]); at >= 0 {
			return start + at, programName(arg.text)
		}
	}
	return -1, ""
}

func isRunner(w word) bool { return w.ok && slices.Contains(runners, programName(w.text)) }

// programName returns the name of a program without its folder and version.
func programName(arg string) string {
	name := strings.ToLower(strings.TrimSuffix(path.Base(strings.ReplaceAll(arg, `\`, "/")), ".exe"))
	if short := strings.TrimRight(name, "0123456789."); interpreters[name] == nil && short != "" {
		return short
	}
	return name
}

// codeOf returns the number of the first argument with an expression that the program
// args[0] takes as code, or -1.
func codeOf(name string, args []word) int {
	if from, ok := wholly[name]; ok {
		for i := from; i < len(args); i++ {
			if !args[i].ok {
				return i
			}
		}
	}
	options := interpreters[name]
	script := slices.Contains(scripts, name)
	for i := 1; i < len(args); i++ {
		text := args[i].text
		option, isOption := strings.CutPrefix(text, "-")
		option = strings.TrimPrefix(option, "-")
		switch {
		case !args[i].ok && i > 1 && args[i-1].ok && takesCode(options, args[i-1].text):
			return i
		case !args[i].ok && isOption && slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(option, o) }):
			return i // the text follows within the same argument
		case script && !isOption:
			if !args[i].ok {
				return i
			}
			script = false
		case script && slices.Contains([]string{"f", "file", "from-file"}, option):
			script = false
		case script && (option == "F" || option == "v"):
			i++ // what the option takes
		case script && (option == "arg" || option == "argjson"):
			i += 2
		}
	}
	return -1
}

// takesCode reports whether the argument after arg is code.
func takesCode(options []string, arg string) bool {
	option := strings.TrimLeft(arg, "-")
	if option == arg {
		return false
	}
	return slices.ContainsFunc(options, func(o string) bool {
		if len(o) > 1 {
			return strings.EqualFold(option, o)
		}
		return !strings.HasPrefix(arg, "--") && strings.HasSuffix(option, o)
	})
}
