// Package yamltext says in plain words what is wrong with YAML that people wrote,
// for every file that is read as YAML: workflows, agents, settings, prices, rules.
package yamltext

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	yaml "go.yaml.in/yaml/v4"
)

// Quote is the advice for a value that YAML reads as something else than a text.
const Quote = "put the value in quotes, or write it indented below `key: |`"

// Problem is what a YAML loader refused.
type Problem struct {
	Line, Column  int // from 1; 0 if unknown
	Message, Hint string
}

// Explain returns the problem that a YAML loader reports in a text, with advice for
// the mistakes that are common in texts: a colon, a tab, a backslash, a quote, and
// characters that mean something at the start of a value.
func Explain(text string, err error) Problem {
	load, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		message := strings.TrimPrefix(err.Error(), "yaml: ")
		p := Problem{Message: message, Hint: Quote}
		if found := lineNumber().FindStringSubmatch(message); found != nil {
			p.Line, _ = strconv.Atoi(found[1])
			p.Message = strings.TrimSpace(strings.Replace(message, found[0], "", 1))
		}
		return p
	}
	p := Problem{Line: load.Mark.Line, Column: load.Mark.Column, Message: strings.TrimPrefix(load.Message, "yaml: "), Hint: Quote}
	if load.ContextMsg != "" && load.ContextMark.Line != load.Mark.Line && load.ContextMark.Line > 0 {
		p.Message += fmt.Sprintf(" (%s that begins in line %d)", load.ContextMsg, load.ContextMark.Line)
	}
	line := lineAt(text, p.Line)
	before := line
	if p.Column > 0 && p.Column <= len(line) {
		before = line[:p.Column]
	}
	is := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(load.Message, w) {
				return true
			}
		}
		return false
	}
	switch {
	case is("unknown escape character", "hexadecimal number", "hexdecimal number", "invalid Unicode character escape code"):
		p.Message = "a text in double quotes has a backslash that is no escape"
		p.Hint = `put the value in single quotes, where a backslash is itself: 'C:\Users'; in double quotes write \\`
	case is("mapping values are not allowed"):
		p.Message = "a value holds a colon and a blank, which begin another value"
	case is("cannot start any token", "tab character") && strings.Contains(before, "\t"):
		p.Message, p.Hint = "a tab stands where YAML takes only blanks", "indent with blanks; put a value that begins with a tab in quotes"
	case is("cannot start any token"):
		p.Message = "a value begins with a character that YAML keeps for itself"
		if p.Column > 0 && p.Column <= len(line) {
			p.Message = fmt.Sprintf("a value begins with %q, which YAML keeps for itself", line[p.Column-1:p.Column])
		}
	case is("unknown anchor"):
		p.Message = "a value begins with *, which is an alias in YAML: " + load.Message
	case is("block sequence entries are not allowed"):
		p.Message = "a value begins with a dash and a blank, which begin a list"
	case is("unexpected end of stream", "unexpected document indicator") && strings.Contains(load.ContextMsg, "quoted scalar"):
		p.Message = fmt.Sprintf("the quote that begins in line %d is not closed", load.ContextMark.Line)
		p.Hint = "close it; a quote within the value is written twice in single quotes, and \\\" in double quotes"
	case is("did not find expected key", "did not find expected '-'", "did not find expected ',' or") && tabbed(line):
		p.Message, p.Hint = "a tab stands where YAML takes only blanks", "indent with blanks"
	case is("did not find expected key", "did not find expected ',' or", "did not find expected node content", "while parsing"):
		p.Hint = "put the value in quotes if it is a text with quotes, brackets or braces at its start; else check the indentation"
	}
	return p
}

var lineNumber = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^line ([0-9]+): `) })

func lineAt(text string, line int) string {
	for l := range strings.Lines(text) {
		if line--; line == 0 {
			return l
		}
	}
	return ""
}

func tabbed(line string) bool {
	return strings.Contains(line[:len(line)-len(strings.TrimLeft(line, " \t"))], "\t")
}

// CutComment returns the comment that follows a plain text in its line if the comment
// may belong to the text, as in "Fix #42 now", where YAML reads only "Fix". text is
// the file from the node on. A comment that two blanks or more set apart is one.
func CutComment(n *yaml.Node, text string) (comment string, cut bool) {
	comment = n.LineComment
	if n.Kind != yaml.ScalarNode || n.Style != 0 || n.Value == "" || !strings.HasPrefix(comment, "#") {
		return "", false
	}
	i := strings.Index(text, comment)
	if i < 2 || !strings.ContainsAny(text[i-1:i], " \t") || strings.ContainsAny(text[i-2:i-1], " \t") {
		return comment, false // set apart by more than one blank, or by none that is known
	}
	return comment, true
}

// IsAside reports whether a comment is written as one: a # and a blank.
func IsAside(comment string) bool {
	return strings.HasPrefix(comment, "# ") || strings.HasPrefix(comment, "#\t") || comment == "#"
}
