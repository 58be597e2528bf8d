package importer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// jinja translates the templates of one file.
type jinja struct {
	im    *importer
	names names
}

// translate returns our expression for one of Jinja.
func (j jinja) translate(source string) (term, error) {
	if j.im.plain {
		return term{}, errors.New("it has no counterpart")
	}
	return translate(source, j.names)
}

// template returns a template of Jinja as a text with our expressions. What it cannot
// translate stays as it was, with a note at the node to.
func (j jinja) template(to, n *yaml.Node) string {
	if !hasTemplate(n.Value) {
		return literal(n.Value)
	}
	pieces, err := parseJinja(n.Value)
	if err != nil {
		j.im.note(to, n, Changed, "the template is left as a text: %v", err)
		return literal(n.Value)
	}
	var b strings.Builder
	for i, p := range pieces {
		if p.kind == pieceText {
			s, dollar := strings.CutSuffix(literal(p.text), "$")
			b.WriteString(s)
			switch {
			case dollar && i+1 < len(pieces): // $${{ would not be an expression
				b.WriteString(expr(`"$"`))
			case dollar:
				b.WriteByte('$')
			}
			continue
		}
		text, err := j.outer(p)
		if err != nil {
			at := &yaml.Node{Line: n.Line + p.line}
			if n.Style == yaml.LiteralStyle || n.Style == yaml.FoldedStyle {
				at.Line++
			}
			j.im.note(to, at, Changed, "%s is left as a text: %v", firstLine(p.source), err)
			text = literal(p.source)
		}
		b.WriteString(text)
	}
	return b.String()
}

func firstLine(s string) string {
	first, _, more := strings.Cut(s, "\n")
	if more {
		first += " ..."
	}
	return first
}

// longestExpr is how many bytes of text one expression is given; the language takes 4096.
const longestExpr = 2000

// outer returns a piece that stands in a text as expressions.
func (j jinja) outer(p piece) (string, error) {
	switch p.kind {
	case pieceOutput:
		t, err := j.translate(p.text)
		if err != nil {
			return "", err
		}
		return checkedExpr(t.or(`""`).source)
	case pieceFor:
		s, err := j.inner(p)
		if err != nil {
			return "", err
		}
		return checkedExpr(s)
	}
	var b strings.Builder
	var before []string // conditions of the branches above
	for _, br := range p.branches {
		conds := before
		if br.cond != "" {
			t, err := j.translate(br.cond)
			if err != nil {
				return "", err
			}
			conds = append(slices.Clip(before), enclosed(t.truth()))
			before = append(before, "not "+enclosed(t.truth()))
		}
		cond := strings.Join(conds, " and ")
		parts, err := j.parts(br.body, strings.Contains(cond, "steps.") || strings.Contains(cond, "loop."))
		if err != nil {
			return "", err
		}
		for _, part := range parts {
			if part == "\n" {
				b.WriteString(part)
				continue
			}
			s, err := checkedExpr(cond + " ? " + part + " : \"\"")
			if err != nil {
				return "", err
			}
			b.WriteString(s)
		}
	}
	return b.String(), nil
}

// longestLine is how long a text may be that an expression makes of results without being
// marked as data.
const longestLine = 180

// parts returns what stands under a condition as expressions, and line breaks. If the
// condition depends on results, lines of text are expressions of their own: what such an
// expression gives is data to the agent, and no instruction, if it has several lines.
func (j jinja) parts(pieces []piece, results bool) ([]string, error) {
	if !results {
		return j.chunks(pieces)
	}
	var parts []string
	for _, p := range pieces {
		if p.kind != pieceText {
			s, err := j.inner(p)
			if err != nil {
				return nil, err
			}
			parts = append(parts, s)
			continue
		}
		for line := range strings.Lines(p.text) {
			line, end := strings.CutSuffix(line, "\n")
			for line != "" {
				n := min(len(line), longestLine)
				for n < len(line) && !utf8.RuneStart(line[n]) {
					n--
				}
				parts = append(parts, quoted(line[:n]))
				line = line[n:]
			}
			if end {
				parts = append(parts, "\n")
			}
		}
	}
	return parts, nil
}

func checkedExpr(s string) (string, error) {
	if len(s) > 4000 {
		return "", errors.New("it is too long for an expression")
	}
	return expr(s), nil
}

