package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// The language bounds neither the length of texts nor the number of
// iterations, so an expression of a few words could ask for any amount of
// either. Every iteration and every value an expression makes is therefore paid
// from a budget; what runs out of it stops with an error.
const (
	evalBudget = 64 << 20 // bytes one evaluation may make in all
	maxText    = 8 << 20  // bytes a function may return
	tickCost   = 64       // what an iteration costs, in bytes

	// Names no file can use: undeclared names are refused.
	budgetName = "$budget"
	spendName  = "$spend"
	tickName   = "$tick"
	scanName   = "$scan"
)

// allowedBuiltins are the functions of the language that are safe: they do not
// read the clock, give the same answer every time, and make values no larger
// than a constant times what they are given.
var allowedBuiltins = map[string]bool{
	"all": true, "none": true, "any": true, "one": true, "filter": true, "map": true, "find": true,
	"findIndex": true, "findLast": true, "findLastIndex": true, "count": true, "sum": true, "groupBy": true,
	"sortBy": true, "reduce": true, "len": true, "abs": true, "ceil": true, "floor": true, "round": true,
	"trim": true, "trimPrefix": true, "trimSuffix": true, "upper": true, "lower": true, "split": true,
	"indexOf": true, "lastIndexOf": true, "hasPrefix": true, "hasSuffix": true, "max": true, "min": true,
	"mean": true, "median": true, "fromJSON": true, "first": true, "last": true, "take": true,
	"reverse": true, "concat": true, "sort": true,
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
		// whose order is random, or whose errors quote their argument.
		expr.Function("join", join, new(func([]any) string), new(func([]any, string) string), new(func([]string) string), new(func([]string, string) string)),
		expr.Function("replace", replace, new(func(string, string, string) string)),
		expr.Function("string", toText, new(func(any) string)),
		expr.Function("toJSON", toJSON, new(func(any) string)),
		expr.Function("keys", keys, new(func(map[string]any) []any)),
		expr.Function("int", toInt, new(func(any) int)),
		expr.Function("float", toFloat, new(func(any) float64)),
		expr.Function(spendName, spend),
		expr.Function(tickName, tick),
		expr.Function(scanName, scan),
	} {
		define(c)
	}
	s.functions = c.Functions
	return s
}

// config is a fresh configuration: compiling writes to it, the tables are only read.
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

// metering makes an expression pay for its iterations, for the values it makes
// and for the texts and lists it has functions and comparisons look through.
type metering struct{}

// Visit implements [ast.Visitor].
func (metering) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		n.Node = metered(tickName, n.Node)
	case *ast.BinaryNode:
		switch n.Operator {
		case "+", "..":
			*node = metered(spendName, n)
		case "==", "!=", "<", ">", "<=", ">=", "in", "contains", "startsWith", "endsWith", "matches":
			n.Left, n.Right = scanned(n.Left), scanned(n.Right)
		}
	case *ast.BuiltinNode:
		for i, arg := range n.Arguments {
			n.Arguments[i] = scanned(arg)
		}
		*node = metered(spendName, n)
	case *ast.CallNode:
		for i, arg := range n.Arguments {
			n.Arguments[i] = scanned(arg)
		}
		*node = metered(spendName, n)
	}
}

// scanned leaves alone what is written out in the expression and so is short,
// and the bodies of predicates, which are not values.
func scanned(n ast.Node) ast.Node {
	switch n.(type) {
	case *ast.PredicateNode, *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode:
		return n
	}
	return metered(scanName, n)
}

func metered(function string, n ast.Node) ast.Node {
	callee, budget := &ast.IdentifierNode{Value: function}, &ast.IdentifierNode{Value: budgetName}
	call := &ast.CallNode{Callee: callee, Arguments: []ast.Node{budget, n}}
	for _, made := range []ast.Node{callee, budget, call} {
		made.SetLocation(n.Location())
	}
	call.SetNature(*n.Nature())
	return call
}

var (
	errBudget = errors.New("the expression makes too much data; simplify it")
	errText   = errors.New("the expression makes too long a text")
)

func pay(budget any, cost int) error {
	left, ok := budget.(*int)
	if !ok || *left < cost {
		return errBudget
	}
	*left -= cost
	return nil
}

// tick pays for one iteration. Its arguments are the budget and the value of
// the iteration, which it returns.
func tick(args ...any) (any, error) { return args[1], pay(args[0], tickCost) }

// scan pays for looking through a value, far less than for making it. Its
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

// spend pays for a value. Its arguments are the budget and the value, which it returns.
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
	case map[string]any:
		cost = 48 * len(v)
	case map[any][]any:
		cost = 64 * len(v)
	}
	return args[1], pay(args[0], cost)
}

// eval returns the value of e. Its errors do not quote values.
func (e *expression) eval(env Env) (any, error) {
	if e.path {
		return e.refs[0].value(env)
	}
	params, steps, vars := map[string]any{}, map[string]any{}, map[string]any{}
	for _, r := range e.refs {
		v, err := r.value(env)
		if err != nil {
			return nil, err
		}
		switch r.root {
		case "params":
			params[r.name] = asDeclared(e.params[r.name], v)
		case "steps":
			s := env.Steps[r.name]
			steps[r.name] = map[string]any{"output": s.Output, "status": s.Status, "json": s.JSON}
		case "env":
			vars[r.name] = v
		}
	}
	budget := evalBudget
	v, err := vm.Run(e.program, map[string]any{"params": params, "steps": steps, "env": vars, "run": env.Run, budgetName: &budget})
	if err == nil {
		return v, nil
	}
	if cause, ok := errors.AsType[*file.Error](err); ok {
		// The long form draws the expression, which the caller quotes anyway.
		return nil, errors.New(cut160(cause.Message))
	}
	return nil, errors.New(cut160(err.Error()))
}

