package workflow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	yaml "go.yaml.in/yaml/v4"
)

// Statuses that an expression can see of a step.
const (
	seenCompleted = "completed"
	seenFailed    = "failed"
	seenSkipped   = "skipped"
	seenPending   = "pending"
)

// maxStatuses bounds the combinations of statuses that are tried for a condition.
const maxStatuses = 4096

// neverTrue reports the conditions of the steps of a level, and of those within
// them, that can never be true, given what a step can see of its dependencies, and
// of those of the steps around it, when the condition is evaluated. Call it after
// all of the file is read.
func (p *reader) neverTrue(l *level, v view) {
	for _, d := range l.drafts {
		if n := d.fields.given("when"); n != nil && d.When != nil && d.When.expr != nil && len(d.When.expr.errs) == 0 {
			p.checkCondition(d, v, n)
		}
		if d.body != nil {
			p.neverTrue(d.body, v)
		}
	}
}

// sight is a dependency as a step sees it.
type sight struct{ waits, dep *draft }

// checkCondition reports the condition of d if it can never be true.
func (p *reader) checkCondition(d *draft, v view, n *yaml.Node) {
	if !strings.Contains(d.When.expr.source, "status") {
		return
	}
	text, _ := v.rewrite(d.When.expr.source)
	tree, err := parser.ParseWithConfig(text, v.sandbox.config())
	if err != nil {
		return // it is reported
	}
	var ids []string // dependencies whose status it reads
	sights := map[string]sight{}
	ast.Walk(&tree.Node, statusVisitor(func(id string) {
		if s, ok := d.sees(id); ok && sights[id] != s {
			ids, sights[id] = append(ids, id), s
		}
	}))
	if len(ids) == 0 {
		return
	}
	seen := make(statuses, len(ids))
	tried := 0
	var possible func(i int) bool
	possible = func(i int) bool {
		if i < len(ids) {
			for _, status := range sights[ids[i]].statuses() {
				seen[ids[i]] = status
				if possible(i + 1) {
					return true
				}
			}
			return false
		}
		if tried++; tried > maxStatuses {
			return true // too many to try
		}
		if !canStart(seen, sights) {
			return false
		}
		value := seen.eval(tree.Node)
		return !value.known || value.v != false
	}
	if !possible(0) {
		p.never(d, n, ids, sights)
	}
}

// never reports a condition that can never be true.
func (p *reader) never(d *draft, n *yaml.Node, ids []string, sights map[string]sight) {
	id := ids[0]
	for _, other := range ids { // the one that can be helped
		if len(sights[other].statuses()) == 1 {
			id = other
			break
		}
	}
	s := sights[id]
	can := s.statuses()
	if len(can) == 1 {
		hint := fmt.Sprintf("let %s run after a failure with on_failure: continue on step %s", s.waits.of(), quote(id))
		hint += fmt.Sprintf(", or read it as steps.%s?.status", id)
		p.fail(n, ErrExpression, hint,
			"when of %s can never be true: %s only starts once step %s has %s", d.of(), s.waits.of(), quote(id), can[0])
		return
	}
	p.fail(n, ErrExpression, "", "when of %s can never be true: the status of step %s is one of %s here", d.of(), quote(id), strings.Join(can, ", "))
}

// sees returns the step with an id if d, or a step around d, waits for it.
func (d *draft) sees(id string) (sight, bool) {
	for ; d != nil; d = d.level.owner {
		if dep := d.level.find(id); dep != nil && slices.Contains(d.Dependencies, id) {
			return sight{d, dep}, true
		}
	}
	return sight{}, false
}

// statuses lists what the dependency's status can be when the step starts that
// waits for it.
func (s sight) statuses() []string {
	how := s.waits.waitsOn[s.dep.ID].holds()
	switch {
	case how == waitOptional, how == waitListed && s.waits.Join == JoinSettled:
		return []string{seenCompleted, seenFailed, seenSkipped}
	case how == waitListed && s.waits.Hurries():
		return []string{seenCompleted, seenFailed, seenSkipped, seenPending}
	case s.dep.OnFailure == OnFailureContinue:
		return []string{seenCompleted, seenFailed}
	}
	return []string{seenCompleted}
}

