package workflow

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"
	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/jsontext"
)

// fetch returns a part of a value, or nil if there is none: the value may be a text
// where an object was expected, or a list may be shorter.
func fetch(args ...any) (part any, err error) {
	if args[0] == nil {
		return nil, nil
	}
	defer func() {
		if recover() != nil { // how the language says that there is no such part
			part, err = nil, nil
		}
	}()
	return member(args[0], args[1]), nil
}

// lenient returns n, a value for which the expression has a default, with parts that
// may be missing: see [fetch].
func lenient(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.ChainNode:
		n.Node = lenient(n.Node)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == membersName {
			n.Arguments[0] = lenient(n.Arguments[0])
		}
	case *ast.BinaryNode: // a ?? b ?? DEFAULT is (a ?? b) ?? DEFAULT
		if n.Operator == "??" {
			n.Right = lenient(n.Right)
		}
	case *ast.MemberNode:
		if !declared(n) {
			return call(fetchName, n, lenient(n.Node), n.Property)
		}
	}
	return n
}

// declared reports whether n is a name that every run has, such as steps.a.json.
func declared(n *ast.MemberNode) bool {
	if rootOf(n.Node) != "" {
		return true
	}
	parent, ok := n.Node.(*ast.MemberNode)
	root := ""
	if ok {
		root = rootOf(parent.Node)
	}
	return root == "steps" || root == previous
}

// need is a part of a step's JSON that an expression cannot do without.
type need struct {
	root, step string
	path       []string // keys, as far as they are fixed
	optional   bool     // it is an output that may be missing, and has no default
	at         int      // byte offset of the step's name in the expression
}

// needFinder collects needs.
type needFinder struct {
	spared map[*ast.MemberNode]bool // those with a default
	inner  map[*ast.MemberNode]bool // those that are the start of a longer one
	parts  []*ast.MemberNode
	chains map[*ast.ChainNode]bool // whether nothing may be missing there
	tested bool                    // whether the expression compares something with nil
}

// Visit implements [ast.Visitor].
func (f *needFinder) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		_, left := n.Left.(*ast.NilNode)
		_, right := n.Right.(*ast.NilNode)
		f.tested = f.tested || left || right
		switch n.Operator {
		case "??":
			f.spare(n.Left)
			f.allow(n.Left)
		case "==", "!=", "in":
			f.allow(n.Left)
			f.allow(n.Right)
		}
	case *ast.ChainNode:
		f.spare(n.Node)
		f.chains[n] = true
	case *ast.MemberNode:
		if inner, ok := n.Node.(*ast.MemberNode); ok {
			f.inner[inner] = true
		}
		f.parts = append(f.parts, n)
	}
}

func (f *needFinder) allow(n ast.Node) {
	if chain, ok := n.(*ast.ChainNode); ok {
		f.chains[chain] = false
	}
	if inner, ok := n.(*ast.BinaryNode); ok && inner.Operator == "??" { // it has a default too
		f.allow(inner.Right)
	}
}

// optionalStep returns the name of the step in steps.ID?.output, or in a longer chain
// that begins so.
func optionalStep(n ast.Node) *ast.StringNode {
	for {
		m, ok := n.(*ast.MemberNode)
		if !ok {
			return nil
		}
		step, ok := m.Node.(*ast.MemberNode)
		if !ok {
			return nil
		}
		if name, isText := step.Property.(*ast.StringNode); isText && rootOf(step.Node) == "steps" {
			field, _ := m.Property.(*ast.StringNode)
			if m.Optional && field != nil && (field.Value == "output" || field.Value == "json") {
				return name
			}
			return nil
		}
		n = step
	}
}

func (f *needFinder) spare(n ast.Node) {
	for {
		switch at := n.(type) {
		case *ast.ChainNode:
			n = at.Node
		case *ast.MemberNode:
			f.spared[at] = true
			n = at.Node
		case *ast.BinaryNode:
			if at.Operator != "??" {
				return
			}
			n = at.Right
		default:
			return
		}
	}
}

// needs returns the needs of an expression. One that looks at the status of a step, at
// loop.index or for nil knows what it does.
func (c view) needs(e *expression, tree *ast.Node, at func(ast.Node) int) []need {
	f := needFinder{spared: map[*ast.MemberNode]bool{}, inner: map[*ast.MemberNode]bool{}, chains: map[*ast.ChainNode]bool{}}
	ast.Walk(tree, &f)
	if f.tested {
		return nil
	}
	for _, r := range e.refs {
		if r.field == "status" || r.root == "loop" && r.name == "index" {
			return nil
		}
	}
	var all []need
	for n, needed := range f.chains {
		if name := optionalStep(n.Node); name != nil && needed {
			all = append(all, need{root: "steps", step: name.Value, at: at(name), optional: true})
		}
	}
	slices.SortFunc(all, func(a, b need) int { return a.at - b.at })
	for _, n := range f.parts {
		if f.inner[n] || f.spared[n] || n.Optional {
			continue
		}
		var path []string
		fixed := true
		for m := n; ; {
			inner, ok := m.Node.(*ast.MemberNode)
			if !ok || m.Optional {
				break
			}
			key, isText := m.Property.(*ast.StringNode)
			if root := rootOf(inner.Node); (root == "steps" || root == previous) && isText && key.Value == "json" {
				if name, ok := inner.Property.(*ast.StringNode); ok && len(path) > 0 || !fixed {
					all = append(all, need{root: root, step: name.Value, path: path, at: at(inner.Property)})
				}
				break
			}
			if isText {
				path = append([]string{key.Value}, path...)
			} else {
				path, fixed = nil, false
			}
			m = inner
		}
	}
	return all
}

