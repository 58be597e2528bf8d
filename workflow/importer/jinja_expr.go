package importer

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
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

var simple = regexp.MustCompile(`^[A-Za-z0-9_.?]+$`)

// enclosed returns an expression in parentheses, if it needs any.
func enclosed(source string) string {
	if simple.MatchString(source) {
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

var jinjaToken = regexp.MustCompile(`^(?:\s+|[A-Za-z_][A-Za-z0-9_]*|[0-9]+(?:\.[0-9]+)?|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|==|!=|<=|>=|//|\*\*|[-+*/%~<>().\[\]{}:,|=])`)

// jinjaExpr translates one expression of Jinja.
type jinjaExpr struct {
	tokens []string
	names  names
	depth  int
}

// translate returns our expression for one of Jinja.
func translate(source string, n names) (term, error) {
	p := jinjaExpr{names: n}
	for rest := source; rest != ""; {
		token := jinjaToken.FindString(rest)
		if token == "" {
			return term{}, fmt.Errorf("%q is not understood", []rune(rest)[0])
		}
		if rest = rest[len(token):]; strings.TrimSpace(token) != "" {
			p.tokens = append(p.tokens, token)
		}
	}
	t, err := p.ternary()
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%s is not understood there", p.peek())
	}
	return t, err
}

func (p *jinjaExpr) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *jinjaExpr) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *jinjaExpr) accept(token string) bool {
	if p.peek() != token {
		return false
	}
	p.next()
	return true
}

func (p *jinjaExpr) expect(token string) error {
	if !p.accept(token) {
		return fmt.Errorf("%q is missing", token)
	}
	return nil
}

func (p *jinjaExpr) ternary() (term, error) {
	if p.depth++; p.depth > 50 {
		return term{}, errors.New("it is nested too deep")
	}
	defer func() { p.depth-- }()
	then, err := p.boolean("or")
	if err != nil || !p.accept("if") {
		return then, err
	}
	cond, err := p.boolean("or")
	if err != nil {
		return term{}, err
	}
	other := term{source: `""`, kind: kindString, atom: true}
	if p.accept("else") {
		if other, err = p.ternary(); err != nil {
			return term{}, err
		}
	}
	kind := kindAny
	if then.kind == other.kind {
		kind = then.kind
	}
	then, other = then.or(then.kind.zero()), other.or(other.kind.zero())
	return term{source: cond.truth() + " ? " + then.operand() + " : " + other.operand(), kind: kind}, nil
}

// boolean reads operands of or, or of and.
func (p *jinjaExpr) boolean(op string) (term, error) {
	read := p.not
	if op == "or" {
		read = func() (term, error) { return p.boolean("and") }
	}
	t, err := read()
	if err != nil || p.peek() != op {
		return t, err
	}
	parts := []string{enclosed(t.truth())}
	for p.accept(op) {
		if t, err = read(); err != nil {
			return term{}, err
		}
		parts = append(parts, enclosed(t.truth()))
	}
	return term{source: strings.Join(parts, " "+op+" "), kind: kindBool}, nil
}

func (p *jinjaExpr) not() (term, error) {
	if !p.accept("not") {
		return p.comparison()
	}
	t, err := p.not()
	return term{source: "not " + enclosed(t.truth()), kind: kindBool}, err
}

func (p *jinjaExpr) comparison() (term, error) {
	t, err := p.sum()
	for err == nil {
		op := p.peek()
		switch op {
		case "==", "!=", "<", ">", "<=", ">=", "in":
			p.next()
		case "not":
			p.next()
			if err := p.expect("in"); err != nil {
				return term{}, err
			}
			op = "not in"
		case "is":
			p.next()
			if t, err = p.test(t); err != nil {
				return term{}, err
			}
			continue
		default:
			return t, nil
		}
		var other term
		if other, err = p.sum(); err != nil {
			return term{}, err
		}
		t = compare(t, op, other)
	}
	return t, err
}

