package workflow

import (
	"fmt"
	"slices"
	"strings"
)

const (
	exprOpen, exprClose = "${{", "}}"
	escapedOpen         = "$${{" // stands for exprOpen itself
	maxExprsPerText     = 1000
)

// Template is a text with expressions in it. Templates come from [Parse] or
// [Literal]; a nil Template is an empty text. Safe for concurrent use.
type Template struct {
	source string
	parts  []part
}

// part is either a text or an expression.
type part struct {
	text string
	expr *expression
	at   int // byte offset in the source: of the expression's text
}

// Literal returns a template that renders as text, whatever text holds.
func Literal(text string) *Template {
	return &Template{source: strings.ReplaceAll(text, exprOpen, escapedOpen), parts: []part{{text: text}}}
}

// Env holds the values that expressions see during a run. It is only read.
type Env struct {
	Params map[string]any        // as [Workflow.BindParams] returned them
	Steps  map[string]StepResult // steps that have ended
	Vars   map[string]any        // as [Workflow.WithVars] returned them
	Run    map[string]any        // "id"
	Env    map[string]string     // see [Workflow.EnvNames]; a name that is missing is empty
	Item   any                   // the item of the nearest enclosing foreach; nil outside of one
	Items  map[string]any        // the items of all enclosing foreach that have a name
	Loop   *LoopEnv              // of the nearest enclosing loop; nil outside of one

	// ChangedFiles lists the files that have changed since a base, which is what changed_files
	// gives. Nil: where that is used, evaluating fails.
	ChangedFiles func(base string, uncommitted bool) ([]string, error)

	// Origins names the steps whose results "item", "item.NAME", "params.NAME" and "vars.NAME" hold, if they
	// hold any: see [Env.Origin]. [Template.RenderPrompt] marks such values too.
	Origins map[string]string
}

// Origin returns the id of a step whose result the value holds, or "".
func (env Env) Origin(v *Value) string {
	for r := range v.refs {
		if id := env.origin(r); id != "" {
			return id
		}
	}
	return ""
}

func (env Env) origin(r ref) string {
	switch {
	case (r.root == "steps" || r.root == previous) && r.field != "status":
		return r.name
	case r.root == loopState && env.Loop != nil:
		return env.Loop.origins[r.name]
	case r.root == "item" && r.name != "":
		return env.Origins["item."+r.name]
	case r.root == "item":
		return env.Origins["item"]
	case r.root == "params" || r.root == "vars":
		return env.Origins[r.root+"."+r.name]
	}
	return ""
}

// LoopEnv holds the values of loop.index, loop.previous and loop.state.
type LoopEnv struct {
	Index int // of the iteration, from 1
	// Previous holds the results of the last iteration by step id: that of the
	// looped step itself and those of steps of its own. A step that has none,
	// such as in the first iteration, has an empty output and no JSON.
	Previous map[string]StepResult

	State   map[string]any    `json:",omitempty"` // see [Loop.StartState] and [Loop.NextState]
	origins map[string]string // the steps whose results State holds, by name
}

// StepResult is the result of a finished step.
type StepResult struct {
	Output string
	Status string
	JSON   any    // the output parsed, when it is JSON; else nil
	Error  string // why it failed or was skipped; else empty
	Reason string // what a person gave as the reason for a no; else empty
}

// Source returns the text as it stands in the file.
func (t *Template) Source() string {
	if t == nil {
		return ""
	}
	return t.source
}

// Steps lists the ids of the steps that t refers to, in order of appearance,
// without duplicates.
func (t *Template) Steps() []string { return stepIDs(t.refs) }

// outputsOf adds the ids of the steps whose output or json the references read.
func outputsOf(refs func(func(ref) bool), to map[string]bool) {
	for r := range refs {
		if r.root == "steps" && (r.field == "output" || r.field == "json") && !r.foreign {
			to[r.name] = true
		}
	}
}

func (t *Template) refs(yield func(ref) bool) {
	if t == nil {
		return
	}
	for _, p := range t.parts {
		if p.expr == nil {
			continue
		}
		for _, r := range p.expr.refs {
			if !yield(r) {
				return
			}
		}
	}
}

// Render returns the text with every expression replaced by its value: texts as
// they are, numbers and booleans in their JSON form, lists and mappings as
// compact JSON. A value that does not exist is an error, never an empty text.
// Errors quote the expression but no value.
func (t *Template) Render(env Env) (string, error) { return t.render(env, nil) }

