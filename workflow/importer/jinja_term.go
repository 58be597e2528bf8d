package importer

import (
	"regexp"
	"strings"
	"sync"
)

// term is an expression of ours that was made of one of Jinja.
type term struct {
	source  string
	kind    termKind
	atom    bool   // it needs no parentheses
	maybe   bool   // it may be missing
	defined string // the condition that it is not; empty: by its value
}

// termKind is the type of a term, as far as it is known.
type termKind string

const (
	kindAny    termKind = ""
	kindBool   termKind = "boolean"
	kindString termKind = "string"
	kindNumber termKind = "number"
	kindList   termKind = "array"
)

// names resolves the beginning of a path such as [workflow input x]. It returns what it
// stands for and how many parts of the path that is.
type names func(path []string) (t term, used int, err error)

// operand returns the source of t for use beside an operator.
func (t term) operand() string {
	if t.atom {
		return t.source
	}
	return enclosed(t.source)
}

var simple = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.?]+$`) })

// enclosed returns an expression in parentheses, if it needs any.
func enclosed(source string) string {
	if simple().MatchString(source) {
		return source
	}
	if strings.HasPrefix(source, "(") && closing(source) == len(source)-1 {
		return source
	}
	return "(" + source + ")"
}

// closing returns where the parenthesis that an expression begins with is closed.
func closing(source string) int {
	depth, inText := 0, false
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// or returns t with a default, if it may be missing.
func (t term) or(def string) term {
	if !t.maybe {
		return t
	}
	return term{source: t.operand() + " ?? " + def, kind: t.kind}
}

// zero returns the default for a value of a kind.
func (k termKind) zero() string {
	switch k {
	case kindBool:
		return "false"
	case kindNumber:
		return "0"
	case kindList:
		return "[]"
	}
	return `""`
}

// truth returns t as a condition, true for what Jinja takes as true.
func (t term) truth() string {
	switch t.kind {
	case kindBool:
		return t.or("false").operand()
	case kindString:
		return t.or(`""`).operand() + ` != ""`
	case kindNumber:
		return t.or("0").operand() + " != 0"
	case kindList:
		return "len(" + t.or("[]").source + ") > 0"
	}
	return t.or(`""`).operand() + ` not in [nil, false, 0, "", [], {}]`
}

// text returns t as a text, for joining with others.
func (t term) text() string {
	t = t.or(`""`)
	if t.kind == kindString {
		return t.operand()
	}
	return "string(" + t.source + ")"
}
