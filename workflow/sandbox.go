package workflow

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"
)

// The language bounds neither the length of texts nor the number of
// iterations, so an expression of a few words could ask for any amount of
// either. Every iteration and every value that an expression makes is therefore
// charged to a budget; an evaluation that exceeds it stops with an error.
const (
	evalBudget = 64 << 20 // bytes one evaluation may make in all
	maxText    = 8 << 20  // bytes a function may return
	tickCost   = 64       // what an iteration costs, in bytes

	// Names that no file can use: undeclared names are refused.
	budgetName  = "$budget"
	spendName   = "$spend"
	tickName    = "$tick"
	scanName    = "$scan"
	valueName   = "$value"
	figureName  = "$figure"
	timesName   = "$times"
	fetchName   = "$fetch"
	membersName = "$members"
	literalName = "$literal"
)

// allowedBuiltins are the functions of the language that are safe: they do not
// read the clock, give the same answer every time, and make values no larger
// than a constant times what they are given.
var allowedBuiltins = map[string]bool{
	"all": true, "none": true, "any": true, "one": true, "filter": true, "map": true, "find": true,
	"findIndex": true, "findLast": true, "findLastIndex": true, "count": true, "sum": true, "groupBy": true,
	"sortBy": true, "reduce": true, "len": true, "abs": true, "ceil": true, "floor": true, "round": true,
	"trim": true, "trimPrefix": true, "trimSuffix": true, "upper": true, "lower": true, "split": true,
	"indexOf": true, "lastIndexOf": true, "hasPrefix": true, "hasSuffix": true,
	"mean": true, "median": true, "first": true, "last": true, "take": true,
	"reverse": true, "concat": true,
}

// sandbox holds what all expressions of a file share.
type sandbox struct {
	builtins  conf.FunctionsTable
	functions conf.FunctionsTable
}

func newSandbox() *sandbox {
	s := &sandbox{builtins: conf.FunctionsTable{}}
	for _, f := range builtin.Builtins {
		if allowedBuiltins[f.Name] {
			s.builtins[f.Name] = f
		}
	}
	c := &conf.Config{Functions: conf.FunctionsTable{}}
	for _, define := range []expr.Option{
		// These replace functions of the language whose results have no bound,
		// whose order is random, which change the digits of numbers, or whose errors
		// quote their argument.
		expr.Function("join", join, new(func([]any) string), new(func([]any, string) string), new(func([]string) string), new(func([]string, string) string)),
		expr.Function("replace", replace, new(func(string, string, string) string)),
		expr.Function("string", toText, new(func(any) string)),
		expr.Function("toJSON", toJSON, new(func(any) string)),
		expr.Function("keys", keys, new(func(any) []any)),
		expr.Function("int", toInt, new(func(any) int)),
		expr.Function("float", toFloat, new(func(any) float64)),
		expr.Function("fromJSON", fromJSON, new(func(string) any)),
		expr.Function("sort", sorted, new(func([]any) []any), new(func([]any, string) []any), new(func([]string) []any), new(func([]string, string) []any),
			new(func([]int) []any), new(func([]int, string) []any)),
		expr.Function("max", largest, new(func(any) any), new(func(...any) any)),
		expr.Function("min", smallest, new(func(any) any), new(func(...any) any)),
		expr.Function("flatten", flatten, new(func([]any) []any)),
		expr.Function("uniq", unique, new(func([]any) []any), new(func([]string) []any), new(func([]int) []any)),
		expr.Function(changedFiles, notCalled, new(func(string) []any), new(func(string, string) []any)), // see metering
		expr.Function(changedName, changed),
		expr.Function(spendName, spend),
		expr.Function(valueName, value),
		expr.Function(figureName, figure),
		expr.Function(timesName, times),
		expr.Function(fetchName, fetch),
		expr.Function(membersName, membersOf),
		expr.Function(literalName, literal),
		expr.Function(tickName, tick),
		expr.Function(scanName, scan),
	} {
		define(c)
	}
	s.functions = c.Functions
	return s
}

// config returns a new configuration. Compiling writes to it, but only reads the
// tables.
func (s *sandbox) config() *conf.Config {
	// Folding constants would evaluate parts of an expression without a budget.
	return &conf.Config{Optimize: false, ShortCircuit: true, MaxNodes: maxExprNodes, Builtins: s.builtins, Functions: s.functions}
}

func (s *sandbox) defines(name string) bool {
	_, ok := s.functions[name]
	return ok && !strings.HasPrefix(name, "$")
}

