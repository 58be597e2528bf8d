package workflow

import (
	"fmt"
	"iter"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Value is a value that may hold expressions: one expression, which keeps its
// type, a text with expressions in it, or a list or mapping of values. Values
// come from [Parse] or [Fixed]. Safe for concurrent use.
type Value struct {
	source string
	// At most one of these is set; without any, the value is fixed.
	expr  *expression
	text  *Template
	list  []*Value
	dict  map[string]*Value
	keys  []string // of dict, as written
	fixed any
}

// Fixed returns a value that is always v.
func Fixed(v any) *Value { return &Value{fixed: v} }

// Eval returns the value: texts, int, float64, json.Number, bool, []any,
// [Object], map[string]any or nil. Its errors quote the expression but no value.
func (v *Value) Eval(env Env) (any, error) {
	switch {
	case v.expr != nil:
		out, err := v.expr.eval(env)
		if err != nil {
			return nil, fmt.Errorf("evaluating ${{ %s }}: %w", strings.TrimSpace(v.expr.source), err)
		}
		return jsonable(out), nil
	case v.text != nil:
		return v.text.Render(env)
	case v.list != nil:
		out := make([]any, len(v.list))
		for i, e := range v.list {
			var err error
			if out[i], err = e.Eval(env); err != nil {
				return nil, err
			}
		}
		return out, nil
	case v.dict != nil:
		out := make(map[string]any, len(v.dict))
		for k, e := range v.dict {
			var err error
			if out[k], err = e.Eval(env); err != nil {
				return nil, err
			}
		}
		return Object{v.keys, out}, nil
	}
	return clone(v.fixed), nil
}

// Source returns the value as it is in the file: a text unchanged, anything else
// as JSON.
func (v *Value) Source() string {
	if v == nil {
		return ""
	}
	if v.source != "" {
		return v.source
	}
	raw := v.raw()
	if exceeds(raw, maxText) {
		return "…"
	}
	s, err := render(raw)
	if err != nil {
		return ""
	}
	return s
}

// raw returns the value with its expressions as texts.
func (v *Value) raw() any {
	switch {
	case v.list != nil:
		out := make([]any, len(v.list))
		for i, e := range v.list {
			out[i] = e.raw()
		}
		return out
	case v.dict != nil:
		out := make(map[string]any, len(v.dict))
		for k, e := range v.dict {
			out[k] = e.raw()
		}
		return Object{v.keys, out}
	case v.source != "":
		return v.source
	}
	return v.fixed
}

// Len returns how many elements the value has if it is written as a list, whatever its
// expressions give. ok is false if it is not.
func (v *Value) Len() (n int, ok bool) {
	if v.list != nil {
		return len(v.list), true
	}
	list, ok := v.fixed.([]any)
	return len(list), ok
}

// Uses yields the names that the expressions of the value use, like [Template.Uses].
func (v *Value) Uses() iter.Seq2[string, string] { return uses(v.refs) }

// Steps lists the ids of the steps that v refers to, without duplicates.
func (v *Value) Steps() []string { return stepIDs(v.refs) }

func stepIDs(refs func(func(ref) bool)) []string {
	var ids []string
	seen := map[string]bool{}
	for r := range refs {
		if r.root == "steps" && !r.foreign && !seen[r.name] {
			seen[r.name] = true
			ids = append(ids, r.name)
		}
	}
	return ids
}

func (v *Value) refs(yield func(ref) bool) { v.walk(yield) }

func (v *Value) walk(yield func(ref) bool) bool {
	if v == nil {
		return true
	}
	if v.expr != nil {
		for _, r := range v.expr.refs {
			if !yield(r) {
				return false
			}
		}
	}
	for r := range v.text.refs {
		if !yield(r) {
			return false
		}
	}
	for _, e := range v.list {
		if !e.walk(yield) {
			return false
		}
	}
	for _, k := range sortedKeys(v.dict) {
		if !v.dict[k].walk(yield) {
			return false
		}
	}
	return true
}

// constant reports whether the value is the same in every run.
func (v *Value) constant() bool {
	return v.expr == nil && v.text == nil && v.list == nil && v.dict == nil
}

// typ returns the type of a parameter that holds the value, or "" if the type is
// only known at run time.
func (v *Value) typ() string {
	switch {
	case v.expr != nil:
		return v.expr.typ
	case v.list != nil:
		return "array"
	case v.dict != nil:
		return "object"
	case v.text != nil:
		return "string"
	case v.fixed == nil:
		return "null"
	}
	return typeOf(v.fixed)
}

// valueOf reads any value, whose texts may hold expressions. If n is not a value,
// it reports that and returns nil.
func (p *reader) valueOf(d *draft, v view, n *yaml.Node, what string) *Value {
	n = follow(n)
	switch {
	case n.Kind == yaml.SequenceNode:
		out, fixed := make([]*Value, 0, len(n.Content)), true
		for _, c := range n.Content {
			if e := p.valueOf(d, v, c, what); e != nil {
				out, fixed = append(out, e), fixed && e.constant()
			}
		}
		if !fixed {
			return &Value{list: out}
		}
		list := make([]any, len(out))
		for i, e := range out {
			list[i] = e.fixed
		}
		return Fixed(list)
	case n.Kind == yaml.MappingNode:
		out, keys, fixed := make(map[string]*Value, len(n.Content)/2), []string(nil), true
		p.entries(n, func(key, value *yaml.Node) {
			if e := p.valueOf(d, v, value, what); e != nil {
				keys = append(keys, key.Value)
				out[key.Value], fixed = e, fixed && e.constant()
			}
		})
		if !fixed {
			return &Value{dict: out, keys: keys}
		}
		dict := make(map[string]any, len(out))
		for k, e := range out {
			dict[k] = e.fixed
		}
		return Fixed(Object{keys, dict})
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		return p.textValue(d, v, n, what)
	}
	p.whole(n, "an entry of "+what)
	if fixed, ok := p.value(n); ok {
		return Fixed(fixed)
	}
	return nil
}

func (p *reader) textValue(d *draft, v view, n *yaml.Node, what string) *Value {
	p.whole(n, "an entry of "+what)
	parts, unclosed := cut(n.Value)
	switch one, ok := single(parts); {
	case unclosed >= 0:
		p.unclosed(n, unclosed)
		return nil
	case ok:
		return &Value{source: n.Value, expr: p.expression(d, v, n, one.expr.source, one.at)}
	case hasExpression(parts):
		return &Value{source: n.Value, text: p.template(d, v, n, what)}
	case len(parts) == 1:
		return &Value{source: n.Value, fixed: parts[0].text}
	}
	return Fixed("")
}
