// Package outschema reads the JSON Schemas that outputs must obey. It finds the
// mistakes that JSON Schema itself allows, such as a keyword that does not exist,
// and checks formats, which a validator may ignore.
package outschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claude-force/claude-force/internal/jsontext"
	"github.com/claude-force/claude-force/internal/nearest"
)

// Keywords of JSON Schema, by what they hold.
var (
	HoldsOne    = []string{"items", "additionalItems", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else", "unevaluatedItems", "unevaluatedProperties", "contentSchema"}
	HoldsList   = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	HoldsByName = []string{"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
	Counts      = []string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"}
	Numbers     = []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
	Texts       = []string{"title", "description", "format", "$comment", "pattern", "contentEncoding", "contentMediaType"}
	Others      = []string{"type", "enum", "const", "default", "examples", "required", "dependentRequired", "dependencies", "uniqueItems",
		"deprecated", "readOnly", "writeOnly", "$ref", "$schema", "$id"}
)

// Types lists the types of values.
var Types = []string{"object", "array", "string", "integer", "number", "boolean", "null"}

// Keywords lists all keywords that a schema may have.
var Keywords = slices.Concat(HoldsOne, HoldsList, HoldsByName, Counts, Numbers, Texts, Others)

// Schema is a schema that values can be checked against.
type Schema struct{ resolved *jsonschema.Resolved }

// Compile reads a JSON Schema. References to other documents are not followed.
func Compile(data []byte) (*Schema, error) {
	doc, err := jsontext.Parse(string(data), nil)
	if err != nil {
		return nil, err
	}
	if err := check(doc, "", false); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(withFormats(doc)); err != nil {
		return nil, err
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(b.Bytes(), &s); err != nil {
		return nil, err
	}
	resolved, err := s.Resolve(&jsonschema.ResolveOptions{Loader: func(u *url.URL) (*jsonschema.Schema, error) {
		return nil, fmt.Errorf("%s is another document", u)
	}})
	if err != nil {
		return nil, err
	}
	return &Schema{resolved}, nil
}

// Validate checks a JSON document.
func (s *Schema) Validate(text string) error {
	doc, err := jsontext.Parse(text, func(digits string) any {
		f, err := strconv.ParseFloat(digits, 64)
		if err != nil { // beyond every bound that a schema can set
			return math.Copysign(math.MaxFloat64, f)
		}
		return f
	})
	if err != nil {
		return err
	}
	return s.resolved.Validate(doc)
}

// Error is a mistake at a place in a schema.
type Error struct {
	Path    string // of the schema within the document, as a JSON pointer; empty for the document itself
	Keyword string
	Message string
	Hint    string // may be empty
}

func (e *Error) Error() string {
	text := e.Message
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// check returns the mistakes in a schema and those below it. composed is true if it
// applies to the same value as another one.
func check(doc any, path string, composed bool) error {
	m, ok := doc.(map[string]any)
	if !ok {
		return nil // true, false, or what the validator refuses
	}
	var errs []error
	fail := func(keyword, message, hint string) {
		errs = append(errs, &Error{Path: path, Keyword: keyword, Message: message, Hint: hint})
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		value, at := m[name], path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		within := composed || name == "allOf" || name == "anyOf" || name == "oneOf" || name == "not" || name == "if" || name == "then" || name == "else" || name == "dependentSchemas"
		switch list, isList := value.([]any); {
		case !slices.Contains(Keywords, name):
			fail(name, fmt.Sprintf("unknown keyword %q", name), Nearest(name))
		case name == "type":
			if !isList {
				list = []any{value}
			}
			for _, t := range list {
				if text, _ := t.(string); !slices.Contains(Types, text) {
					fail(name, fmt.Sprintf("unknown type %v", t), "known: "+strings.Join(Types, ", "))
				}
			}
		case name == "format":
			if text, _ := value.(string); !slices.Contains(Formats, text) {
				fail(name, fmt.Sprintf("unknown format %q", text), "known: "+strings.Join(Formats, ", "))
			}
		case slices.Contains(HoldsByName, name):
			inner, _ := value.(map[string]any)
			for _, key := range slices.Sorted(maps.Keys(inner)) {
				errs = append(errs, check(inner[key], at+"/"+key, within && name == "dependentSchemas"))
			}
		case isList && (slices.Contains(HoldsList, name) || name == "items"):
			for i, e := range list {
				errs = append(errs, check(e, fmt.Sprintf("%s/%d", at, i), within))
			}
		case slices.Contains(HoldsOne, name):
			errs = append(errs, check(value, at, within))
		}
	}
	if keyword, why := Impossible(m, composed); why != "" {
		fail(keyword, why, "")
	}
	return errors.Join(errs...)
}

// Nearest returns the advice for an unknown keyword.
func Nearest(name string) string {
	switch name {
	case "nullable":
		return `write type: [string, "null"]`
	case "optional":
		return "leave the property out of required"
	case "example":
		return "it is called examples, and is a list"
	case "values", "oneof", "options", "choices":
		return "it is called enum"
	}
	best := nearest.Name(name, Keywords)
	if best == "" {
		return "see json-schema.org for what there is; an explanation goes into description"
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// Impossible returns the keyword that no value can satisfy together with the others,
// and why: bounds that cross, and a required property that a closed object lacks.
func Impossible(m map[string]any, composed bool) (keyword, why string) {
	for _, pair := range [][2]string{{"minimum", "maximum"}, {"minLength", "maxLength"}, {"minItems", "maxItems"}, {"minProperties", "maxProperties"}, {"minContains", "maxContains"}} {
		low, ok1 := rational(m[pair[0]])
		high, ok2 := rational(m[pair[1]])
		if ok1 && ok2 && low.Cmp(high) > 0 {
			return pair[0], fmt.Sprintf("%s is more than %s: no value obeys both", pair[0], pair[1])
		}
	}
	if list, ok := m["enum"].([]any); ok && len(list) == 0 {
		return "enum", "enum is empty: no value obeys it"
	}
	props, ok := m["properties"].(map[string]any)
	if extra, given := m["additionalProperties"]; !ok || composed || m["patternProperties"] != nil || given && extra != false ||
		slices.ContainsFunc([]string{"allOf", "anyOf", "oneOf", "$ref", "if"}, func(k string) bool { return m[k] != nil }) {
		return "", ""
	}
	required, _ := m["required"].([]any)
	for _, name := range required {
		if text, ok := name.(string); ok {
			if _, known := props[text]; !known {
				return "required", fmt.Sprintf("required names %q, which is not among the properties", text)
			}
		}
	}
	return "", ""
}

// rational returns a number; false for what is none, or has an absurd exponent.
func rational(v any) (*big.Rat, bool) {
	n, ok := v.(json.Number)
	if !ok || len(n) > 40 {
		return nil, false
	}
	if f, err := n.Float64(); err != nil || math.Abs(f) > 1e100 || f != 0 && math.Abs(f) < 1e-100 {
		return nil, false
	}
	return new(big.Rat).SetString(n.String())
}
