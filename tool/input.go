package tool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// inputSchema is the schema of a tool's input, ready to check inputs.
type inputSchema struct {
	schema   *jsonschema.Schema
	resolved *jsonschema.Resolved
}

func parseInputSchema(raw json.RawMessage) (*inputSchema, error) {
	if len(raw) == 0 {
		raw = json.RawMessage(`{"type":"object"}`)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(raw, &schema); err != nil {
		return nil, err
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return nil, err
	}
	return &inputSchema{&schema, resolved}, nil
}

// check returns the input with the values that models confuse put right: a number
// or a boolean in quotes. If the input does not obey the schema, problem says why,
// for the model. A nil schema takes any object as it is.
func (s *inputSchema) check(name string, raw json.RawMessage) (input json.RawMessage, problem string) {
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = json.RawMessage(`{}`)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	err := dec.Decode(&value)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("text after the object")
		}
	}
	if err != nil {
		return nil, fmt.Sprintf("InputValidationError: the input of %s is not valid JSON (%v). It was received as: %s", name, err, excerpt(string(raw)))
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Sprintf("InputValidationError: the input of %s must be a JSON object", name)
	}
	if s == nil {
		return raw, ""
	}
	for key, v := range object {
		object[key] = coerce(s.schema.Properties[key], v)
	}
	if problems := s.parameters(object); len(problems) > 0 {
		noun := "issue"
		if len(problems) > 1 {
			noun = "issues"
		}
		return nil, fmt.Sprintf("InputValidationError: %s failed due to the following %s:\n%s", name, noun, strings.Join(problems, "\n"))
	}
	if err := s.resolved.Validate(plain(object)); err != nil {
		return nil, fmt.Sprintf("InputValidationError: the input of %s does not match its schema: %v", name, err)
	}
	input, err = json.Marshal(object)
	if err != nil {
		return nil, fmt.Sprintf("InputValidationError: the input of %s cannot be encoded: %v", name, err)
	}
	return input, ""
}

// parameters lists what is wrong with the parameters themselves: missing,
// unexpected, of a wrong type.
func (s *inputSchema) parameters(object map[string]any) []string {
	var problems []string
	for _, name := range s.schema.Required {
		if _, ok := object[name]; !ok {
			problems = append(problems, fmt.Sprintf("The required parameter `%s` is missing", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		property := s.schema.Properties[name]
		if property == nil {
			if s.closed() {
				problems = append(problems, fmt.Sprintf("An unexpected parameter `%s` was provided", name))
			}
			continue
		}
		if want := types(property); len(want) > 0 && !slices.ContainsFunc(want, func(t string) bool { return is(t, object[name]) }) {
			problems = append(problems, fmt.Sprintf("The parameter `%s` type is expected as `%s` but provided as `%s`", name, strings.Join(want, " or "), typeOf(object[name])))
		}
	}
	return problems
}

// closed reports whether the schema refuses parameters that it does not name.
func (s *inputSchema) closed() bool {
	extra := s.schema.AdditionalProperties
	return extra != nil && extra.Not != nil
}

func types(s *jsonschema.Schema) []string {
	if s.Type != "" {
		return []string{s.Type}
	}
	return s.Types
}

// coerce returns v as the type that the schema wants, if v is that in quotes.
func coerce(s *jsonschema.Schema, v any) any {
	if s == nil {
		return v
	}
	switch v := v.(type) {
	case string:
		text := strings.TrimSpace(v)
		for _, want := range types(s) {
			switch {
			case want == "string":
				return v
			case want == "boolean" && (text == "true" || text == "false"):
				return text == "true"
			case want == "integer" || want == "number":
				if _, err := strconv.ParseFloat(text, 64); err == nil && json.Valid([]byte(text)) && is(want, json.Number(text)) {
					return json.Number(text)
				}
			}
		}
	case []any:
		for i := range v {
			v[i] = coerce(s.Items, v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = coerce(s.Properties[key], v[key])
		}
	case json.Number:
		// 2.0 is an integer in JSON Schema, and not for the decoder of Go.
		if f, err := v.Float64(); err == nil && slices.Contains(types(s), "integer") && f == float64(int64(f)) {
			return json.Number(strconv.FormatInt(int64(f), 10))
		}
	}
	return v
}

// is reports whether a value has a type of JSON Schema.
func is(want string, v any) bool {
	got := typeOf(v)
	if n, ok := v.(json.Number); ok && want == "integer" {
		f, err := n.Float64()
		return err == nil && f == float64(int64(f))
	}
	return got == want
}

func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}

// plain returns a value with numbers as the validator knows them.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			out[key] = plain(v[key])
		}
		return out
	}
	return v
}

// excerpt returns the start of a text.
func excerpt(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
