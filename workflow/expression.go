package workflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	exprcompiler "github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

const (
	maxExprBytes = 4096
	maxExprNodes = 500
)

// expression is the text between ${{ and }}, ready to be evaluated. The same
// text is compiled once per workflow.
type expression struct {
	source  string
	refs    []ref
	path    bool // the whole expression is refs[0]: no program is needed
	program *vm.Program
	params  map[string]string // type by name, of the params in refs
	errs    []exprError
}

// ref is a name an expression uses: params.name, steps.name.field, and so on.
type ref struct {
	root, name, field string
	at                int // byte offset of name in the expression
}

// exprError is a mistake at a byte offset of an expression.
type exprError struct {
	at            int
	message, hint string
}

// scope is what the names in expressions can mean. It compiles each distinct
// expression once.
type scope struct {
	params    map[string]string   // type by name
	steps     map[string]struct{} // ids
	env       map[string]struct{} // allowed variables
	names     map[string][]string // by root, for suggestions
	suggester *suggester

	sandbox *sandbox
	done    map[string]*expression
}

var stepFields = []string{"output", "json", "status"}

func (c *scope) compile(source string) *expression {
	if e, ok := c.done[source]; ok {
		return e
	}
	e := &expression{source: source}
	c.done[source] = e
	switch {
	case strings.TrimSpace(source) == "":
		e.fail(0, "the expression is empty", "")
	case len(source) > maxExprBytes:
		e.fail(0, fmt.Sprintf("the expression is longer than %d bytes", maxExprBytes), "")
	case c.asPath(e):
	default:
		c.compileProgram(e)
	}
	return e
}

func (e *expression) fail(at int, message, hint string) {
	e.errs = append(e.errs, exprError{at, message, hint})
}

// known reports whether root.name exists.
func (c *scope) known(root, name string) bool {
	ok := false
	switch root {
	case "params":
		_, ok = c.params[name]
	case "steps":
		_, ok = c.steps[name]
	case "env":
		_, ok = c.env[name]
	case "run":
		ok = name == "id"
	}
	return ok
}

// asPath recognises the expressions that are nothing but a known name. Most
// are, and they cost neither a compilation nor a virtual machine.
func (c *scope) asPath(e *expression) bool {
	text := strings.TrimSpace(e.source)
	root, name, _ := strings.Cut(text, ".")
	r := ref{root: root, name: name, at: strings.Index(e.source, text) + len(root) + 1}
	if root == "steps" {
		r.name, r.field, _ = strings.Cut(name, ".")
		if !slices.Contains(stepFields, r.field) {
			return false
		}
	}
	if !c.known(r.root, r.name) {
		return false
	}
	e.refs, e.path = []ref{r}, true
	return true
}

func (c *scope) compileProgram(e *expression) {
	text, shifts := c.undash(e.source)
	config := c.sandbox.config()
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		e.failAt(err, text, shifts)
		return
	}
	names := nameFinder{handled: map[ast.Node]bool{}, fields: map[*ast.MemberNode]string{}}
	ast.Walk(&tree.Node, &names)
	c.checkNames(e, &names, func(n ast.Node) int { return shifts.source(text, n.Location().From) })
	if len(e.errs) > 0 {
		return
	}
	config.WithEnv(c.environment(e))
	if _, err := checker.Check(tree, config); err != nil {
		e.failAt(err, text, shifts)
		return
	}
	meter := metering{}
	ast.Walk(&tree.Node, meter)
	if _, err := checker.Check(tree, config); err != nil {
		e.failAt(err, text, shifts)
		return
	}
	if e.program, err = exprcompiler.Compile(tree, config); err != nil {
		e.failAt(err, text, shifts)
	}
}

// failAt reports an error of the expression language.
func (e *expression) failAt(err error, text string, shifts shifts) {
	if located, ok := errors.AsType[*file.Error](err); ok {
		e.fail(shifts.source(text, located.From), strings.TrimSpace(located.Message), "")
		return
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	e.fail(0, message, "")
}

// environment is the type of what e sees: only the names it uses, so that
// checking one expression costs the same in a file of any size.
func (c *scope) environment(e *expression) types.Map {
	params, steps, env := types.Map{}, types.Map{}, types.Map{}
	for _, r := range e.refs {
		switch r.root {
		case "params":
			if e.params == nil {
				e.params = map[string]string{}
			}
			e.params[r.name] = c.params[r.name]
			params[r.name] = exprType(c.params[r.name])
		case "steps":
			steps[r.name] = types.Map{"output": types.String, "status": types.String, "json": types.Any}
		case "env":
			env[r.name] = types.String
		}
	}
	return types.Map{"params": params, "steps": steps, "env": env, "run": types.Map{"id": types.String}, budgetName: types.Any}
}

func exprType(name string) types.Type {
	switch name {
	case "string":
		return types.String
	case "integer":
		return types.Int
	case "number":
		return types.Float64
	case "boolean":
		return types.Bool
	case "array":
		return types.Array(types.Any)
	}
	return types.Any
}

// nameFinder collects the names in an expression. Nodes are visited children
// first, so a parent marks those it has made sense of.
type nameFinder struct {
	idents  []*ast.IdentifierNode
	members []*ast.MemberNode // ROOT.name
	fields  map[*ast.MemberNode]string
	fieldOf []*ast.MemberNode // ROOT.name.field
	calls   []*ast.CallNode
	builtin []*ast.BuiltinNode
	locals  []string
	handled map[ast.Node]bool
}

func (f *nameFinder) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		f.idents = append(f.idents, n)
	case *ast.MemberNode:
		if root, ok := n.Node.(*ast.IdentifierNode); ok && isRoot(root.Value) {
			if _, ok := n.Property.(*ast.StringNode); ok {
				f.handled[root] = true
				f.members = append(f.members, n)
			}
		}
		if parent, ok := n.Node.(*ast.MemberNode); ok {
			if field, ok := n.Property.(*ast.StringNode); ok {
				f.fields[parent] = field.Value
				f.fieldOf = append(f.fieldOf, n)
			}
		}
	case *ast.CallNode:
		if _, ok := n.Callee.(*ast.IdentifierNode); ok {
			f.handled[n.Callee] = true
		}
		f.calls = append(f.calls, n)
	case *ast.BuiltinNode:
		f.builtin = append(f.builtin, n)
	case *ast.VariableDeclaratorNode:
		f.locals = append(f.locals, n.Name)
	}
}

