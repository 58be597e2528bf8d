package workflow

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/internal/jsontext"
)

// WithIntegers returns a value that matches a JSON Schema, with its whole numbers as
// integers where the schema says integer: JSON Schema takes 4.0 and 4e2 for integers too,
// and a list or another file's parameter does not. It may change v itself. Without a
// schema, or with one that is none, it returns v.
func WithIntegers(schema json.RawMessage, v any) any {
	if len(schema) == 0 || !hasNumber(v) { // other integers are ints already
		return v
	}
	root, err := jsontext.Parse(string(schema), func(number string) any { return number })
	if err != nil {
		return v
	}
	return integers{root}.in(root, v, 0)
}

// integers finds the schemas of the parts of a value.
type integers struct{ root any }

const maxRefs = 100 // one behind the other

// in returns v with the integers that the schema s says.
func (c integers) in(s, v any, depth int) any {
	m, ok := s.(map[string]any)
	if !ok || depth > maxRefs {
		return v
	}
	if ref, ok := m["$ref"].(string); ok {
		v = c.in(c.find(ref), v, depth+1)
	}
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		for _, s := range listIn(m[key]) {
			v = c.in(s, v, depth+1)
		}
	}
	switch v := v.(type) {
	case json.Number:
		if whole, ok := exact(v).(int); ok && (m["type"] == "integer" || slices.Contains(listIn(m["type"]), any("integer")) && !slices.Contains(listIn(m["type"]), any("number"))) {
			return whole
		}
	case []any:
		first := listIn(m["prefixItems"])
		for i := range v {
			if i < len(first) {
				v[i] = c.in(first[i], v[i], 0)
			} else {
				v[i] = c.in(m["items"], v[i], 0)
			}
		}
	case Object:
		named, _ := m["properties"].(map[string]any)
		for key := range v.values {
			s, ok := named[key]
			if !ok {
				s = m["additionalProperties"]
			}
			v.values[key] = c.in(s, v.values[key], 0)
		}
	}
	return v
}

func listIn(v any) []any {
	list, _ := v.([]any)
	return list
}

// find returns the part of the schema that a reference means, or nil.
func (c integers) find(ref string) any {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	at := c.root
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		if plain, err := url.PathUnescape(step); err == nil {
			step = plain
		}
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")]
	}
	return at
}
