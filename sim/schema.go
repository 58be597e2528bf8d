package sim

import (
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	Above      *float64           `json:"exclusiveMinimum"`
	Below      *float64           `json:"exclusiveMaximum"`
	MultipleOf *float64           `json:"multipleOf"`
	About      string             `json:"description"`
	Examples   []any              `json:"examples"`
	Default    any                `json:"default"`
}

// movedKeyword matches a keyword that an SDK moved from a schema to the end of
// its description, such as "{maximum: 5, pattern: "^a{3}$"}".
var movedKeyword = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(\w+): ("(?:[^"\\]|\\.)*"|[^,]+)`) })

// movedKeywords returns the part of a description that holds moved keywords.
func movedKeywords(description string) string {
	text, ok := strings.CutSuffix(strings.TrimSpace(description), "}")
	if !ok {
		return ""
	}
	if at := strings.LastIndex(text, "\n\n{"); at >= 0 {
		return text[at+3:]
	}
	text, _ = strings.CutPrefix(text, "{")
	return text
}

// UnmarshalJSON parses a schema. Keywords in the description count as the
// schema's own.
func (s *schema) UnmarshalJSON(data []byte) error {
	type plain schema
	if string(data) == "true" || string(data) == "false" {
		return nil
	}
	if err := json.Unmarshal(data, (*plain)(s)); err != nil {
		return err
	}
	for _, m := range movedKeyword().FindAllStringSubmatch(movedKeywords(s.About), -1) {
		value := strings.Trim(strings.TrimSpace(m[2]), `"`)
		n, err := strconv.ParseFloat(value, 64)
		if m[1] == "format" {
			s.Format = value
		}
		if err != nil || math.Abs(n) > 1e15 {
			continue
		}
		switch m[1] {
		case "minimum":
			s.Minimum = &n
		case "maximum":
			s.Maximum = &n
		case "exclusiveMinimum":
			s.Above = &n
		case "exclusiveMaximum":
			s.Below = &n
		case "multipleOf":
			s.MultipleOf = &n
		case "minItems":
			s.MinItems = int(n)
		case "maxItems":
			s.MaxItems = new(int(n))
		case "minLength":
			s.MinLength = int(n)
		case "maxLength":
			s.MaxLength = new(int(n))
		}
	}
	return nil
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
	root  *schema
	src   *source
	items int // items of lists so far

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
			n = max(0, min(n, *s.MaxItems))
		}
		if depth > maxDepth {
			n = 0
		}
		list := make([]any, max(n, min(s.MinItems, maxGenerated-g.items)))
		g.items += len(list)
		for i := range list {
			list[i] = g.value(s.Items, name, depth+1)
		}
		return list
	case "integer":
		return int64(g.number(s, 1))
	case "number":
		return g.number(s, 0.1)
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

// number returns a number within the schema's bounds that is a multiple of unit,
// or of the schema's own multipleOf.
func (g *generator) number(s *schema, unit float64) float64 {
	if s.MultipleOf != nil && *s.MultipleOf > 0 {
		unit = *s.MultipleOf
	}
	// Steps of unit from the first to the last that fit.
	first, last := math.Inf(-1), math.Inf(1)
	if s.Minimum != nil {
		first = math.Ceil(steps(*s.Minimum, unit))
	}
	if s.Above != nil {
		first = max(first, math.Floor(steps(*s.Above, unit))+1)
	}
	if s.Maximum != nil {
		last = math.Floor(steps(*s.Maximum, unit))
	}
	if s.Below != nil {
		last = min(last, math.Ceil(steps(*s.Below, unit))-1)
	}
	switch {
	case math.IsInf(first, 0) && math.IsInf(last, 0):
		first, last = 0, 9
	case math.IsInf(first, 0):
		first = min(last, max(0, last-9))
	case math.IsInf(last, 0):
		last = first + 9
	case last < first && s.MultipleOf == nil && s.kind() == "number" && unit > 1e-9:
		return g.number(s, unit/10) // the bounds are narrower than unit
	}
	n := first + float64(g.src.rng.IntN(int(max(1, min(10, last-first+1)))))
	if unit < 1 && s.MultipleOf == nil {
		return n / math.Round(1/unit) // 3 / 10 is 0.3, 3 * 0.1 is not
	}
	return n * unit
}

// steps returns how many units a number is.
func steps(n, unit float64) float64 {
	if inverse := math.Round(1 / unit); unit < 1 && 1/unit == inverse {
		return n * inverse // 0.3 * 10 is 3, 0.3 / 0.1 is not
	}
	return n / unit
}

// formats lists an example of each format of strings.
var formats = map[string]string{
	"date": "2026-01-31", "time": "12:00:00Z", "date-time": "2026-01-31T12:00:00Z", "duration": "P3DT4H",
	"email": "simulated@example.com", "hostname": "simulated.example.com", "uri": "https://example.com/simulated",
	"url": "https://example.com/simulated", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"uuid": "5f3a1c2e-9b7d-4e6f-8a1b-0c2d3e4f5a6b",
}

func (g *generator) text(s *schema, name string) string {
	if example, ok := formats[s.Format]; ok {
		return example
	}
	if g.arguments && len(g.paths) > 0 && isPathName(name) {
		return g.paths[0]
	}
	text := strings.TrimSpace("simulated " + strings.ReplaceAll(name, "_", " "))
	if g.task != "" {
		text += " for " + quote(g.task, 60)
	}
	runes := []rune(text) // lengths count characters
	for len(runes) < min(s.MinLength, maxGenerated) {
		runes = append(runes, '.')
	}
	if s.MaxLength != nil && len(runes) > *s.MaxLength {
		runes = runes[:max(0, *s.MaxLength)]
	}
	return string(runes)
}

// maxGenerated is the largest number of characters of a text, or of items of all
// lists, that a schema can demand.
const maxGenerated = 100_000

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
