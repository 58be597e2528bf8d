package workflow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// nameFinder collects the names in an expression. Nodes are visited children
// first, so a parent marks the children it has handled.
type nameFinder struct {
	idents   []*ast.IdentifierNode
	members  []*ast.MemberNode // ROOT.name
	fields   map[*ast.MemberNode]string
	optional map[*ast.MemberNode]bool // ROOT.name?.field
	fieldOf  []*ast.MemberNode        // ROOT.name.field
	calls    []*ast.CallNode
	builtin  []*ast.BuiltinNode
	locals   []string
	handled  map[ast.Node]bool
}

func (f *nameFinder) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		f.idents = append(f.idents, n)
	case *ast.MemberNode:
		if rootOf(n.Node) != "" {
			if _, ok := n.Property.(*ast.StringNode); ok {
				f.handled[n.Node] = true
				f.members = append(f.members, n)
			}
		}
		if parent, ok := n.Node.(*ast.MemberNode); ok {
			if field, ok := n.Property.(*ast.StringNode); ok {
				f.fields[parent] = field.Value
				f.optional[parent] = n.Optional
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

// previous is the root of loop.previous.STEP, as if it were one name.
const previous = "loop.previous"

// loopState is the root of loop.state.NAME, as if it were one name.
const loopState = "loop.state"

var roots = []string{"params", "vars", "steps", "run", "env", "item", "loop"}

func isRoot(name string) bool { return slices.Contains(roots, name) }

// rootOf returns the name of the root that a node stands for, or "".
func rootOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if isRoot(n.Value) && n.Value != "item" {
			return n.Value
		}
	case *ast.MemberNode:
		name, ok := n.Property.(*ast.StringNode)
		switch {
		case !ok || rootOf(n.Node) != "loop":
		case name.Value == "previous":
			return previous
		case name.Value == "state":
			return loopState
		}
	}
	return ""
}

// checkNames turns what f found into references and errors.
func (c view) checkNames(e *expression, f *nameFinder, at func(ast.Node) int) {
	for _, n := range f.members {
		root, name := rootOf(n.Node), n.Property.(*ast.StringNode).Value
		r := ref{root: root, name: name, field: f.fields[n], at: at(n.Property)}
		if rootOf(n) == previous {
			if !f.handled[n] {
				e.fail(r.at, "loop.previous must be followed by a step", "such as loop.previous.draft.output")
			}
			continue
		}
		if rootOf(n) == loopState {
			if !f.handled[n] {
				e.fail(r.at, "loop.state must be followed by a name", "such as loop.state.NAME")
			}
			continue
		}
		if (root == "loop" || root == previous || root == loopState) && c.loop == nil {
			e.fail(at(n), "loop is only known in a step with loop, and in the steps of it", "")
			continue
		}
		if c.computing > 0 && root == "steps" {
			e.fail(at(n), "vars are computed before the first step, and see no results of steps", "compute it in a step, with value")
			continue
		}
		if !c.known(root, name) {
			e.fail(r.at, "unknown "+nounOf[root]+" "+quote(name), c.suggest(root, name))
			continue
		}
		if (root == "steps" || root == previous) && !slices.Contains(stepFields, r.field) {
			if r.field == "" {
				e.fail(r.at, fmt.Sprintf("%s.%s is not a value", root, name), "use its .output, .json, .status, .error or .reason")
				continue
			}
			hint := c.suggester.didYouMean(r.field, stepFields)
			if hint == "" {
				hint = "a step has output, json, status, error and reason"
			}
			e.fail(at(fieldNode(f, n)), fmt.Sprintf("unknown field %s of step %s", quote(r.field), name), hint)
			continue
		}
		r.foreign = root == "steps" && c.foreign(name)
		r.optional = root == "steps" && (f.optional[n] || always(r.field))
		e.refs = append(e.refs, r)
	}
	for _, n := range f.idents {
		switch {
		case f.handled[n] || slices.Contains(f.locals, n.Value):
		case c.named.has(n.Value):
			e.refs = append(e.refs, ref{root: "item", name: n.Value, at: at(n)})
		case n.Value == "item" && c.item:
			e.refs = append(e.refs, ref{root: "item", at: at(n)})
		case n.Value == "item":
			e.fail(at(n), "item is only known in a step with foreach, and in the steps of it", "")
		case isRoot(n.Value):
			e.fail(at(n), fmt.Sprintf("%s must be followed by a name", n.Value), "such as "+exampleOf[n.Value])
		default:
			hint := c.suggester.didYouMean(n.Value, roots)
			if hint == "" {
				hint = "an expression sees " + c.visible() + "; texts need quotes"
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
		} else if callee.Value == changedFiles {
			e.checkChangesCall(at(callee), len(n.Arguments))
		}
	}
	for _, name := range f.locals {
		if strings.HasPrefix(name, "$") || isRoot(name) || c.named.has(name) { // $ is how the sandbox names its own
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
	nounOf    = map[string]string{"params": "parameter", "vars": "var", "steps": "step", "env": "environment variable", "run": "field of run", "loop": "field of loop", previous: "step", loopState: "name in the state of the loop"}
	exampleOf = map[string]string{"params": "params.path", "vars": "vars.NAME", "steps": "steps.lint.output", "env": "env.USER", "run": "run.id", "loop": "loop.index"}
)

// visible returns the names that an expression sees, as text.
func (c view) visible() string {
	names := []string{"params"}
	if len(c.vars) > 0 {
		names = append(names, "vars")
	}
	if c.computing == 0 {
		names = append(names, "steps")
	}
	names = append(names, "run", "env")
	if c.item {
		names = append(names, "item")
	}
	if c.loop != nil {
		names = append(names, "loop")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func (c view) suggest(root, name string) string {
	if _, later := c.vars[name]; root == "vars" && later {
		return "a var sees those before it"
	}
	if hint := c.suggester.didYouMean(name, c.namesOf(root)); hint != "" {
		return hint
	}
	switch {
	case root == "loop":
		return "loop has index, previous and state"
	case root == loopState && len(c.loop.states) == 0:
		return "give it a first and a next value under state of the loop"
	case root == previous || root == loopState:
		return "known: " + list(c.namesOf(root))
	case root == "run":
		return "run has only id"
	case root == "env":
		return "allowed: " + list(c.names[root])
	case root == "params" && len(c.names[root]) == 0:
		return "declare it under params"
	case root == "vars" && len(c.names[root]) == 0:
		return "compute it under vars"
	case root == "params" || root == "vars":
		return "known: " + list(c.names[root])
	}
	return ""
}

// fieldNode returns the node of the field that the expression reads from n.
func fieldNode(f *nameFinder, n *ast.MemberNode) ast.Node {
	for _, m := range f.fieldOf {
		if m.Node == ast.Node(n) {
			return m.Property
		}
	}
	return n
}