func cut160(s string) string {
	if len(s) > 160 {
		return strings.ToValidUTF8(s[:160], "") + "…"
	}
	return s
}

func (r ref) value(env Env) (any, error) {
	switch r.root {
	case "params":
		if v, ok := env.Params[r.name]; ok {
			return v, nil
		}
		return nil, fmt.Errorf("parameter %s was not given a value", quote(r.name))
	case "run":
		if v, ok := env.Run[r.name]; ok {
			return v, nil
		}
		return nil, fmt.Errorf("run.%s is not known", r.name)
	case "env":
		return env.Env[r.name], nil
	}
	s, ok := env.Steps[r.name]
	switch {
	case !ok:
		return nil, fmt.Errorf("step %s has no result yet", quote(r.name))
	case r.field == "output":
		return s.Output, nil
	case r.field == "status":
		return s.Status, nil
	}
	return s.JSON, nil
}

// asDeclared gives a parameter that went through JSON its declared type again.
func asDeclared(typ string, v any) any {
	switch n := v.(type) {
	case float64:
		if typ == "integer" && n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int(n)
		}
	case int:
		if typ == "number" {
			return float64(n)
		}
	}
	return v
}

// whyNil explains a missing value.
func (e *expression) whyNil() string {
	for _, r := range e.refs {
		if r.root == "steps" && r.field == "json" {
			return fmt.Sprintf("there is no such value; the output of step %s may not be the JSON that was expected", quote(r.name))
		}
	}
	return "there is no such value"
}

// render is how a value stands in a text.
func render(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	if exceeds(v, maxText) {
		return "", errText
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(jsonable(v)); err != nil {
		return "", fmt.Errorf("a value of type %T has no text form", v)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// jsonable replaces the maps that groupBy makes, which encoding/json refuses.
func jsonable(v any) any {
	switch v := v.(type) {
	case map[any][]any:
		out := make(map[string]any, len(v))
		for k, group := range v {
			out[fmt.Sprint(k)] = jsonable(group)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = jsonable(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = jsonable(e)
		}
		return out
	}
	return v
}

// exceeds reports whether the JSON of v is longer than about limit bytes,
// without making it: values may refer to one text many times.
func exceeds(v any, limit int) bool { return !fits(v, &limit) }

func fits(v any, left *int) bool {
	*left -= 8
	switch v := v.(type) {
	case string:
		*left -= len(v)
	case []any:
		for _, e := range v {
			if *left < 0 || !fits(e, left) {
				return false
			}
		}
	case map[string]any:
		for k, e := range v {
			if *left -= len(k); *left < 0 || !fits(e, left) {
				return false
			}
		}
	case map[any][]any:
		for _, e := range v {
			if *left < 0 || !fits(e, left) {
				return false
			}
		}
	case []string:
		for _, e := range v {
			*left -= len(e) + 4
		}
	case []int:
		*left -= 20 * len(v)
	}
	return *left >= 0
}

func toText(args ...any) (any, error) { return render(args[0]) }

func toJSON(args ...any) (any, error) {
	s, ok := args[0].(string)
	if !ok {
		return render(args[0])
	}
	if len(s) > maxText {
		return nil, errText
	}
	out, err := render([]any{s})
	return strings.TrimSuffix(strings.TrimPrefix(out, "["), "]"), err
}

func join(args ...any) (any, error) {
	separator := ""
	if len(args) > 1 {
		separator, _ = args[1].(string)
	}
	var items []string
	switch list := args[0].(type) {
	case []string:
		items = list
	case []any:
		items = make([]string, len(list))
		for i, v := range list {
			s, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("join takes a list of texts, and item %d is %T", i, v)
			}
			items[i] = s
		}
	default:
		return nil, fmt.Errorf("join takes a list of texts, not %T", args[0])
	}
	size := len(separator) * len(items)
	for _, s := range items {
		if size += len(s); size > maxText {
			return nil, errText
		}
	}
	return strings.Join(items, separator), nil
}

func replace(args ...any) (any, error) {
	s, ok1 := args[0].(string)
	old, ok2 := args[1].(string)
	with, ok3 := args[2].(string)
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("replace takes three texts")
	}
	if grow := len(with) - len(old); grow > 0 && strings.Count(s, old) > (maxText-len(s))/grow {
		return nil, errText
	}
	return strings.ReplaceAll(s, old, with), nil
}

func keys(args ...any) (any, error) {
	m, ok := args[0].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("keys takes a mapping, not %T", args[0])
	}
	out := make([]any, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k)
	}
	return out, nil
}

func toInt(args ...any) (any, error) {
	switch v := args[0].(type) {
	case int:
		return v, nil
	case float64:
		if math.Abs(v) < 1<<53 {
			return int(v), nil
		}
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return n, nil
		}
	}
	return nil, errors.New("int takes a number, or a text that is a whole number")
}

func toFloat(args ...any) (any, error) {
	switch v := args[0].(type) {
	case int:
		return float64(v), nil
	case float64:
		return v, nil
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, nil
		}
	}
	return nil, errors.New("float takes a number, or a text that is one")
}