// RenderPrompt returns the text like [Template.Render], with the results of steps
// marked: the output or JSON of a step is replaced by fence(id, text), and so is a
// text made of one, or an item or parameter that comes from one, unless it is short,
// on one line and without a <.
func (t *Template) RenderPrompt(env Env, fence func(step, text string) string) (string, error) {
	return t.render(env, fence)
}

func (t *Template) render(env Env, fence func(step, text string) string) (string, error) {
	if t == nil {
		return "", nil
	}
	if len(t.parts) == 1 && t.parts[0].expr == nil {
		return t.parts[0].text, nil
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		v, err := p.expr.eval(env)
		if err != nil {
			return "", fmt.Errorf("evaluating ${{ %s }}: %w", strings.TrimSpace(p.expr.source), err)
		}
		if v == nil {
			return "", fmt.Errorf("evaluating ${{ %s }}: %s", strings.TrimSpace(p.expr.source), p.expr.whyNil())
		}
		s, err := render(v)
		if err != nil {
			return "", fmt.Errorf("evaluating ${{ %s }}: %w", strings.TrimSpace(p.expr.source), err)
		}
		if fence != nil {
			if id := p.expr.shown(env, s); id != "" {
				s = fence(id, s)
			}
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// maxInline is the length up to which a text that an expression makes of a step's
// result is not fenced: a title, a path or a number within a sentence.
const maxInline = 200

// shown returns the id of the step whose result the expression's text shows, or "".
func (e *expression) shown(env Env, text string) string {
	inline := len(text) <= maxInline && !strings.ContainsAny(text, "<\n\r\u2028\u2029")
	for _, r := range e.refs {
		id, whole := env.origin(r), e.path && (r.root == "steps" || r.root == previous)
		if id != "" && text != "" && (whole || !inline) {
			return id
		}
	}
	return ""
}

// cut splits a source into texts and uncompiled expressions. If an expression has
// no end, unclosed is the offset of its start, else -1.
func cut(source string) (parts []part, unclosed int) {
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			parts = append(parts, part{text: text.String()})
			text.Reset()
		}
	}
	for at := 0; ; {
		i := strings.Index(source[at:], exprOpen)
		if i < 0 {
			text.WriteString(source[at:])
			flush()
			return parts, -1
		}
		i += at
		if i > at && source[i-1] == '$' {
			text.WriteString(source[at:i-1] + exprOpen)
			at = i + len(exprOpen)
			continue
		}
		text.WriteString(source[at:i])
		flush()
		begin := i + len(exprOpen)
		n := closing(source[begin:])
		if n < 0 {
			return parts, i
		}
		parts = append(parts, part{expr: &expression{source: source[begin : begin+n]}, at: begin})
		at = begin + n + len(exprClose)
	}
}

func hasExpression(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.expr != nil })
}

// single returns the expression if the text is one expression and blanks.
func single(parts []part) (part, bool) {
	var one part
	for _, p := range parts {
		switch {
		case p.expr != nil && one.expr == nil:
			one = p
		case p.expr != nil || strings.TrimSpace(p.text) != "":
			return part{}, false
		}
	}
	return one, one.expr != nil
}

// closing returns the offset of the }} that ends an expression, or -1. Braces of
// the expression itself, and whatever its strings and comments hold, do not count.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); {
		if n := skipQuoted(s[i:]); n != 0 {
			if n < 0 {
				return -1
			}
			i += n
			continue
		}
		switch {
		case s[i] == '{':
			depth++
		case s[i] == '}' && depth > 0:
			depth--
		case strings.HasPrefix(s[i:], exprClose):
			return i
		}
		i++
	}
	return -1
}

// skipQuoted returns the length of the string or comment at the start of s, 0
// if there is none, and -1 if it does not end.
func skipQuoted(s string) int {
	switch q := s[0]; {
	case q == '`':
		if i := strings.IndexByte(s[1:], '`'); i >= 0 {
			return i + 2
		}
		return -1
	case q == '"' || q == '\'':
		for i := 1; i < len(s); i++ {
			switch s[i] {
			case '\\':
				i++
			case q:
				return i + 1
			}
		}
		return -1
	case strings.HasPrefix(s, "/*"):
		if i := strings.Index(s[2:], "*/"); i >= 0 {
			return i + 4
		}
		return -1
	}
	return 0
}