func isRoot(name string) bool {
	return name == "params" || name == "steps" || name == "run" || name == "env"
}

var roots = []string{"params", "steps", "run", "env"}

// checkNames turns what f found into references and errors.
func (c *scope) checkNames(e *expression, f *nameFinder, at func(ast.Node) int) {
	for _, n := range f.members {
		root, name := n.Node.(*ast.IdentifierNode).Value, n.Property.(*ast.StringNode).Value
		r := ref{root: root, name: name, field: f.fields[n], at: at(n.Property)}
		if !c.known(root, name) {
			e.fail(r.at, "unknown "+nounOf[root]+" "+quote(name), c.suggest(root, name))
			continue
		}
		if root == "steps" && !slices.Contains(stepFields, r.field) {
			if r.field == "" {
				e.fail(r.at, fmt.Sprintf("steps.%s is not a value", name), "use its .output, .json or .status")
				continue
			}
			hint := c.suggester.didYouMean(r.field, stepFields)
			if hint == "" {
				hint = "a step has output, json and status"
			}
			e.fail(at(fieldNode(f, n)), fmt.Sprintf("unknown field %s of step %s", quote(r.field), name), hint)
			continue
		}
		e.refs = append(e.refs, r)
	}
	for _, n := range f.idents {
		switch {
		case f.handled[n] || slices.Contains(f.locals, n.Value):
		case isRoot(n.Value):
			e.fail(at(n), fmt.Sprintf("%s must be followed by a name", n.Value), "such as "+exampleOf[n.Value])
		case n.Value == "item":
			e.fail(at(n), "item is not supported by this version", "")
		default:
			hint := c.suggester.didYouMean(n.Value, roots)
			if hint == "" {
				hint = "an expression sees params, steps, run and env; texts need quotes"
			}
			e.fail(at(n), "unknown name "+quote(n.Value), hint)
		}
	}
	for _, n := range f.calls {
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			e.fail(at(n), "values have no methods", "functions are called by their name, such as trim(x)")
		} else if !c.sandbox.defines(callee.Value) {
			e.fail(at(callee), "unknown function "+quote(callee.Value), c.suggester.didYouMean(callee.Value, c.sandbox.names()))
		}
	}
	for _, name := range f.locals {
		if strings.HasPrefix(name, "$") || isRoot(name) { // $ is how the sandbox names its own
			e.fail(0, "a variable cannot be called "+quote(name), "")
		}
	}
	for _, n := range f.builtin {
		if !allowedBuiltins[n.Name] {
			e.fail(at(n), "function "+quote(n.Name)+" is not available in workflows", "")
		}
	}
}

var (
	nounOf    = map[string]string{"params": "parameter", "steps": "step", "env": "environment variable", "run": "field of run"}
	exampleOf = map[string]string{"params": "params.path", "steps": "steps.lint.output", "env": "env.USER", "run": "run.id"}
)

func (c *scope) suggest(root, name string) string {
	if hint := c.suggester.didYouMean(name, c.names[root]); hint != "" {
		return hint
	}
	switch {
	case root == "run":
		return "run has only id"
	case root == "env":
		return "allowed are " + list(c.names[root])
	case root == "params" && len(c.names[root]) == 0:
		return "declare it under params"
	case root == "params":
		return "known are " + list(c.names[root])
	}
	return ""
}

// fieldNode returns the name of the field that is taken of n.
func fieldNode(f *nameFinder, n *ast.MemberNode) ast.Node {
	for _, m := range f.fieldOf {
		if m.Node == ast.Node(n) {
			return m.Property
		}
	}
	return n
}

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
	for i := len(s) - 1; i >= 0; i-- {
		if s[i].from <= at {
			return s[i].to + at - s[i].from
		}
	}
	return at
}

// undash rewrites names with dashes to a form the language knows, steps.a-b to
// steps["a-b"], leaving strings, comments and subtractions alone.
func (c *scope) undash(source string) (string, shifts) {
	if !strings.Contains(source, "-") {
		return source, nil
	}
	var b strings.Builder
	var moved shifts
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
			b.WriteString(source[i : i+n])
			i += n
			continue
		}
		root := source[i : i+n]
		member := isMember(source[:i])
		b.WriteString(root)
		i += n
		if member || root != "steps" && root != "params" {
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
		name := c.dashedName(root, source[begin:])
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

// isMember reports whether what follows before is a field of something.
func isMember(before string) bool {
	before = strings.TrimRight(before, " \t\r\n")
	return strings.HasSuffix(before, ".") && !strings.HasSuffix(before, "..")
}

// dashedName returns the name at the start of s: the longest known one that ends
// at a dash or at the end of the word. Of an unknown name it returns what was
// probably meant to be one.
func (c *scope) dashedName(root, s string) string {
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
	if root == "steps" && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "?.")) ||
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