// use is an expression of a file, to be checked once all steps are known.
type use struct {
	d      *draft // nil: the file's own
	v      view
	e      *expression
	n      *yaml.Node
	offset int
}

// missing reports the needs that a run may not meet: parts of the JSON of a step that
// may not have run, and parts that the step's schema does not have.
func (p *reader) missing() {
	for _, u := range p.uses {
		for _, need := range u.e.needs {
			if need.optional {
				p.failInside(u.n, u.offset+need.at, ErrExpression, fmt.Sprintf("step %s may fail or be skipped, and then there is no such value", quote(need.step)),
					"give a default: steps."+need.step+"?.output ?? DEFAULT")
				continue
			}
			if need.root == previous {
				p.failInside(u.n, u.offset+need.at, ErrExpression, "in the first iteration, loop.previous."+need.step+" has no json",
					"write .json?.NAME ?? DEFAULT, or look at loop.index first")
				continue
			}
			home := p.scope.home[need.step]
			if home == nil || u.v.foreign(need.step) {
				continue
			}
			of := home.draft(need.step)
			if of == nil {
				continue
			}
			if why := u.absent(of); why != "" {
				p.failInside(u.n, u.offset+need.at, ErrExpression, fmt.Sprintf("step %s %s, and then has no json", quote(need.step), why),
					"write .json?.NAME ?? DEFAULT, or look at its status first")
				continue
			}
			if name, known := lacks(of.resultSchema(), need.path); name != "" && of.Foreach == nil {
				hint := p.suggester.didYouMean(name, known)
				if hint == "" {
					hint = "it has " + list(known)
				}
				p.failInside(u.n, u.offset+need.at, ErrExpression, fmt.Sprintf("the json of step %s has no %s", quote(need.step), quote(name)), hint)
			}
		}
	}
}

// resultSchema returns the schema of what a step gives; nil if nothing is known of it.
func (d *draft) resultSchema() json.RawMessage {
	if d.Approval != nil {
		return d.Approval.Schema
	}
	if d.Value != nil {
		return d.Value.schema()
	}
	return d.Schema
}

func (l *level) draft(id string) *draft {
	for _, d := range l.drafts {
		if d.ID == id {
			return d
		}
	}
	return nil
}

// absent returns why a step may have no result where the expression is evaluated.
func (u use) absent(of *draft) string {
	if of.OnFailure == OnFailureContinue {
		return "may fail (on_failure: continue)"
	}
	// The step that waits for it: the one that the expression belongs to, or the one
	// around that on the level of the other step.
	waiter := u.d
	for waiter != nil && waiter.level != of.level {
		waiter = waiter.level.owner
	}
	switch {
	case waiter == nil || waiter == of: // evaluated when the steps have ended
		if of.skippable(map[*draft]bool{}) {
			return "may be skipped"
		}
	case of.Fallback == waiter.ID:
		return "has failed when its fallback runs"
	case waiter.waitsOn[of.ID].holds() != waitListed:
	case waiter.Join == JoinSettled:
		return "may have failed or been skipped (join: settled)"
	case waiter.Hurries():
		return "may not have ended (join)"
	}
	return ""
}

// skippable reports whether the step may be skipped though nothing fails.
func (d *draft) skippable(seen map[*draft]bool) bool {
	if d == nil || seen[d] {
		return false
	}
	seen[d] = true
	if d.When != nil && !d.When.constant() {
		return true
	}
	return slices.ContainsFunc(d.required(), func(of *draft) bool { return of.skippable(seen) })
}

// required returns the steps without each of which d does not start.
func (d *draft) required() []*draft {
	listed, read, _ := d.Waits()
	if d.Join != 0 {
		listed = nil
	}
	var all []*draft
	for _, id := range slices.Concat(listed, read) {
		if of := d.level.draft(id); of != nil {
			all = append(all, of)
		}
	}
	return all
}

// lacks returns the first key of a path that a schema rules out, and the keys that
// there are instead. It answers only for plain objects.
func lacks(schema []byte, path []string) (name string, known []string) {
	if len(schema) == 0 {
		return "", nil
	}
	doc, err := jsontext.Parse(string(schema), nil)
	if err != nil {
		return "", nil
	}
	for _, key := range path {
		m, ok := doc.(map[string]any)
		if !ok || m["type"] != "object" {
			return "", nil
		}
		for _, open := range []string{"$ref", "allOf", "anyOf", "oneOf", "if", "patternProperties"} {
			if m[open] != nil {
				return "", nil
			}
		}
		props, ok := m["properties"].(map[string]any)
		if extra, given := m["additionalProperties"]; !ok || given && extra != false {
			return "", nil
		}
		if doc, ok = props[key]; !ok {
			return key, sortedKeys(props)
		}
	}
	return "", nil
}
