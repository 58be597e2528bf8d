package workflow

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/outschema"
)

// Keywords of JSON Schema, beside those that package outschema lists.
var (
	samePlace     = []string{"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"} // apply to the very value
	otherwiseRefs = []string{"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary"}
)

// schemaChecker finds the common mistakes in a JSON Schema, with positions, and
// those that would make validation fetch a document or never end.
type schemaChecker struct {
	*reader
	root  *yaml.Node
	state map[*yaml.Node]int // of endless
}

func (c schemaChecker) schema(n *yaml.Node) {
	if n = follow(n); n.Kind != yaml.MappingNode {
		if n.Tag != "!!bool" {
			c.fail(n, nil, "", "a schema must be a mapping, not %s", kindOf(n))
		}
		return
	}
	for key, value := range pairs(n) {
		switch name := key.Value; {
		case name == "type":
			c.types(value)
		case name == "pattern":
			c.pattern(value)
		case name == "$ref":
			c.target(value)
		case slices.Contains(outschema.Counts, name):
			if c.count(value, "schema: "+name, 0); value.Tag == "!!int" && !isNumber(value.Value) {
				c.fail(value, nil, "write it in decimal, without _ or leading zeros", "schema: %s must be a number as JSON has it, not %s", name, value.Value)
			}
		case slices.Contains(outschema.Numbers, name) && value.Tag != "!!int" && value.Tag != "!!float":
			c.fail(value, nil, "", "schema: %s must be a number, not %s", name, kindOf(value))
		case slices.Contains(outschema.Numbers, name) && !isNumber(value.Value):
			c.fail(value, nil, "write it in decimal, without _ or leading zeros", "schema: %s must be a number as JSON has it, not %s", name, value.Value)
		case slices.Contains(outschema.Texts, name):
			before := c.failures
			c.text(value, "schema: "+name)
			if c.failures == before && name == "format" && !slices.Contains(outschema.Formats, value.Value) {
				c.fail(value, nil, "known: "+strings.Join(outschema.Formats, ", "), "schema: unknown format %s", quote(value.Value))
			}
		case (name == "required" || name == "enum") && value.Kind != yaml.SequenceNode:
			c.fail(value, nil, "", "schema: %s must be a list, not %s", name, kindOf(value))
		case name == "required":
			for _, inner := range value.Content {
				c.text(follow(inner), "schema: an entry of required")
			}
		case name == "$id" && n == c.root:
		case slices.Contains(otherwiseRefs, name):
			c.fail(key, nil, "give a part a name under $defs and refer to it as #/$defs/NAME", "schema: %s cannot be used here", name)
		case !slices.Contains(outschema.Keywords, name):
			c.fail(key, nil, outschema.Nearest(name), "schema: unknown keyword %s", quote(name))
		case name == "items" && value.Kind == yaml.SequenceNode: // draft 7
			c.each(value)
		case slices.Contains(outschema.HoldsOne, name):
			c.schema(value)
		case slices.Contains(outschema.HoldsList, name):
			if value.Kind != yaml.SequenceNode {
				c.fail(value, nil, "", "schema: %s must be a list, not %s", name, kindOf(value))
				continue
			}
			c.each(value)
		case slices.Contains(outschema.HoldsByName, name):
			if value.Kind != yaml.MappingNode {
				c.fail(value, nil, "", "schema: %s must be a mapping, not %s", name, kindOf(value))
				continue
			}
			for key, inner := range pairs(value) {
				if name == "patternProperties" {
					c.pattern(key)
				}
				c.schema(inner)
			}
		}
	}
}

func (c schemaChecker) each(list *yaml.Node) {
	for _, inner := range list.Content {
		c.schema(inner)
	}
}

func (c schemaChecker) types(n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		for _, t := range n.Content {
			c.types(follow(t))
		}
		return
	}
	if n.Tag == "!!null" {
		c.fail(n, nil, `put it in quotes: "null"`, "schema: type is empty")
		return
	}
	if !slices.Contains(outschema.Types, n.Value) {
		hint := c.suggester.didYouMean(n.Value, outschema.Types)
		if hint == "" {
			hint = "known: " + list(outschema.Types)
		}
		c.fail(n, nil, hint, "schema: unknown type %s", quote(n.Value))
	}
}

func (c schemaChecker) pattern(n *yaml.Node) {
	if _, err := regexp.Compile(n.Value); err != nil {
		c.fail(n, nil, "", "schema: %v", err)
	}
}

// target returns the node that a $ref refers to. If there is none, it reports
// that and returns nil.
func (c schemaChecker) target(n *yaml.Node) *yaml.Node {
	pointer, ok := strings.CutPrefix(n.Value, "#")
	if !ok || pointer != "" && !strings.HasPrefix(pointer, "/") {
		c.fail(n, nil, "copy it under $defs and refer to it as #/$defs/NAME", "schema: $ref %s refers to another document", quote(n.Value))
		return nil
	}
	at := follow(c.root)
	for i, step := range strings.Split(pointer, "/") {
		if i == 0 {
			continue
		}
		if decoded, err := url.PathUnescape(step); err == nil {
			step = decoded
		}
		if at = child(at, strings.NewReplacer("~1", "/", "~0", "~").Replace(step)); at == nil {
			c.fail(n, nil, "", "schema: $ref %s refers to nothing in the schema", quote(n.Value))
			return nil
		}
	}
	return at
}

// endless reports references that lead back to the same schema without descending
// into the value: validation would never end.
func (c schemaChecker) endless(n *yaml.Node) {
	n = follow(n)
	if n.Kind != yaml.MappingNode || c.state[n] != 0 {
		return
	}
	c.state[n] = visiting
	for key, value := range pairs(n) {
		switch name := key.Value; {
		case name == "$ref":
			to := c.target(value)
			if to != nil && c.state[to] == visiting {
				c.fail(value, nil, "", "schema: $ref %s refers to itself", quote(value.Value))
			} else if to != nil {
				c.endless(to)
			}
		case !slices.Contains(samePlace, name):
		case value.Kind == yaml.SequenceNode:
			for _, inner := range value.Content {
				c.endless(inner)
			}
		case name == "dependentSchemas":
			for _, inner := range pairs(value) {
				c.endless(inner)
			}
		default:
			c.endless(value)
		}
	}
	c.state[n] = done
}

// circles reports endless references from every schema below n. Mappings that
// are not schemas do no harm.
func (c schemaChecker) circles(n *yaml.Node) {
	n = follow(n)
	c.endless(n)
	for _, inner := range n.Content {
		c.circles(inner)
	}
}

const (
	visiting = 1 + iota
	done
)

// child returns an entry of a mapping or list, or nil.
func child(n *yaml.Node, name string) *yaml.Node {
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
			return follow(n.Content[i])
		}
		return nil
	}
	for key, value := range pairs(n) {
		if key.Value == name {
			return value
		}
	}
	return nil
}

// pairs yields the entries of a mapping, with aliases followed.
func pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(follow(n.Content[i]), follow(n.Content[i+1])) {
				return
			}
		}
	}
}
