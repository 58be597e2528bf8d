package tool

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
)

// pattern is a regular expression of Grep in the two engines.
type pattern struct {
	expr *regexp.Regexp
	rust string // for ripgrep
}

var (
	errNewline = errors.New(`the pattern has a line break (\n), which needs multiline`)
	errBrace   = errors.New(`repetition without a number: write \{ for a brace`)
)

// newPattern reads a regular expression in the syntax of ripgrep. What means more
// there than here is put in other words: \d, \w and \s match all of Unicode, and a
// brace that is no repetition is an error.
func newPattern(text string, ignoreCase, multiline bool) (*pattern, error) {
	goText, rustText, err := translate(text, multiline)
	if err != nil {
		return nil, fmt.Errorf("regex parse error: %s: %w", text, err)
	}
	flags := "m"
	if ignoreCase {
		flags += "i"
	}
	if multiline {
		flags += "s"
	}
	expr, err := regexp.Compile("(?" + flags + ")" + goText)
	if err != nil {
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			return nil, fmt.Errorf("regex parse error: %s: %s", text, e.Code)
		}
		return nil, fmt.Errorf("regex parse error: %s: %w", text, err)
	}
	return &pattern{expr, "(?" + flags + ")" + rustText}, nil
}

// Classes of Perl as ripgrep has them, without the brackets around.
var classes = map[byte]string{
	'd': `\p{Nd}`,
	'w': `\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}`,
	's': `\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`,
}

// translate rewrites a regular expression for both engines.
func translate(text string, multiline bool) (goText, rustText string, err error) {
	var g, r strings.Builder
	both := func(s string) { g.WriteString(s); r.WriteString(s) }
	class := 0 // depth of brackets
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\n' && !multiline:
			return "", "", errNewline
		case c == '\\' && i+1 < len(text):
			i++
			next := text[i]
			lower := next | 0x20
			inner, isClass := classes[lower]
			switch {
			case next == 'n' && !multiline:
				return "", "", errNewline
			case isClass && next == lower && class > 0:
				both(inner)
			case isClass && next == lower:
				both("[" + inner + "]")
			case isClass && class == 0:
				both("[^" + inner + "]")
			case (next == 'b' || next == 'B') && class == 0:
				g.WriteString(`\` + string(next))
				r.WriteString(`(?-u:\` + string(next) + `)`)
			case (next == 'u' || next == 'U') && class == 0 && len(text) > i+4 && text[i+1] != '{':
				digits := 4
				if next == 'U' {
					digits = 8
				}
				both(`\x{` + text[i+1:min(len(text), i+1+digits)] + "}")
				i = min(len(text), i+digits+1) - 1
			case strings.IndexByte("pPxuU", next) >= 0 && i+1 < len(text) && text[i+1] == '{':
				end := strings.IndexByte(text[i:], '}')
				if end < 0 {
					return "", "", errors.New("a brace is not closed")
				}
				if next == 'u' || next == 'U' {
					next = 'x'
				}
				both(`\` + string(next) + text[i+1:i+end+1])
				i += end
			case next < 0x80 && !isAlnum(next):
				g.WriteString(`\` + string(next))
				if strings.IndexByte(`\.+*?()|[]{}^$#&-~`, next) >= 0 {
					r.WriteByte('\\')
				}
				r.WriteByte(next) // ripgrep refuses needless escapes
			default:
				both(text[i-1 : i+1])
			}
		case c == '[' && class == 0:
			class++
			both("[")
			if i+1 < len(text) && text[i+1] == '^' {
				i++
				both("^")
			}
			if i+1 < len(text) && text[i+1] == ']' {
				i++
				both(`\]`)
			}
		case c == '[' && i+1 < len(text) && text[i+1] == ':':
			end := strings.Index(text[i:], ":]")
			if end < 0 {
				both(`\[`)
				continue
			}
			both(text[i : i+end+2])
			i += end + 1
		case c == '[':
			return "", "", errors.New("a class within a class")
		case c == ']' && class > 0:
			class--
			both("]")
		case c == '{' && class == 0:
			end := repetition().FindString(text[i:])
			if end == "" {
				return "", "", errBrace
			}
			both(end)
			i += len(end) - 1
		case c == '}' && class == 0:
			both(`\}`)
		case c == '(' && strings.HasPrefix(text[i:], "(?<") && !strings.HasPrefix(text[i:], "(?<=") && !strings.HasPrefix(text[i:], "(?<!"):
			both("(?P<")
			i += 2
		default:
			both(text[i : i+1])
		}
	}
	return g.String(), r.String(), nil
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

var repetition = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\{[0-9]+(,[0-9]*)?\}`) })
