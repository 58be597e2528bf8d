package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm/runtime"
)

// Object is a JSON object whose keys keep the order in which they were written. It
// is only read. Safe for concurrent use.
type Object struct {
	keys   []string
	values map[string]any
}

// NewObject returns an object with keys in an order.
func NewObject(keys []string, values map[string]any) Object { return Object{keys, values} }

func newObject(keys []string, values map[string]any) any { return Object{keys, values} }

// MarshalJSON returns the object with its keys in the order in which they were written.
func (o Object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, key := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(key); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1)
		b.WriteByte(':')
		if err := enc.Encode(o.values[key]); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Fields yields the fields of a value that is an [Object], in the order in which they
// were written, and none of any other.
func Fields(v any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		o, _ := v.(Object)
		for _, key := range o.keys {
			if !yield(key, o.values[key]) {
				return
			}
		}
	}
}

// Field returns a field of a value. It reports false if the value is no [Object], or has
// no such field.
func Field(v any, name string) (any, bool) {
	o, _ := v.(Object)
	field, ok := o.values[name]
	return field, ok
}

// Plain returns a value with each [Object] as a map[string]any. What holds none is
// returned as it is.
func Plain(v any) any {
	switch v := v.(type) {
	case Object:
		return plainMap(v.values)
	case map[string]any:
		if hasObject(v) {
			return plainMap(v)
		}
	case []any:
		if hasObject(v) {
			out := make([]any, len(v))
			for i, e := range v {
				out[i] = Plain(e)
			}
			return out
		}
	}
	return v
}

func plainMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, e := range m {
		out[k] = Plain(e)
	}
	return out
}

func hasObject(v any) bool {
	switch v := v.(type) {
	case Object:
		return true
	case []any:
		return slices.ContainsFunc(v, hasObject)
	case map[string]any:
		for _, e := range v {
			if hasObject(e) {
				return true
			}
		}
	}
	return false
}

// members returns the values of an object by key, and any other value as it is: what
// the language can take a member of.
func members(v any) any {
	if o, ok := v.(Object); ok {
		return o.values
	}
	return v
}

// membersOf gives [members] to the language as a function.
func membersOf(args ...any) (any, error) { return members(args[0]), nil }

var errKey = errors.New("the keys of an object are texts")

// literal returns the object that a literal of an expression makes, from its keys
// and values in turn. A key that is given twice has the last of its values.
func literal(args ...any) (any, error) {
	o := Object{values: make(map[string]any, len(args)/2)}
	for i := 0; i+1 < len(args); i += 2 {
		key, ok := args[i].(string)
		if !ok {
			return nil, errKey
		}
		if _, twice := o.values[key]; !twice {
			o.keys = append(o.keys, key)
		}
		o.values[key] = args[i+1]
	}
	return o, nil
}

// opened returns n, whose member is taken, so that it may be an [Object].
func opened(n ast.Node) ast.Node {
	if t := n.Type(); belowRoot(n) && t != nil && t.Kind() != reflect.Interface {
		return n // such as steps.a, of which the names are known
	}
	return call(membersName, n, n)
}

// belowRoot reports whether n is a root, or a part of one.
func belowRoot(n ast.Node) bool {
	for {
		m, ok := n.(*ast.MemberNode)
		if !ok {
			return rootOf(n) != ""
		}
		n = m.Node
	}
}

// member returns a part of a value as the language does. It panics if there is none.
func member(v, key any) any { return runtime.Fetch(members(v), key) }
