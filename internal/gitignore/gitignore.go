// Package gitignore matches paths against patterns in the syntax of .gitignore.
package gitignore

import (
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Pattern is one line of a .gitignore file.
type Pattern struct {
	glob    string
	Negated bool
	dirOnly bool
}

// Parse reads one line. Not ok are empty lines, comments and patterns that match
// nothing.
func Parse(line string) (p Pattern, ok bool) {
	line = trimRight(strings.TrimSuffix(line, "\r"))
	if line == "" || strings.HasPrefix(line, "#") {
		return p, false
	}
	if rest, negated := strings.CutPrefix(line, "!"); negated {
		p.Negated, line = true, rest
	}
	if rest, dirOnly := strings.CutSuffix(line, "/"); dirOnly {
		p.dirOnly, line = true, rest
	}
	if line == "" {
		return p, false
	}
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	glob := escapeBraces(line)
	if !anchored {
		glob = "**/" + glob
	}
	if glob == "**" || strings.HasSuffix(glob, "/**") {
		// What is below the folder, not the folder.
		glob += "/*"
	}
	p.glob = glob
	return p, doublestar.ValidatePattern(glob)
}

// Match reports whether the pattern matches the path itself, which has forward
// slashes and is relative to the folder of the pattern.
func (p Pattern) Match(name string, isDir bool) bool {
	if p.dirOnly && !isDir {
		return false
	}
	ok, err := doublestar.Match(p.glob, name)
	return ok && err == nil
}

// MatchBelow reports whether the pattern matches the path or a folder that holds
// it.
func (p Pattern) MatchBelow(name string, isDir bool) bool {
	for ; name != "." && name != "" && name != "/"; name, isDir = path.Dir(name), true {
		if p.Match(name, isDir) {
			return true
		}
	}
	return false
}

// Rules are the patterns of a file, in order.
type Rules []Pattern

// ParseRules reads the lines of a file.
func ParseRules(text string) Rules {
	var rules Rules
	for line := range strings.SplitSeq(text, "\n") {
		if p, ok := Parse(line); ok {
			rules = append(rules, p)
		}
	}
	return rules
}

// Match returns what the last matching rule says of a path: whether it is ignored,
// and whether any rule matched at all.
func (r Rules) Match(name string, isDir bool) (ignored, matched bool) {
	for _, p := range slices.Backward(r) {
		if p.Match(name, isDir) {
			return !p.Negated, true
		}
	}
	return false, false
}

// trimRight drops trailing spaces that are not escaped.
func trimRight(line string) string {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	return line
}

// escapeBraces takes the meaning from braces, which .gitignore does not know.
func escapeBraces(glob string) string {
	var b strings.Builder
	escaped := false
	for _, c := range glob {
		if !escaped && (c == '{' || c == '}') {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
		escaped = c == '\\' && !escaped
	}
	return b.String()
}
