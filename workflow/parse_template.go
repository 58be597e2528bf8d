package workflow

import (
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// template reads a text with expressions and reports their mistakes. It returns
// nil if n is not a text. d is nil if the text belongs to no step.
func (p *reader) template(d *draft, v view, n *yaml.Node, what string) *Template {
	before := p.failures
	source := p.text(n, what)
	if p.failures > before {
		return nil
	}
	if strings.TrimSpace(source) == "" {
		p.fail(n, nil, "", "%s is empty", what)
		return nil
	}
	p.whole(n, what)
	parts, unclosed := cut(source)
	if unclosed >= 0 {
		p.unclosed(n, unclosed)
	}
	t := &Template{source: source, parts: parts}
	exprs := 0
	for i := range parts {
		part := &parts[i]
		if part.expr == nil {
			continue
		}
		if exprs++; exprs > maxExprsPerText {
			p.failInside(n, part.at, ErrExpression, fmt.Sprintf("%s has more than %d expressions", what, maxExprsPerText), "")
			return t
		}
		part.expr = p.expression(d, v, n, part.expr.source, part.at)
	}
	return t
}

// templates reads a list of texts.
func (p *reader) templates(d *draft, v view, n *yaml.Node, what string) []*Template {
	var all []*Template
	for _, c := range n.Content {
		c = follow(c)
		if t := p.template(d, v, c, what); t != nil {
			p.paths(c, t, what)
			all = append(all, t)
		}
	}
	return all
}

// paths reports an expression in the path or pattern of files that is no text: its JSON would be
// taken for the name of a file.
func (p *reader) paths(n *yaml.Node, t *Template, what string) {
	hint := "write {${{ join(LIST, \",\") }}} for a pattern that takes any of them, or foreach for one call each"
	if what == "save" {
		hint = "name the file by a text or a number of it"
	}
	for _, part := range t.parts {
		if part.expr == nil || part.expr.typ != "array" && part.expr.typ != "object" {
			continue
		}
		p.failInside(n, part.at, ErrExpression, fmt.Sprintf("%s needs a text, and the expression is of type %s", what, part.expr.typ), hint)
	}
}

// expression compiles the expression at an offset of a text and reports its
// mistakes. The steps that it uses become dependencies of the step that must wait.
func (p *reader) expression(d *draft, v view, n *yaml.Node, source string, offset int) *expression {
	e := v.compile(source)
	for _, mistake := range e.errs {
		at := mistake.at
		if at == 0 { // begin at the first character that is not blank
			at = skipBlanks(source, 0)
		}
		p.failInside(n, offset+at, ErrExpression, mistake.message, mistake.hint)
	}
	if len(e.needs) > 0 {
		p.uses = append(p.uses, use{d, v, e, n, offset})
	}
	if e.changes {
		line, column := p.src.inside(n, offset+skipBlanks(source, 0))
		p.changes = append(p.changes, changesUse{e, line, column, d, d != nil && d.fields.get("when") == n})
	}
	refused := false
	for _, r := range e.refs {
		if r.root != "steps" || r.foreign || r.name == "" {
			continue
		}
		waiter, why := v.waiter(d, r.name)
		if why != "" && !refused {
			p.failInside(n, offset+r.at, ErrCycle, why, v.hintFor(d, r.name))
			refused = true
		}
		if waiter != nil {
			waiter.wait(r.name, r.waits())
		}
	}
	return e
}

// waits returns for what a step waits that uses the reference.
func (r ref) waits() waitKind {
	switch {
	case always(r.field):
		return waitError
	case r.optional:
		return waitOptional
	case r.field == "status":
		return waitStatus
	}
	return waitRead
}

func (p *reader) unclosed(n *yaml.Node, at int) {
	p.failInside(n, at, ErrExpression, "${{ is never closed", "end the expression with }}, or write $${{ for the characters themselves")
}

// failInside reports a mistake at a byte offset of a text.
func (p *reader) failInside(n *yaml.Node, offset int, err error, message, hint string) {
	line, column := p.src.inside(n, offset)
	p.add(&Error{Line: line, Column: column, Message: message, Hint: hint, Err: err})
}
