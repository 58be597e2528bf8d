package sim

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
)

// schema is the subset of JSON Schema that structured outputs allow.
type schema struct {
	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	OldDefs    map[string]*schema `json:"definitions"`
	Type       any                `json:"type"` // a name, or a list of them
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	MinItems   int                `json:"minItems"`
	MaxItems   *int               `json:"maxItems"`
	MinLength  int                `json:"minLength"`
	MaxLength  *int               `json:"maxLength"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	Enum       []any              `json:"enum"`
	Const      any                `json:"const"`
	AnyOf      []*schema          `json:"anyOf"`
	OneOf      []*schema          `json:"oneOf"`
	AllOf      []*schema          `json:"allOf"`
	Format     string             `json:"format"`
	Examples   []any              `json:"examples"`
	Default    any                `json:"default"`
}

// generate returns a value that matches the schema.
func generate(raw json.RawMessage, g generator) json.RawMessage {
	var root schema
	if err := json.Unmarshal(raw, &root); err != nil {
		return json.RawMessage("{}")
	}
	g.root = &root
	data, err := json.Marshal(g.value(&root, "", 0))
	if err != nil {
		return json.RawMessage("{}")
	}
	return data
}

// generator generates values that match a schema.
type generator struct {
	root *schema
	src  *source

	// task is quoted by texts in answers. Arguments of tools are executed, so
	// they never hold it.
	task string

	// arguments restricts the value to what is safe as arguments of a tool: only
	// required properties, and texts from the schema or from paths.
	arguments bool
	paths     []string // that the prompt names
}

// maxDepth limits recursive schemas: below it only required properties are
// generated, and below 4*maxDepth none.
const maxDepth = 4

func (g *generator) value(s *schema, name string, depth int) any {
	if s == nil || depth > 4*maxDepth {
		return nil
	}
	if target := g.resolve(s.Ref); target != nil {
		return g.value(target, name, depth+1)
	}
	switch {
	case s.Const != nil:
		return s.Const
	case len(s.Enum) > 0:
		return s.Enum[g.src.rng.IntN(len(s.Enum))]
	case g.arguments && len(s.Examples) > 0:
		return s.Examples[0]
	case g.arguments && s.Default != nil:
		return s.Default
	case len(s.AnyOf) > 0:
		return g.value(s.AnyOf[0], name, depth+1)
	case len(s.OneOf) > 0:
		return g.value(s.OneOf[0], name, depth+1)
	case len(s.AllOf) > 0 && s.Type == nil:
		return g.value(s.AllOf[0], name, depth+1)
	}
	switch s.kind() {
	case "object":
		return g.object(s, depth)
	case "array":
		n := 2
		if s.MaxItems != nil {
			n = min(n, *s.MaxItems)
		}
		if depth > maxDepth {
			n = 0
		}
		list := make([]any, max(n, s.MinItems))
		for i := range list {
			list[i] = g.value(s.Items, name, depth+1)
		}
		return list
	case "integer":
		return int(math.Ceil(g.number(s, 10)))
	case "number":
		return g.number(s, 1)
	case "boolean":
		return g.src.rng.IntN(2) == 1
	case "null":
		return nil
	}
	return g.text(s, name)
}

func (g *generator) object(s *schema, depth int) any {
	// Sorted, so that the value does not depend on the map's order.
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if depth <= maxDepth && !g.arguments || slices.Contains(s.Required, name) {
			object[name] = g.value(s.Properties[name], name, depth+1)
		}
	}
	return object
}

func (g *generator) number(s *schema, spread int) float64 {
	low := 0.0
	if s.Minimum != nil {
		low = *s.Minimum
	}
	n := low + float64(g.src.rng.IntN(spread*10))/10
	if s.Maximum != nil {
		n = min(n, *s.Maximum)
	}
	return n
}

func (g *generator) text(s *schema, name string) string {
	switch s.Format {
	case "date":
		return "2026-01-31"
	case "date-time":
		return "2026-01-31T12:00:00Z"
	case "email":
		return "simulated@example.com"
	case "uri", "url":
		return "https://example.com/simulated"
	}
	if g.arguments && len(g.paths) > 0 && isPathName(name) {
		return g.paths[0]
	}
	text := strings.TrimSpace("simulated " + strings.ReplaceAll(name, "_", " "))
	if g.task != "" {
		text += " for " + quote(g.task, 60)
	}
	for len(text) < s.MinLength {
		text += "."
	}
	if s.MaxLength != nil && len(text) > *s.MaxLength {
		text = strings.ToValidUTF8(text[:max(0, *s.MaxLength)], "")
	}
	return text
}

// kind returns the schema's type. Of several types it returns the first that is
// not null.
func (s *schema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		for _, v := range t {
			if name, ok := v.(string); ok && name != "null" {
				return name
			}
		}
		return "null"
	}
	switch {
	case s.Properties != nil:
		return "object"
	case s.Items != nil:
		return "array"
	}
	return "string"
}

func (g *generator) resolve(ref string) *schema {
	if ref == "" {
		return nil
	}
	if ref == "#" {
		return g.root
	}
	if name, ok := strings.CutPrefix(ref, "#/$defs/"); ok {
		return g.root.Defs[name]
	}
	if name, ok := strings.CutPrefix(ref, "#/definitions/"); ok {
		return g.root.OldDefs[name]
	}
	return nil
}
