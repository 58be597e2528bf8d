// Package structured makes answers obey a JSON Schema: it turns the schema into
// the form that the service's structured outputs take, and finds and checks the
// JSON in an answer. It calls no model; package task repairs what does not obey.
package structured

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/outschema"
)

// Strict returns the schema in the form that the service's structured outputs
// take: every object closed and with all its properties required as far as the
// schema says, without what the service refuses, such as bounds on numbers and
// lengths. lost names the keywords with a meaning that were left out, sorted: the
// model must be given the schema itself as well, and [Schema.Extract] checks them.
// ok is false for a schema that the service does not take in any form: one with
// references, with parts that may be anything, or that does not start with an object
// or array.
func Strict(schema json.RawMessage) (strict any, lost []string, ok bool) {
	v, err := jsontext.Parse(string(schema), nil)
	if err != nil {
		return nil, nil, false
	}
	s := stricter{ok: true, lost: map[string]bool{}}
	strict = s.schema(v, 0)
	return strict, slices.Sorted(maps.Keys(s.lost)), s.ok
}

// Keywords by what structured outputs do with them (platform documentation,
// structured outputs, limitations). What is in neither list is left out and counts
// as lost.
var (
	taken   = []string{"type", "enum", "const", "title", "description", "default", "required"}
	comment = []string{"$schema", "$id", "$comment", "examples", "deprecated", "readOnly", "writeOnly"}
	formats = []string{"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)

type stricter struct {
	ok   bool
	lost map[string]bool
}

func (s *stricter) schema(v any, depth int) any {
	m, isMap := v.(map[string]any)
	if !isMap || depth > 32 {
		s.ok = s.ok && isMap
		return v
	}
	out := make(map[string]any, len(m)+1)
	for name, value := range m {
		list, _ := value.([]any)
		switch {
		case name == "enum" && slices.ContainsFunc(list, compound):
			s.lost[name] = true
		case slices.Contains(taken, name):
			out[name] = value
		case slices.Contains(comment, name):
		case name == "$ref" || name == "$dynamicRef":
			s.ok = false
		case name == "properties" || name == "$defs" || name == "definitions":
			props, _ := value.(map[string]any)
			strict := make(map[string]any, len(props))
			for key, p := range props {
				strict[key] = s.schema(p, depth+1)
			}
			out[name] = strict
		case name == "items" && list == nil:
			out[name] = s.schema(value, depth+1)
		case name == "additionalProperties":
		case name == "anyOf" || name == "allOf" || name == "oneOf" && m["anyOf"] == nil:
			strict := make([]any, len(list))
			for i, e := range list {
				strict[i] = s.schema(e, depth+1)
			}
			if name == "oneOf" { // that no second one applies is checked, not enforced
				s.lost[name], name = true, "anyOf"
			}
			out[name] = strict
		case name == "minItems" && (value == json.Number("0") || value == json.Number("1")):
			out[name] = value
		case name == "format" && slices.Contains(formats, text(value)):
			out[name] = value
		default:
			s.lost[name] = true
		}
	}
	s.close(m, out)
	return out
}

// close closes an object, and notices a schema that leaves open what the value is.
func (s *stricter) close(m, out map[string]any) {
	object := m["type"] == "object" || m["properties"] != nil
	if types, ok := m["type"].([]any); ok && slices.Contains(types, any("object")) {
		object = true
	}
	if extra, given := m["additionalProperties"]; given && extra != false || object && !given && m["properties"] == nil {
		s.ok = false // closing it would change what it means
	}
	if object {
		out["additionalProperties"] = false
	}
	if !object && !slices.ContainsFunc([]string{"type", "enum", "const", "anyOf", "allOf", "oneOf"}, func(k string) bool { return m[k] != nil }) {
		s.ok = false
	}
	if m["type"] == "array" && out["items"] == nil {
		s.ok = false
	}
}

func compound(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// Schema is a JSON Schema that outputs are checked against.
type Schema struct{ schema *outschema.Schema }

// Compile parses a JSON Schema. References to other documents are not followed.
// Keywords and formats that do not exist are an error, and so is a schema that no
// value can obey.
func Compile(schema json.RawMessage) (*Schema, error) {
	s, err := outschema.Compile(schema)
	if err != nil {
		return nil, err
	}
	return &Schema{s}, nil
}
