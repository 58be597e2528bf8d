package workflow

import (
	"strings"
	"testing"
)

// TestInterpretedArguments has the ways in which a value can become code, and those in
// which it stays a value.
func TestInterpretedArguments(t *testing.T) {
	const x = "${{ x }}"
	for _, c := range []struct {
		args string // split at "|"
		at   int
	}{
		{"bash|-c|" + x, 2}, {"/bin/sh|-ec|" + x, 2}, {"bash|-c|echo \"$1\"|bash|" + x, -1}, {"bash|script.sh|" + x, -1},
		{"bash|-c|echo " + x, 2}, {"bash|-x|-c|" + x, 3},
		{"python3.12|-c|" + x, 2}, {"python|-c|import sys|" + x, -1}, {"python3|-m|pytest|" + x, -1},
		{"node|--eval=" + x, 1}, {"node|-p|" + x, 2}, {"node|app.js|" + x, -1},
		{"perl|-ne|" + x, 2}, {"ruby|-e|puts 1|-e|" + x, 4}, {"php|-r|" + x, 2}, {"osascript|-e|" + x, 2},
		{"eval|" + x, 1}, {"ssh|host|" + x, 2}, {"ssh|" + x, -1}, {"watch|ls|" + x, 2},
		{"env|-S|" + x, 2}, {"env|A=1|bash|-c|" + x, 4}, {"env|A=" + x + "|ls", -1},
		{"xargs|-0|sh|-c|" + x, 4}, {"xargs|rm|" + x, -1}, {"timeout|5|bash|-c|" + x, 4}, {"sudo|-u|me|sh|-c|" + x, 5},
		{"busybox|sh|-c|" + x, 3}, {"awk|" + x + "|file", 1}, {"awk|{print}|" + x, -1}, {"awk|-v|a=" + x + "|{print a}", -1}, {"awk|-f|p.awk|" + x, -1},
		{"jq|--arg|a|" + x + "|.[$a]", -1}, {"jq|" + x, 1}, {"sed|-e|" + x, 2}, {"pwsh|-Command|" + x, 2},
		{"git|-c|" + x, -1}, {"go|test|" + x, -1}, {x + "|-c|ls", -1}, {"echo|bash|-c|" + x, -1}, {"grep|-e|" + x, -1}, {"", -1},
	} {
		var words []word
		for a := range strings.SplitSeq(c.args, "|") {
			words = append(words, word{a, !strings.Contains(a, "${{")})
		}
		if at, program := interpreted(words); at != c.at {
			t.Errorf("%s: argument %d of %q is code, want %d", c.args, at, program, c.at)
		}
	}
	for name := range interpreters { // every option of every interpreter is found, however it is started
		for _, option := range interpreters[name] {
			for _, before := range [][]string{nil, {"env", "A=1"}, {"timeout", "5"}} {
				var words []word
				for _, a := range append(before, "/usr/bin/"+name, hyphens(option)) {
					words = append(words, word{a, true})
				}
				want := len(words)
				if at, _ := interpreted(append(words, word{x, false})); at != want {
					t.Errorf("%v is not found", words)
				}
			}
		}
	}
}

func hyphens(option string) string {
	if len(option) == 1 {
		return "-" + option
	}
	return "--" + option
}
