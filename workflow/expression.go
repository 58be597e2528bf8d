package workflow

import (
	"errors"
	"fmt"
	"reflect"
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
	typ     string            // as the type of a parameter; empty if only known at run time
	params  map[string]string // type by name, of the params in refs
	errs    []exprError
	needs   []need
	changes bool // it lists changed files
}

// ref is a name an expression uses: params.name, steps.name.field, and so on.
type ref struct {
	root, name, field string
	at                int  // byte offset of name in the expression
	foreign           bool // a step of another file, which the step runs
	optional          bool // it may be missing: steps.ID?.output
}

// exprError is a mistake at a byte offset of an expression.
type exprError struct {
	at            int
	message, hint string
}

var stepFields = []string{"output", "json", "status", "error", "reason"}

// always reports whether a step has a field also if it did not complete.
func always(field string) bool { return field == "error" || field == "reason" }

func (c view) compile(source string) *expression {
	key := compiled{c, source}
	if e, ok := c.done[key]; ok {
		return e
	}
	e := &expression{source: source}
	c.done[key] = e
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

// asPath reports whether e is only a known name, and fills in e if so. Most
// expressions are, and they need neither compilation nor a virtual machine.
func (c view) asPath(e *expression) bool {
	text := strings.TrimSpace(e.source)
	start := strings.Index(e.source, text)
	if text == "item" && c.item {
		e.refs, e.path = []ref{{root: "item", at: start}}, true
		return true
	}
	if c.named.has(text) {
		e.refs, e.path = []ref{{root: "item", name: text, at: start}}, true
		return true
	}
	root, name, _ := strings.Cut(text, ".")
	if rest, ok := strings.CutPrefix(text, previous+"."); ok {
		root, name = previous, rest
	}
	if rest, ok := strings.CutPrefix(text, loopState+"."); ok {
		root, name = loopState, rest
	}
	r := ref{root: root, name: name, at: start + len(root) + 1}
	if root == "steps" || root == previous {
		r.name, r.field, _ = strings.Cut(name, ".")
		if !slices.Contains(stepFields, r.field) {
			return false
		}
	}
	if !c.known(r.root, r.name) || rootOfPath(r) {
		return false
	}
	r.foreign = root == "steps" && c.foreign(r.name)
	r.optional = root == "steps" && always(r.field) // there is one if the step did not complete
	e.refs, e.path = []ref{r}, true
	switch {
	case root == "params":
		e.typ = c.params[r.name]
	case root == "vars":
		e.typ = c.vars[r.name].known()
	case root == "loop":
		e.typ = "integer"
	case root != loopState && r.field != "json":
		e.typ = "string"
	}
	return true
}

// rootOfPath reports whether r is the start of a longer path.
func rootOfPath(r ref) bool { return r.root == "loop" && (r.name == "previous" || r.name == "state") }

func (c view) compileProgram(e *expression) {
	text, shifts := c.rewrite(e.source)
	config := c.sandbox.config()
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		e.failAt(err, text, shifts)
		return
	}
	names := nameFinder{handled: map[ast.Node]bool{}, fields: map[*ast.MemberNode]string{}, optional: map[*ast.MemberNode]bool{}}
	ast.Walk(&tree.Node, &names)
	c.checkNames(e, &names, func(n ast.Node) int { return shifts.source(text, n.Location().From) })
	if len(e.errs) > 0 {
		return
	}
	config.WithEnv(c.environment(e))
	typ, err := checker.Check(tree, config)
	if err != nil {
		e.failAt(err, text, shifts)
		return
	}
	e.typ = typeName(typ)
	e.needs = c.needs(e, &tree.Node, func(n ast.Node) int { return shifts.source(text, n.Location().From) })
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
		e.fail(shifts.source(text, located.From), plainTypes(located.Message), "")
		return
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	e.fail(0, plainTypes(message), "")
}

// environment returns the types of the names that e uses, and of no others, so
// that checking one expression costs the same in a file of any size.
func (c view) environment(e *expression) types.Map {
	params, vars, steps, env, before, state := types.Map{}, types.Map{}, types.Map{}, types.Map{}, types.Map{}, types.Map{}
	for _, r := range e.refs {
		switch r.root {
		case "params":
			if e.params == nil {
				e.params = map[string]string{}
			}
			e.params[r.name] = c.params[r.name]
			params[r.name] = exprType(c.params[r.name])
		case "vars":
			vars[r.name] = exprType(c.vars[r.name].known())
		case "steps":
			if r.optional || steps[r.name] != nil && !steps[r.name].Equal(resultType) {
				steps[r.name] = optionalType
			} else {
				steps[r.name] = resultType
			}
		case loopState:
			state[r.name] = types.Any
		case previous:
			before[r.name] = resultType
		case "env":
			env[r.name] = types.String
		}
	}
	names := types.Map{"params": params, "vars": vars, "steps": steps, "env": env, "run": types.Map{"id": types.String}, "item": types.Any,
		"loop": types.Map{"index": types.Int, "previous": before, "state": state}, budgetName: types.Any, changesName: types.Any}
	for _, r := range e.refs {
		if r.root == "item" && r.name != "" {
			names[r.name] = types.Any
		}
	}
	return names
}

var (
	resultType   = types.Map{"output": types.String, "status": types.String, "json": types.Any, "error": types.String, "reason": types.String}
	optionalType = types.Map{"output": types.Any, "status": types.String, "json": types.Any, "error": types.String, "reason": types.String}
)

// typeName returns the type of a parameter that holds values of type t, or an
// empty string if the type is only known at run time.
func typeName(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	case reflect.Map:
		return "object"
	}
	return ""
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
