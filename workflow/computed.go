package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// Computed is a value that a step computes: its output is the text of the value.
type Computed struct {
	value *Value
}

// Text returns the value's text: a text as it is, anything else as JSON. That there is
// no value, as of a part that a document does not have, is an error.
func (c *Computed) Text(env Env) (string, error) {
	v, err := c.value.Eval(env)
	if err != nil {
		return "", err
	}
	if v == nil {
		if c.value.expr == nil {
			return "", errors.New("there is no value")
		}
		return "", fmt.Errorf("evaluating ${{ %s }}: %s; give a default with ??", strings.TrimSpace(c.value.expr.source), c.value.expr.whyNil())
	}
	return render(v)
}

// Fill returns the value's text, like [Computed.Text].
func (c *Computed) Fill(env Env) (any, error) { return c.Text(env) }

func (c *Computed) refs(yield func(ref) bool) {
	if c != nil {
		c.value.walk(yield)
	}
}

// Uses yields the names that the expressions of the value use.
func (c *Computed) Uses() iter.Seq2[string, string] { return uses(c.refs) }

// Source returns the value as it is in the file.
func (c *Computed) Source() string { return c.value.Source() }

// Identity returns all that is in the file of the value.
func (c *Computed) Identity() string { return c.value.Source() }

// Shape returns that the output is JSON, as far as the file says.
func (c *Computed) Shape() RunOutput {
	if typ := c.value.typ(); typ == "array" || typ == "object" {
		return OutputJSON
	}
	return OutputText
}

// Verb returns value.
func (c *Computed) Verb() string { return "value" }

// schema returns a JSON Schema with the keys of the value, where the file says them; nil
// where it does not.
func (c *Computed) schema() json.RawMessage {
	data, err := json.Marshal(c.value.keysSchema())
	if err != nil || c.value.typ() != "object" {
		return nil
	}
	return data
}

// keysSchema returns the schema of a mapping in the file, and of anything else one that
// allows all.
func (v *Value) keysSchema() any {
	object, _ := v.fixed.(Object)
	keys := slices.Concat(v.keys, object.keys)
	if v.dict == nil && object.values == nil {
		return true
	}
	properties := make(map[string]any, len(keys))
	for _, key := range keys {
		if part := v.dict[key]; part != nil {
			properties[key] = part.keysSchema()
		} else {
			properties[key] = Fixed(object.values[key]).keysSchema()
		}
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// computed reads a step that computes a value: a text with expressions, or a list or
// mapping of such.
func (p *reader) computed(d *draft, v view) {
	n := d.fields.get("value")
	if isNull(n) {
		p.fail(n, nil, `write value: "${{ expression }}"`, "value is empty")
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Line: n.Line, Column: n.Column}
	}
	value := p.valueOf(d, v, n, "value")
	if value == nil { // it is reported
		value = Fixed("")
	}
	d.Value = &Computed{value}
}
