package importer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

var jinjaToken = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:\s+|[A-Za-z_][A-Za-z0-9_]*|[0-9]+(?:\.[0-9]+)?|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|==|!=|<=|>=|//|\*\*|[-+*/%~<>().\[\]{}:,|=])`)
})

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
		token := jinjaToken().FindString(rest)
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