// met reports whether a status of the dependency lets the step start that waits for
// it.
func (s sight) met(status string) bool {
	if s.waits.waitsOn[s.dep.ID].holds() == waitOptional || s.waits.Join == JoinSettled {
		return true
	}
	return status == seenCompleted || status == seenFailed && s.dep.OnFailure == OnFailureContinue
}

// canStart reports whether with the given statuses enough dependencies can be met.
func canStart(seen statuses, sights map[string]sight) bool {
	unmet := map[*draft]int{}
	for id, status := range seen {
		if s := sights[id]; !s.met(status) {
			unmet[s.waits]++
		}
	}
	for d, n := range unmet {
		if listed, _, _ := d.Waits(); d.Hurries() && len(listed)-n < d.Join {
			return false
		}
	}
	return true
}

// find returns the step of the level with an id, or nil.
func (l *level) find(id string) *draft {
	if l.byID == nil {
		l.byID = make(map[string]*draft, len(l.drafts))
		for _, d := range l.drafts {
			if !d.twin {
				l.byID[d.ID] = d
			}
		}
	}
	return l.byID[id]
}

// statusVisitor is called with the id of each step whose status an expression reads.
type statusVisitor func(id string)

// Visit calls v for a node that is steps.ID.status.
func (v statusVisitor) Visit(node *ast.Node) {
	if id, ok := statusOf(*node); ok {
		v(id)
	}
}

// statusOf returns the id of the step whose status a node is.
func statusOf(n ast.Node) (id string, ok bool) {
	field, ok := n.(*ast.MemberNode)
	if !ok {
		return "", false
	}
	if name, ok := field.Property.(*ast.StringNode); !ok || name.Value != "status" {
		return "", false
	}
	step, ok := field.Node.(*ast.MemberNode)
	if !ok {
		return "", false
	}
	root, ok := step.Node.(*ast.IdentifierNode)
	if !ok || root.Value != "steps" {
		return "", false
	}
	name, ok := step.Property.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return name.Value, true
}

// statuses are those of steps by id.
type statuses map[string]string

// maybe is a value that may be known before the run. v is nil if it is not.
type maybe struct {
	known bool
	v     any
}

// eval returns the value of an expression as far as it follows from the statuses.
// What it does not understand is unknown.
func (s statuses) eval(n ast.Node) maybe {
	switch n := n.(type) {
	case *ast.BoolNode:
		return maybe{true, n.Value}
	case *ast.StringNode:
		return maybe{true, n.Value}
	case *ast.ChainNode:
		return s.eval(n.Node)
	case *ast.MemberNode:
		if id, ok := statusOf(n); ok {
			if status, known := s[id]; known {
				return maybe{true, status}
			}
		}
	case *ast.UnaryNode:
		if b, ok := s.eval(n.Node).v.(bool); ok && (n.Operator == "!" || n.Operator == "not") {
			return maybe{true, !b}
		}
	case *ast.ConditionalNode:
		switch cond := s.eval(n.Cond); {
		case cond.v == true:
			return s.eval(n.Exp1)
		case cond.v == false:
			return s.eval(n.Exp2)
		}
		if a, b := s.eval(n.Exp1), s.eval(n.Exp2); a.known && a == b {
			return a
		}
	case *ast.BinaryNode:
		return s.binary(n)
	}
	return maybe{}
}

func (s statuses) binary(n *ast.BinaryNode) maybe {
	a := s.eval(n.Left)
	if n.Operator == "in" {
		list, ok := n.Right.(*ast.ArrayNode)
		if !ok || !a.known {
			return maybe{}
		}
		unknown := false
		for _, e := range list.Nodes {
			b := s.eval(e)
			if b.known && b == a {
				return maybe{true, true}
			}
			unknown = unknown || !b.known
		}
		if unknown {
			return maybe{}
		}
		return maybe{true, false}
	}
	b := s.eval(n.Right)
	switch n.Operator {
	case "&&", "and":
		switch {
		case a.v == false || b.v == false:
			return maybe{true, false}
		case a.v == true && b.v == true:
			return maybe{true, true}
		}
	case "||", "or":
		switch {
		case a.v == true || b.v == true:
			return maybe{true, true}
		case a.v == false && b.v == false:
			return maybe{true, false}
		}
	case "==", "!=":
		if a.known && b.known {
			return maybe{true, (a.v == b.v) == (n.Operator == "==")}
		}
	}
	return maybe{}
}
