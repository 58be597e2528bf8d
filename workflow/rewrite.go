package workflow

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shifts maps offsets in a rewritten expression to the original.
type shifts []struct{ from, to int }

// source returns the byte offset in the original of the given character of text.
func (s shifts) source(text string, char int) int {
	at := 0
	for i := range text {
		if char == 0 {
			break
		}
		_, w := utf8.DecodeRuneInString(text[i:])
		at = i + w
		char--
	}
	for _, shift := range slices.Backward(s) {
		if shift.from <= at {
			return shift.to + at - shift.from
		}
	}
	return at
}

// rewrite writes names with hyphens in a form that the expression language accepts:
// steps.a-b becomes steps["a-b"]. It also puts parentheses around map literals, since the
// language takes the brace in map(list, {'k': #}) for the start of a block. It does not
// change strings, comments and subtractions.
func (c view) rewrite(source string) (string, shifts) {
	if !strings.ContainsAny(source, "-{") {
		return source, nil
	}
	var b strings.Builder
	var moved shifts
	var literals []bool // for each open brace: it is that of a map literal
	insert := func(text string, at int) {
		b.WriteString(text)
		moved = append(moved, struct{ from, to int }{b.Len(), at})
	}
	for i := 0; i < len(source); {
		if n := skipQuoted(source[i:]); n != 0 {
			if n < 0 {
				n = len(source) - i
			}
			b.WriteString(source[i : i+n])
			i += n
			continue
		}
		n := identLen(source[i:])
		if n == 0 {
			_, n = utf8.DecodeRuneInString(source[i:])
			ended := false
			switch source[i] {
			case '{':
				literals = append(literals, isMapLiteral(source[i:]))
				if literals[len(literals)-1] {
					insert("(", i)
				}
			case '}':
				if last := len(literals) - 1; last >= 0 {
					ended, literals = literals[last], literals[:last]
				}
			}
			b.WriteString(source[i : i+n])
			i += n
			if ended {
				insert(")", i)
			}
			continue
		}
		root := source[i : i+n]
		member := isMember(source[:i])
		b.WriteString(root)
		i += n
		if n := previousLen(source[i:]); root == "loop" && !member && n > 0 {
			b.WriteString(source[i : i+n])
			i += n
			root = previous
		}
		if member || root != "steps" && root != "params" && root != "vars" && root != previous {
			continue
		}
		dot := skipBlanks(source, i)
		optional := strings.HasPrefix(source[dot:], "?.")
		begin := dot + 1
		if optional {
			begin++
		} else if !strings.HasPrefix(source[dot:], ".") {
			continue
		}
		begin = skipBlanks(source, min(begin, len(source)))
		name := c.hyphenatedName(root, source[begin:])
		if !strings.Contains(name, "-") {
			continue
		}
		if optional {
			b.WriteString("?.")
		}
		b.WriteString("[")
		moved = append(moved, struct{ from, to int }{b.Len(), begin})
		b.WriteString(`"` + name + `"]`)
		i = begin + len(name)
		moved = append(moved, struct{ from, to int }{b.Len(), i})
	}
	return b.String(), moved
}

// isMapLiteral reports whether the brace at the start of s begins a map literal: behind it
// is a key and a colon.
func isMapLiteral(s string) bool {
	i := skipBlanks(s, 1)
	if i == len(s) {
		return false
	}
	n := identLen(s[i:])
	if s[i] == '"' || s[i] == '\'' {
		n = skipQuoted(s[i:])
	}
	if n <= 0 {
		return false
	}
	i = skipBlanks(s, i+n)
	return i < len(s) && s[i] == ':' && !strings.HasPrefix(s[i:], "::")
}

// previousLen returns the length of the ".previous" at the start of s, or 0.
func previousLen(s string) int {
	i := skipBlanks(s, 0)
	if i < len(s) && s[i] == '?' {
		i++
	}
	if i == len(s) || s[i] != '.' {
		return 0
	}
	i = skipBlanks(s, i+1)
	if n := identLen(s[i:]); s[i:i+n] == "previous" {
		return i + n
	}
	return 0
}

// isMember reports whether the name that follows the text before is a field, as
// b is in a.b.
func isMember(before string) bool {
	before = strings.TrimRight(before, " \t\r\n")
	return strings.HasSuffix(before, ".") && !strings.HasSuffix(before, "..")
}

// hyphenatedName returns the name at the start of s: the longest known one that
// ends at a hyphen or at the end of the word. If no name is known, it returns the
// text that most likely is meant as a name.
func (c view) hyphenatedName(root, s string) string {
	n := 0
	for n < len(s) && isIDByte(s[n], n) {
		n++
	}
	word := s[:n]
	for end := n; end > 0; end = strings.LastIndexByte(s[:end], '-') {
		if c.known(root, s[:end]) {
			return s[:end]
		}
	}
	rest := strings.TrimLeft(s[n:], " \t\r\n")
	if root != "params" && root != "vars" && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "?.")) ||
		c.suggester.nearest(word, c.names[root]) != "" {
		return word
	}
	first, _, _ := strings.Cut(word, "-")
	return first
}

func isIDByte(c byte, i int) bool {
	switch {
	case c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return true
	case c == '-', '0' <= c && c <= '9':
		return i > 0
	}
	return false
}

func identLen(s string) int {
	for i, r := range s {
		if r != '_' && r != '$' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return i
		}
	}
	return len(s)
}
