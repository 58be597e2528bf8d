package workflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
