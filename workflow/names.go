package workflow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

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
