package workflow

import (
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// source finds positions in the text of a file. It is only used for errors, so the
// index of lines is built on first use.
type source struct {
	text  string
	lines []int // offset at which each line begins
	last  place // the previous result, so that a file of one long line takes linear time
}

type place struct{ line, column, offset int }

// lineOf returns the line that holds offset, from 1, and builds the index.
func (s *source) lineOf(offset int) int {
	if s.lines == nil {
		s.lines = []int{0}
		for i := range len(s.text) {
			if c := s.text[i]; c == '\n' || c == '\r' && (i+1 == len(s.text) || s.text[i+1] != '\n') {
				s.lines = append(s.lines, i+1)
			}
		}
	}
	i, found := slices.BinarySearch(s.lines, offset)
	if found {
		i++
	}
	return i
}

// start returns the nearest known place on a line, to search forward from.
func (s *source) start(line int) place {
	if s.last.line == line {
		return s.last
	}
	return place{line, 1, s.lines[line-1]}
}

// position returns the line and column of a byte offset, both from 1, the
// column in characters.
func (s *source) position(offset int) (line, column int) {
	offset = min(offset, len(s.text))
	at := s.start(s.lineOf(offset))
	if at.offset > offset {
		at = place{at.line, 1, s.lines[at.line-1]}
	}
	at.column += utf8.RuneCountInString(s.text[at.offset:offset])
	at.offset = offset
	s.last = at
	return at.line, at.column
}

// offset returns the byte offset of a position; it is the inverse of position.
func (s *source) offset(line, column int) int {
	s.lineOf(0)
	if line < 1 || line > len(s.lines) {
		return len(s.text)
	}
	at := s.start(line)
	if at.column > column {
		at = place{line, 1, s.lines[line-1]}
	}
	for at.column < column && at.offset < len(s.text) {
		_, n := utf8.DecodeRuneInString(s.text[at.offset:])
		at.offset, at.column = at.offset+n, at.column+1
	}
	s.last = at
	return at.offset
}

// inside returns the position of the character with the given byte offset in
// the value of a scalar. It reads source and value in parallel. If they do
// not match, it returns the position of the scalar itself.
func (s *source) inside(n *yaml.Node, offset int) (line, column int) {
	text, at := s.text, s.offset(n.Line, n.Column)
	for at < len(text) && (text[at] == '&' || text[at] == '!') { // anchor or tag
		at += strings.IndexAny(text[at:]+" ", " \t\r\n")
		at += len(text[at:]) - len(strings.TrimLeft(text[at:], " \t\r\n"))
	}
	var quote byte
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		if eol := strings.IndexByte(text[at:], '\n'); eol >= 0 {
			at += eol + 1
		}
	case n.Style&yaml.DoubleQuotedStyle != 0:
		quote = '"'
		at++
	case n.Style&yaml.SingleQuotedStyle != 0:
		quote = '\''
		at++
	}
	value := n.Value
	i := 0
	for i < offset && i < len(value) {
		if at >= len(text) {
			return n.Line, n.Column
		}
		c := text[at]
		switch {
		case quote == '"' && c == '\\':
			size, runes := escape(text[at:])
			at += size
			for range runes {
				_, w := utf8.DecodeRuneInString(value[i:])
				i += w
			}
		case quote == '\'' && c == '\'':
			at, i = at+2, i+1
		case blank(c) && blank(value[i]):
			// Indentation and folding: a run of blanks stands for a run of blanks.
			if n.Style&yaml.LiteralStyle == 0 && quote == 0 || c == '\n' || c == '\r' || value[i] == '\n' {
				at, i = skipBlanks(text, at), skipBlanks(value, i)
			} else {
				at, i = at+1, i+1
			}
		case blank(c): // the indentation of the first line
			at++
		default:
			r, w := utf8.DecodeRuneInString(text[at:])
			v, vw := utf8.DecodeRuneInString(value[i:])
			if r != v {
				return n.Line, n.Column
			}
			at, i = at+w, i+vw
		}
	}
	if i < len(value) && !blank(value[i]) {
		at = skipBlanks(text, at)
	}
	return s.position(at)
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func skipBlanks(s string, i int) int {
	for i < len(s) && blank(s[i]) {
		i++
	}
	return i
}

// escape returns how many bytes the escape at the start of a double-quoted text
// takes and how many characters it stands for.
func escape(s string) (size, runes int) {
	if len(s) < 2 {
		return len(s), 0
	}
	switch s[1] {
	case 'x':
		return min(4, len(s)), 1
	case 'u':
		// Only JSON has surrogate pairs: two escapes, one character.
		if len(s) >= 12 && (s[2] == 'd' || s[2] == 'D') && strings.IndexByte("89abAB", s[3]) >= 0 && s[6:8] == `\u` {
			return 12, 1
		}
		return min(6, len(s)), 1
	case 'U':
		return min(10, len(s)), 1
	case '\n', '\r': // a line continued
		return 1 + skipBlanks(s[1:], 0), 0
	}
	_, w := utf8.DecodeRuneInString(s[1:])
	return 1 + w, 1
}
