package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// refusedKeywords lists the keywords of JSON Schema that structured outputs and
// strict tools do not accept.
var refusedKeywords = []string{
	"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
	"maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems", "additionalItems",
	"minProperties", "maxProperties", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas",
	"not", "if", "then", "else", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef",
}

// stringFormats lists the formats of strings that the API accepts.
var stringFormats = []string{"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}

const (
	maxOptional = 24 // optional parameters in a schema
	maxUnions   = 16 // parameters with several types in a schema
)

// schemaChecker checks a schema of structured outputs.
type schemaChecker struct {
	root             map[string]any
	optional, unions int
	within           map[string]bool // references that are being followed
}

// checkSchemas returns the error with which the API rejects a schema of
// structured outputs or of a strict tool, or nil.
func checkSchemas(field string, raw json.RawMessage) *apiError {
	var root map[string]any
	if err := json.Unmarshal(raw, &root); err != nil || root == nil {
		return invalid(field + ": Input should be a valid dictionary")
	}
	c := schemaChecker{root: root, within: map[string]bool{}}
	if why := c.check(root, 0); why != "" {
		return invalid(field + ": " + why)
	}
	switch {
	case c.optional > maxOptional:
		return invalid(fmt.Sprintf("%s: Schema is too complex for compilation. It has %d optional parameters, at most %d are allowed", field, c.optional, maxOptional))
	case c.unions > maxUnions:
		return invalid(fmt.Sprintf("%s: Schema is too complex for compilation. It has %d parameters with union types, at most %d are allowed", field, c.unions, maxUnions))
	}
	return nil
}

// check returns what is wrong with a schema, or "".
func (c *schemaChecker) check(s map[string]any, depth int) string {
	if depth > 64 {
		return "Schema is too complex for compilation."
	}
	if ref, ok := s["$ref"].(string); ok {
		return c.follow(ref, depth)
	}
	for _, name := range refusedKeywords {
		if _, given := s[name]; given {
			return fmt.Sprintf("For '%s' type, property '%s' is not supported", typeName(s), name)
		}
	}
	switch t := s["type"].(type) {
	case nil:
	case string:
		if !slices.Contains(schemaTypes, t) {
			return fmt.Sprintf("Invalid type '%s'", t)
		}
	case []any:
		c.unions++
		for _, v := range t {
			if name, ok := v.(string); !ok || !slices.Contains(schemaTypes, name) {
				return fmt.Sprintf("Invalid type '%v'", v)
			}
		}
	default:
		return "Invalid type"
	}
	if format, given := s["format"].(string); given && typeName(s) == "string" && !slices.Contains(stringFormats, format) {
		return fmt.Sprintf("For 'string' type, format '%s' is not supported", format)
	}
	if n, given := s["minItems"].(float64); given && n != 0 && n != 1 {
		return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
	}
	properties, isObject := s["properties"].(map[string]any)
	if isObject || hasType(s, "object") {
		if extra, ok := s["additionalProperties"].(bool); !ok || extra {
			return "For 'object' type, 'additionalProperties' must be explicitly set to false"
		}
		required, _ := s["required"].([]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if !slices.Contains(required, any(name)) {
				c.optional++
			}
			if why := c.checkValue(properties[name], depth); why != "" {
				return why
			}
		}
	}
	if items, given := s["items"]; given {
		if why := c.checkValue(items, depth); why != "" {
			return why
		}
	}
	for _, name := range []string{"anyOf", "oneOf", "allOf"} {
		list, _ := s[name].([]any)
		if name != "allOf" && len(list) > 0 {
			c.unions++
		}
		for _, v := range list {
			if why := c.checkValue(v, depth); why != "" {
				return why
			}
		}
	}
	return ""
}

func (c *schemaChecker) checkValue(v any, depth int) string {
	s, ok := v.(map[string]any)
	if !ok {
		return "Schemas that are no objects are not supported"
	}
	return c.check(s, depth+1)
}

// follow checks the target of a reference.
func (c *schemaChecker) follow(ref string, depth int) string {
	path, local := strings.CutPrefix(ref, "#")
	switch {
	case !local:
		return fmt.Sprintf("External $ref '%s' is not supported", ref)
	case path == "" || c.within[ref]:
		return "Recursive schemas are not supported"
	}
	target := any(c.root)
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		object, _ := target.(map[string]any)
		target = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	s, ok := target.(map[string]any)
	if !ok {
		return fmt.Sprintf("$ref '%s' cannot be resolved", ref)
	}
	c.within[ref] = true
	defer delete(c.within, ref)
	return c.check(s, depth+1)
}

var schemaTypes = []string{"object", "array", "string", "integer", "number", "boolean", "null"}

// hasType reports whether a schema's types include the named one.
func hasType(s map[string]any, name string) bool {
	list, _ := s["type"].([]any)
	return s["type"] == name || slices.Contains(list, any(name))
}

// typeName returns the schema's type for messages.
func typeName(s map[string]any) string {
	if name, ok := s["type"].(string); ok {
		return name
	}
	return "object"
}

// checkInputSchema checks the schema of a tool that is not strict.
func checkInputSchema(field string, raw json.RawMessage) *apiError {
	var s struct {
		Type       any             `json:"type"`
		Properties json.RawMessage `json:"properties"`
		Required   json.RawMessage `json:"required"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return invalid(field + ": JSON schema is invalid")
	}
	var required []string
	switch {
	case s.Type == nil:
		return invalid(field + ".type: Field required")
	case s.Type != "object":
		return invalid(field + ".type: Input should be 'object'")
	case len(s.Properties) > 0 && string(s.Properties) != "null" && !isObject(s.Properties):
		return invalid(field + ".properties: Input should be a valid dictionary")
	case len(s.Required) > 0 && json.Unmarshal(s.Required, &required) != nil:
		return invalid(field + ".required: Input should be a valid list")
	}
	return nil
}
