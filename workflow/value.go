package workflow

import "slices"

// Value is one expression, or a fixed value. Values come from [Parse] or
// [Fixed]. Safe for concurrent use.
type Value struct {
	source string
	expr   *expression // nil for a fixed value
	fixed  any
}

// Fixed is the value that is always v.
func Fixed(v any) *Value { return &Value{fixed: v} }

// Eval returns the value: texts, int, float64, bool, []any, map[string]any or
// nil. Its errors quote the expression but no value.
func (v *Value) Eval(env Env) (any, error) {
	if v.expr == nil {
		return clone(v.fixed), nil
	}
	return v.expr.eval(env)
}

// Source returns the value as it stands in the file.
func (v *Value) Source() string { return v.source }

// Steps lists the ids of the steps it refers to, without duplicates.
func (v *Value) Steps() []string {
	if v == nil || v.expr == nil {
		return nil
	}
	var ids []string
	for _, r := range v.expr.refs {
		if r.root == "steps" && !slices.Contains(ids, r.name) {
			ids = append(ids, r.name)
		}
	}
	return ids
}
