package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v4"
)

const maxSchemaBytes = 64 << 10

// outputSchema reads a JSON Schema, checks that it is one, and returns it as
// JSON with its keys in the order of the file.
func (p *reader) outputSchema(n *yaml.Node) json.RawMessage {
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, "write the JSON Schema itself, such as schema: {type: object, ...}", "schema must be a mapping, not %s", kindOf(n))
		return nil
	}
	before := p.failures
	var b bytes.Buffer
	p.writeJSON(&b, n)
	switch {
	case p.failures > before:
		return nil
	case b.Len() > maxSchemaBytes:
		p.fail(n, ErrTooLarge, "", "the schema is larger than %d KiB", maxSchemaBytes>>10)
		return nil
	}
	if err := compileSchema(b.Bytes()); err != nil {
		at, message := schemaMistake(n, err)
		p.fail(at, nil, "", "schema: %s", message)
		return nil
	}
	return b.Bytes()
}

// writeJSON writes a node as JSON; too long a text is cut off, which the
// caller sees by its length.
func (p *reader) writeJSON(b *bytes.Buffer, n *yaml.Node) {
	n = follow(n)
	if b.Len() > maxSchemaBytes {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		first := true
		p.entries(n, func(key, value *yaml.Node) {
			if !first {
				b.WriteByte(',')
			}
			first = false
			writeScalar(b, key.Value)
			b.WriteByte(':')
			p.writeJSON(b, value)
		})
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, c := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			p.writeJSON(b, c)
		}
		b.WriteByte(']')
	default:
		if v, ok := p.value(n); ok {
			writeScalar(b, v)
		}
	}
}

func writeScalar(b *bytes.Buffer, v any) {
	if s, ok := v.(string); ok && len(s) > maxSchemaBytes {
		b.WriteString(s) // over the limit in any case
		return
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // texts and numbers that JSON has
	b.Truncate(b.Len() - 1)
}

// noSchemas refuses to fetch anything a schema refers to.
type noSchemas struct{}

func (noSchemas) Load(url string) (any, error) {
	return nil, errors.New("a schema cannot refer to others elsewhere")
}

func compileSchema(data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	const name = "schema.json"
	c := jsonschema.NewCompiler()
	c.UseLoader(noSchemas{})
	if err := c.AddResource(name, doc); err != nil {
		return err
	}
	_, err = c.Compile(name)
	return err
}

// schemaMistake finds the part of a schema that an error is about.
func schemaMistake(n *yaml.Node, err error) (*yaml.Node, string) {
	if load, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return findText(n, load.URL), fmt.Sprintf("%s cannot be used: a schema cannot refer to others elsewhere", quote(load.URL))
	}
	if regex, ok := errors.AsType[*jsonschema.InvalidRegexError](err); ok {
		return findText(n, regex.Regex), fmt.Sprintf("%s is not a regular expression: %v", quote(regex.Regex), regex.Err)
	}
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if leaf, ok := errors.AsType[*jsonschema.ValidationError](invalid.Err); ok {
			for len(leaf.Causes) > 0 {
				leaf = leaf.Causes[0]
			}
			_, message, _ := strings.Cut(leaf.Error(), "\n")
			_, message, _ = strings.Cut(message, ": ")
			at := "/" + strings.Join(leaf.InstanceLocation, "/")
			return child(n, leaf.InstanceLocation), "not a JSON Schema: at " + quote(at) + ": " + message
		}
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	return n, strings.ReplaceAll(message, "file:///", "")
}

// child follows a path into a node as far as it leads.
func child(n *yaml.Node, path []string) *yaml.Node {
	for _, step := range path {
		n = follow(n)
		next := -1
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if follow(n.Content[i]).Value == step {
					next = i + 1
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.Content) {
				next = i
			}
		}
		if next < 0 {
			return n
		}
		n = n.Content[next]
	}
	return follow(n)
}

// findText returns the first text within n that begins the way of a reference
// to url, or n.
func findText(n *yaml.Node, text string) *yaml.Node {
	todo := []*yaml.Node{n}
	for len(todo) > 0 {
		at := follow(todo[0])
		todo = todo[1:]
		if at.Kind == yaml.ScalarNode && at.Value != "" && (at.Value == text || strings.HasPrefix(at.Value, text+"#")) {
			return at
		}
		todo = slices.Concat(at.Content, todo)
	}
	return n
}
