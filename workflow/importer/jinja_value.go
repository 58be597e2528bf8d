package importer

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

var plainName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

// part returns the part of t with a name.
func (t term) part(name string) (term, error) {
	switch {
	case !plainName().MatchString(name) && !isNumber(name):
		return term{}, fmt.Errorf("%q is not understood there", name)
	case isNumber(name):
		return term{source: t.operand() + dotIf(t.maybe) + "[" + name + "]", atom: true, maybe: t.maybe}, nil
	case t.maybe:
		return term{source: t.operand() + "?." + name, atom: true, maybe: true}, nil
	}
	return term{source: t.operand() + "." + name, atom: true}, nil
}

func dotIf(maybe bool) string {
	if maybe {
		return "?."
	}
	return ""
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return err == nil
}

func (p *jinjaExpr) index(t term) (term, error) {
	i, err := p.ternary()
	if err != nil {
		return term{}, err
	}
	return term{source: t.operand() + dotIf(t.maybe) + "[" + i.or(i.kind.zero()).source + "]", atom: true, maybe: t.maybe}, nil
}

func (p *jinjaExpr) value() (term, error) {
	switch token := p.next(); {
	case token == "":
		return term{}, errors.New("it ends too early")
	case token == "(":
		t, err := p.ternary()
		if err != nil {
			return term{}, err
		}
		return term{source: "(" + t.source + ")", kind: t.kind, maybe: t.maybe, atom: true}, p.expect(")")
	case token == "[":
		parts, err := p.sequence("]")
		return term{source: "[" + strings.Join(parts, ", ") + "]", kind: kindList, atom: true}, err
	case token == "{":
		return p.dict()
	case token[0] == '"' || token[0] == '\'':
		return term{source: quoted(unquote(token)), kind: kindString, atom: true}, nil
	case token[0] >= '0' && token[0] <= '9':
		return term{source: token, kind: kindNumber, atom: true}, nil
	case token == "true" || token == "True":
		return term{source: "true", kind: kindBool, atom: true}, nil
	case token == "false" || token == "False":
		return term{source: "false", kind: kindBool, atom: true}, nil
	case token == "none" || token == "None":
		return term{source: "nil", atom: true}, nil
	case plainName().MatchString(token):
		return p.name(token)
	default:
		return term{}, fmt.Errorf("%q is not understood there", token)
	}
}

// name reads a name with the names of parts after it.
func (p *jinjaExpr) name(first string) (term, error) {
	path, rest := []string{first}, p.tokens
	for len(rest) >= 2 {
		switch {
		case rest[0] == "." && plainName().MatchString(rest[1]):
			path, rest = append(path, rest[1]), rest[2:]
			continue
		case rest[0] == "[" && len(rest) >= 3 && rest[2] == "]" && (rest[1][0] == '"' || rest[1][0] == '\''):
			path, rest = append(path, unquote(rest[1])), rest[3:]
			continue
		}
		break
	}
	t, used, err := p.names(path)
	if err != nil {
		return term{}, err
	}
	for range used - 1 {
		if p.next() == "[" {
			p.next()
		}
		p.next()
	}
	return t, nil
}

func (p *jinjaExpr) sequence(end string) ([]string, error) {
	var parts []string
	for !p.accept(end) {
		if end == ")" && len(p.tokens) > 1 && p.tokens[1] == "=" {
			p.tokens = p.tokens[2:] // the name of an argument
		}
		t, err := p.ternary()
		if err != nil {
			return nil, err
		}
		parts = append(parts, t.or("nil").source)
		if !p.accept(",") && p.peek() != end {
			return nil, fmt.Errorf("%q is missing", end)
		}
	}
	return parts, nil
}

func (p *jinjaExpr) dict() (term, error) {
	var parts []string
	for !p.accept("}") {
		key := p.next()
		if key == "" || key[0] != '"' && key[0] != '\'' {
			return term{}, errors.New("the keys of a mapping must be texts")
		}
		if err := p.expect(":"); err != nil {
			return term{}, err
		}
		t, err := p.ternary()
		if err != nil {
			return term{}, err
		}
		parts = append(parts, quoted(unquote(key))+": "+t.or("nil").source)
		if !p.accept(",") && p.peek() != "}" {
			return term{}, errors.New(`"}" is missing`)
		}
	}
	return term{source: "{" + strings.Join(parts, ", ") + "}", atom: true}, nil
}

// unquote returns the text that a literal of Jinja stands for.
func unquote(s string) string {
	if len(s) < 2 {
		return s
	}
	s = s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// filter reads a filter of Jinja and applies it to t.
func (p *jinjaExpr) filter(t term) (term, error) {
	name := p.next()
	var args []string
	if p.accept("(") {
		var err error
		if args, err = p.sequence(")"); err != nil {
			return term{}, err
		}
	}
	arg := func(def string) string {
		if len(args) > 0 {
			return args[0]
		}
		return def
	}
	call := func(kind termKind, format string, args ...any) (term, error) {
		return term{source: fmt.Sprintf(format, args...), kind: kind, atom: true}, nil
	}
	switch name {
	case "default", "d":
		if len(args) > 1 && args[1] == "true" {
			return term{source: t.truth() + " ? " + t.or(t.kind.zero()).operand() + " : " + arg(`""`), kind: t.kind}, nil
		}
		if !t.maybe {
			return t, nil
		}
		return term{source: t.operand() + " ?? " + arg(`""`), kind: t.kind}, nil
	case "length", "count":
		return call(kindNumber, "len(%s)", t.or(`""`).source)
	case "upper", "lower", "trim":
		return call(kindString, "%s(%s)", name, t.text())
	case "join":
		return call(kindString, "join(map(%s, string(#)), %s)", t.or("[]").source, arg(`""`))
	case "tojson", "json":
		return call(kindString, "toJSON(%s)", t.or("nil").source)
	case "string", "safe", "e", "escape":
		return term{source: t.text(), kind: kindString, atom: true}, nil
	case "int":
		return call(kindNumber, "int(%s)", t.or("0").source)
	case "float":
		return call(kindNumber, "float(%s)", t.or("0").source)
	case "round":
		if len(args) == 0 {
			return call(kindNumber, "round(%s)", t.or("0").source)
		}
	case "abs", "sum", "max", "min":
		return call(kindNumber, "%s(%s)", name, t.or("[]").source)
	case "first":
		return call(kindAny, "%s[0]", t.or("[]").operand())
	case "last":
		return call(kindAny, "%s[-1]", t.or("[]").operand())
	case "map":
		if name := strings.Trim(arg(""), `"`); plainName().MatchString(name) && len(args) == 1 {
			return call(kindList, "map(%s, #.%s)", t.or("[]").source, name)
		}
	case "list":
		return t, nil
	case "sort":
		return call(kindList, "sort(%s)", t.or("[]").source)
	case "unique":
		return call(kindList, "uniq(%s)", t.or("[]").source)
	case "reverse":
		return call(kindList, "reverse(%s)", t.or("[]").source)
	case "replace":
		if len(args) == 2 {
			return call(kindString, "replace(%s, %s, %s)", t.text(), args[0], args[1])
		}
	}
	return term{}, fmt.Errorf("the filter %q has no counterpart", oneLine(name))
}