func (s *sandbox) names() []string {
	names := slices.Collect(maps.Keys(allowedBuiltins))
	for name := range s.functions {
		if s.defines(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// metering is a visitor that adds charges to an expression: for its iterations,
// for the values it makes, and for the texts and lists that its functions and
// comparisons scan.
type metering struct{}

// Visit implements [ast.Visitor].
func (metering) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		n.Node = metered(tickName, n.Node)
	case *ast.BinaryNode:
		switch n.Operator {
		case "??":
			n.Left = lenient(n.Left)
		case "==", "!=", "in":
			n.Left, n.Right = charged(valueName, n.Left), charged(valueName, n.Right)
		case "<", ">", "<=", ">=":
			n.Left, n.Right = charged(figureName, n.Left), charged(figureName, n.Right)
		case "contains", "startsWith", "endsWith", "matches":
			n.Left, n.Right = scanned(n.Left), scanned(n.Right)
		case "+", "-", "*", "/", "%", "**", "^", "..":
			n.Left, n.Right = charged(figureName, n.Left), charged(figureName, n.Right)
			switch n.Operator {
			case "+", "..":
				*node = metered(spendName, n)
			case "*":
				*node = call(timesName, n, n.Left, n.Right)
			}
		}
	case *ast.ChainNode:
		n.Node = lenient(n.Node)
	case *ast.UnaryNode:
		if n.Operator == "-" || n.Operator == "+" {
			n.Node = charged(figureName, n.Node)
		}
	case *ast.MemberNode:
		n.Node = opened(n.Node)
		n.Property = charged(figureName, n.Property)
	case *ast.MapNode:
		var members []ast.Node
		for _, pair := range n.Pairs {
			if p, ok := pair.(*ast.PairNode); ok {
				members = append(members, p.Key, p.Value)
			}
		}
		*node = call(literalName, n, members...)
	case *ast.SliceNode:
		if n.From != nil {
			n.From = charged(figureName, n.From)
		}
		if n.To != nil {
			n.To = charged(figureName, n.To)
		}
	case *ast.BuiltinNode:
		for i, arg := range n.Arguments {
			predicate, ok := arg.(*ast.PredicateNode)
			switch {
			case ok && (n.Name == "sum" || n.Name == "sortBy"):
				predicate.Node = charged(figureName, predicate.Node)
			case passesOn[n.Name] && i == 0 || n.Name == "concat":
				n.Arguments[i] = scanned(arg)
			default:
				n.Arguments[i] = charged(figureName, arg)
			}
		}
		*node = metered(spendName, n)
	case *ast.CallNode:
		for i, arg := range n.Arguments {
			n.Arguments[i] = scanned(arg)
		}
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok && callee.Value == changedFiles {
			list := &ast.IdentifierNode{Value: changesName}
			list.SetLocation(n.Location())
			*node = metered(spendName, call(changedName, n, append([]ast.Node{list}, n.Arguments...)...))
			return
		}
		*node = metered(spendName, n)
	}
}

// passesOn are the functions that return what their first argument holds, whose
// numbers therefore keep their digits.
var passesOn = map[string]bool{
	"filter": true, "map": true, "find": true, "findLast": true, "findIndex": true, "findLastIndex": true, "groupBy": true,
	"sortBy": true, "reduce": true, "all": true, "none": true, "any": true, "one": true, "count": true,
	"first": true, "last": true, "take": true, "reverse": true,
}

// scanned returns n with the charge for scanning its value. It does not change
// literals, which are short, and the bodies of predicates, which are not values.
func scanned(n ast.Node) ast.Node { return charged(scanName, n) }

func charged(function string, n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.IntegerNode:
		if int64(n.Value) <= maxExact && int64(n.Value) >= -maxExact {
			return n
		}
	case *ast.PredicateNode, *ast.StringNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode:
		return n
	}
	return metered(function, n)
}

func metered(function string, n ast.Node) ast.Node {
	budget := &ast.IdentifierNode{Value: budgetName}
	budget.SetLocation(n.Location())
	return call(function, n, budget, n)
}

// call returns a call of a function that stands for n and has its type.
func call(function string, n ast.Node, args ...ast.Node) ast.Node {
	callee := &ast.IdentifierNode{Value: function}
	call := &ast.CallNode{Callee: callee, Arguments: args}
	callee.SetLocation(n.Location())
	call.SetLocation(n.Location())
	call.SetNature(*n.Nature())
	return call
}

var (
	errBudget = errors.New("the expression produces too much data; simplify it")
	errText   = errors.New("the expression produces a text that is too long")
)

func pay(budget any, cost int) error {
	left, ok := budget.(*int)
	if !ok || *left < cost {
		return errBudget
	}
	*left -= cost
	return nil
}

// tick charges for one iteration. Its arguments are the budget and the value of
// the iteration, which it returns.
func tick(args ...any) (any, error) { return args[1], pay(args[0], tickCost) }

// scan charges for scanning a value, far less than for making it. Its
// arguments are the budget and the value, which it returns.
func scan(args ...any) (any, error) {
	cost := 1
	switch v := args[1].(type) {
	case string:
		cost += len(v) / 16
	case []any:
		cost += len(v)
	}
	return args[1], pay(args[0], cost)
}

// value charges like [scan] and returns the value to compare with: see [operand].
func value(args ...any) (any, error) {
	v, err := scan(args...)
	return operand(v), err
}

// figure charges like [scan] and returns the value to calculate with. A number that
// has no exact one is an error.
func figure(args ...any) (any, error) {
	v, err := scan(args...)
	v = operand(v)
	if n, ok := v.(int); err == nil && (hasNumber(v) || ok && (int64(n) > maxExact || int64(n) < -maxExact)) {
		err = errDigits
	}
	return v, err
}

// maxExact is the largest integer to calculate with: beyond it, sums overflow and
// fractions are lost without a word.
const maxExact = 1 << 53

// times multiplies without overflow.
func times(args ...any) (any, error) {
	a, ok1 := args[0].(int)
	b, ok2 := args[1].(int)
	if ok1 && ok2 && a != 0 && b != 0 && (a*b/b != a) {
		return nil, errDigits
	}
	return runtime.Multiply(args[0], args[1]), nil
}

// spend charges for making a value. Its arguments are the budget and the value, which it returns.
func spend(args ...any) (any, error) {
	cost := 0
	switch v := args[1].(type) {
	case string:
		cost = len(v)
	case []any:
		cost = 16 * len(v)
	case []int:
		cost = 8 * len(v)
	case []string:
		cost = 16 * len(v)
	case Object:
		cost = 64 * len(v.keys)
	case map[string]any:
		cost = 48 * len(v)
	case map[any][]any:
		cost = 64 * len(v)
	}
	return args[1], pay(args[0], cost)
}