// chunks returns pieces as expressions for their text, none of which is too long.
func (j jinja) chunks(pieces []piece) ([]string, error) {
	var chunks []string
	var parts []string
	size := 0
	flush := func() {
		if len(parts) > 0 {
			chunks = append(chunks, concatenated(parts))
		}
		parts, size = nil, 0
	}
	for _, p := range pieces {
		var next []string
		if p.kind == pieceText {
			for line := range strings.Lines(p.text) {
				next = append(next, quoted(line))
			}
		} else {
			s, err := j.inner(p)
			if err != nil {
				return nil, err
			}
			next = []string{s}
		}
		for _, s := range next {
			if size += len(s) + 12; size > longestExpr || len(parts) > 40 {
				flush()
				size = len(s) + 12
			}
			parts = append(parts, s)
		}
	}
	flush()
	return chunks, nil
}

// concatenated returns the parts as one text, with a line for each.
func concatenated(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, " +\n    ") + ")"
}

// loopPart returns what a part of Jinja's loop stands for.
func loopPart(name, position, list string) (term, int, error) {
	switch name {
	case "index":
		return term{source: position + " + 1", kind: kindNumber}, 2, nil
	case "index0":
		return term{source: position, kind: kindNumber, atom: true}, 2, nil
	case "first":
		return term{source: position + " == 0", kind: kindBool}, 2, nil
	case "last":
		return term{source: position + " == len(" + list + ") - 1", kind: kindBool}, 2, nil
	case "length":
		return term{source: "len(" + list + ")", kind: kindNumber, atom: true}, 2, nil
	}
	return term{}, 0, fmt.Errorf("loop.%s has no counterpart", name)
}

// inner returns a piece as an expression for its text.
func (j jinja) inner(p piece) (string, error) {
	switch p.kind {
	case pieceText:
		return quoted(p.text), nil
	case pieceOutput:
		t, err := j.translate(p.text)
		if err != nil {
			return "", err
		}
		return t.text(), nil
	case pieceFor:
		t, err := j.translate(p.text)
		if err != nil {
			return "", err
		}
		list := t.or("[]").operand()
		name, position := "each_"+p.variable, "at_"+p.variable
		counted := strings.Contains(p.source, "loop.")
		within := j
		within.names = func(path []string) (term, int, error) {
			switch {
			case path[0] == p.variable:
				return term{source: name, atom: true}, 1, nil
			case path[0] == "loop" && len(path) > 1:
				return loopPart(path[1], position, list)
			}
			return j.names(path)
		}
		chunks, err := within.chunks(p.branches[0].body)
		if err != nil {
			return "", err
		}
		body := `""`
		if len(chunks) > 0 {
			body = strings.Join(chunks, " + ")
		}
		if counted {
			return fmt.Sprintf(`join(map(0..(len(%s) - 1), let %s = #; let %s = %s[%s]; %s), "")`, list, position, name, list, position, body), nil
		}
		return fmt.Sprintf(`join(map(%s, let %s = #; %s), "")`, list, name, body), nil
	}
	var b strings.Builder
	ends := 0
	for _, br := range p.branches {
		chunks, err := j.chunks(br.body)
		if err != nil {
			return "", err
		}
		body := `""`
		if len(chunks) > 0 {
			body = strings.Join(chunks, " + ")
		}
		if br.cond == "" {
			b.WriteString(body)
			return "(" + b.String() + strings.Repeat(")", ends) + ")", nil
		}
		t, err := j.translate(br.cond)
		if err != nil {
			return "", err
		}
		b.WriteString(enclosed(t.truth()) + " ? " + body + " : (")
		ends++
	}
	return "(" + b.String() + `""` + strings.Repeat(")", ends) + ")", nil
}

// expression returns a template as one expression, with its type if it consists of one.
// One that has no counterpart becomes a text, with a note at the node to.
func (j jinja) expression(to, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		return quoted(show(n))
	}
	source := strings.TrimSpace(n.Value)
	pieces, err := parseJinja(source)
	if err == nil && len(pieces) == 1 && pieces[0].kind == pieceOutput {
		var t term
		if t, err = j.translate(pieces[0].text); err == nil {
			return t.or("nil").source
		}
	}
	if err == nil {
		var chunks []string
		if chunks, err = j.chunks(pieces); err == nil {
			if len(chunks) == 0 {
				return `""`
			}
			return strings.Join(chunks, " + ")
		}
	}
	j.im.note(to, n, Missing, "%s is left as a text: %v", show(n), err)
	return quoted(n.Value)
}

// value returns a template as a text in which, if it consists of one expression, that
// keeps its type.
func (j jinja) value(to, n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && hasTemplate(n.Value) {
		return expr(j.expression(to, n))
	}
	if n.Kind != yaml.ScalarNode {
		return show(n)
	}
	return literal(n.Value)
}
