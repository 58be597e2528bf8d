// Package structured makes answers obey a JSON Schema: it turns the schema into
// the form that the service's structured outputs take, and finds and checks the
// JSON in an answer. It calls no model; package task repairs what does not obey.
package structured

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// Strict returns the schema in the form that the service's structured outputs
// take: every object closed and with all its properties required as far as the
// schema says, without the bounds on numbers and lengths that the service
// refuses. [Schema.Extract] checks what is left out. ok is false for a schema
// that the service does not take in any form: one with references, with open
// objects, or that does not start with an object or array.
func Strict(schema json.RawMessage) (strict any, ok bool) {
	var v any
	if err := json.Unmarshal(schema, &v); err != nil {
		return nil, false
	}
	ok = true
	return strictValue(v, &ok, 0), ok
}

// refusedKeywords are the keywords that structured outputs do not take
// (platform documentation, structured outputs, limitations).
var refusedKeywords = []string{
	"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
	"maxItems", "uniqueItems", "contains", "minContains", "maxContains", "minProperties", "maxProperties",
	"patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "if", "then", "else", "not", "$schema", "$id",
}

func strictValue(v any, ok *bool, depth int) any {
	m, isMap := v.(map[string]any)
	if !isMap || depth > 32 {
		*ok = *ok && isMap
		return v
	}
	out := make(map[string]any, len(m)+1)
	for name, value := range m {
		switch name {
		case "$ref", "$dynamicRef":
			*ok = false
		case "properties", "$defs", "definitions":
			props, _ := value.(map[string]any)
			strict := make(map[string]any, len(props))
			for key, p := range props {
				strict[key] = strictValue(p, ok, depth+1)
			}
			out[name] = strict
		case "items", "additionalProperties":
			if _, isSchema := value.(map[string]any); isSchema {
				value = strictValue(value, ok, depth+1)
			}
			out[name] = value
		case "anyOf", "oneOf", "allOf":
			list, _ := value.([]any)
			strict := make([]any, len(list))
			for i, e := range list {
				strict[i] = strictValue(e, ok, depth+1)
			}
			out[name] = strict
		case "minItems":
			if n, _ := value.(float64); n <= 1 { // 0 and 1 are taken
				out[name] = value
			}
		default:
			out[name] = value
		}
	}
	for _, name := range refusedKeywords {
		delete(out, name)
	}
	if out["type"] == "object" || out["properties"] != nil {
		if extra, given := out["additionalProperties"]; given && extra != false {
			*ok = false // an open object
		}
		out["additionalProperties"] = false
	}
	return out
}

// Schema is a JSON Schema that outputs are checked against.
type Schema struct{ resolved *jsonschema.Resolved }

// Compile parses a JSON Schema. References to other documents are not followed.
func Compile(schema json.RawMessage) (*Schema, error) {
	var s jsonschema.Schema
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, err
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		return nil, err
	}
	return &Schema{resolved}, nil
}

// Extract returns the JSON in an output that obeys the schema: the whole of it,
// what is within a code fence, or the first object or array in it. The error says
// what is wrong with the output.
func (s *Schema) Extract(output string) (string, error) {
	text := strings.TrimSpace(output)
	var first error
	for _, candidate := range candidates(text) {
		var doc any
		if json.Unmarshal([]byte(candidate), &doc) != nil {
			first = cmp.Or(first, errNotJSON)
			continue
		}
		err := s.resolved.Validate(doc)
		if err == nil {
			return candidate, nil
		}
		if first == nil || errors.Is(first, errNotJSON) { // what is wrong with JSON says more
			first = err
		}
	}
	return "", first
}

// candidates returns the parts of a text that may be the JSON that was asked for.
func candidates(text string) []string {
	list := []string{text}
	if _, after, ok := strings.Cut(text, "```"); ok {
		if _, body, ok := strings.Cut(after, "\n"); ok {
			if inner, _, ok := strings.Cut(body, "```"); ok {
				list = append(list, strings.TrimSpace(inner))
			}
		}
	}
	if i := strings.IndexAny(text, "{["); i >= 0 {
		dec := json.NewDecoder(strings.NewReader(text[i:]))
		var raw json.RawMessage
		if dec.Decode(&raw) == nil {
			list = append(list, string(raw))
		}
	}
	return list
}

var errNotJSON = errors.New("it is not JSON")