func compare(a term, op string, b term) term {
	switch {
	case op == "in" || op == "not in":
		a, b = a.or(a.kind.zero()), b.or("[]")
		if b.kind == kindString {
			source := b.operand() + " contains " + a.operand()
			if op == "not in" {
				source = "not (" + source + ")"
			}
			return term{source: source, kind: kindBool}
		}
	case op == "==" || op == "!=":
		if a.source == "nil" || b.source == "nil" {
			a, b = a.or("nil"), b.or("nil")
			break
		}
		fallthrough
	default:
		def := func(x, y term) string {
			switch {
			case x.kind != kindAny:
				return x.kind.zero()
			case y.kind == kindAny && op != "==" && op != "!=":
				return "0"
			}
			return y.kind.zero()
		}
		a, b = a.or(def(a, b)), b.or(def(b, a))
	}
	return term{source: a.operand() + " " + op + " " + b.operand(), kind: kindBool}
}

// test reads what follows "is".
func (p *jinjaExpr) test(t term) (term, error) {
	not := p.accept("not")
	source := ""
	switch name := p.next(); name {
	case "defined", "undefined":
		switch {
		case t.defined != "":
			source = t.defined
		case t.maybe:
			source = t.operand() + " ?? nil"
			source = "(" + source + ") != nil"
		default:
			source = "true"
		}
		if name == "undefined" {
			not = !not
		}
	case "none", "None":
		source = t.or("nil").operand() + " == nil"
	case "true":
		source = t.or("false").operand() + " == true"
	case "false":
		source = t.or("false").operand() + " == false"
	default:
		return term{}, fmt.Errorf("the test %q has no counterpart", name)
	}
	if not {
		source = "not " + enclosed(source)
	}
	return term{source: source, kind: kindBool}, nil
}

func (p *jinjaExpr) sum() (term, error) {
	t, err := p.product()
	for err == nil {
		op := p.peek()
		if op != "+" && op != "-" && op != "~" {
			return t, nil
		}
		p.next()
		var other term
		if other, err = p.product(); err != nil {
			return term{}, err
		}
		if op == "~" || op == "+" && (t.kind == kindString || other.kind == kindString) {
			t = term{source: t.text() + " + " + other.text(), kind: kindString}
			continue
		}
		if op == "+" && (t.kind == kindList || other.kind == kindList) {
			t = term{source: "concat(" + t.or("[]").source + ", " + other.or("[]").source + ")", kind: kindList, atom: true}
			continue
		}
		t = term{source: t.or("0").operand() + " " + op + " " + other.or("0").operand(), kind: kindNumber}
	}
	return t, err
}

func (p *jinjaExpr) product() (term, error) {
	t, err := p.unary()
	for err == nil {
		op := p.peek()
		if op != "*" && op != "/" && op != "//" && op != "%" {
			return t, nil
		}
		p.next()
		var other term
		if other, err = p.unary(); err != nil {
			return term{}, err
		}
		source := t.or("0").operand() + " " + op + " " + other.or("0").operand()
		if op == "//" {
			source = "floor(" + t.or("0").operand() + " / " + other.or("0").operand() + ")"
		}
		t = term{source: source, kind: kindNumber, atom: op == "//"}
	}
	return t, err
}

func (p *jinjaExpr) unary() (term, error) {
	if !p.accept("-") {
		return p.postfix()
	}
	if p.depth++; p.depth > 50 {
		return term{}, errors.New("it is nested too deep")
	}
	defer func() { p.depth-- }()
	t, err := p.unary()
	if err != nil {
		return term{}, err
	}
	return term{source: "-" + t.or("0").operand(), kind: kindNumber}, err
}

// postfix reads a value with what follows it: parts of it, and filters.
func (p *jinjaExpr) postfix() (term, error) {
	t, err := p.value()
	for err == nil {
		switch {
		case p.accept("."):
			t, err = t.part(p.next())
		case p.accept("["):
			if t, err = p.index(t); err == nil {
				err = p.expect("]")
			}
		case p.accept("|"):
			t, err = p.filter(t)
		case p.peek() == "(":
			return term{}, errors.New("calls have no counterpart")
		default:
			return t, nil
		}
	}
	return t, err
}

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// part returns the part of t with a name.
func (t term) part(name string) (term, error) {
	switch {
	case !plainName.MatchString(name) && !isNumber(name):
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
	case plainName.MatchString(token):
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
		case rest[0] == "." && plainName.MatchString(rest[1]):
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
		if name := strings.Trim(arg(""), `"`); plainName.MatchString(name) && len(args) == 1 {
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
