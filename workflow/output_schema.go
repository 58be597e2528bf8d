package workflow

import (
	"bytes"
	"encoding/json"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/outschema"
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
	c := schemaChecker{reader: p, root: n, state: map[*yaml.Node]int{}}
	c.schema(n)
	if p.failures == before {
		c.circles(n)
	}
	if p.failures > before {
		return nil
	}
	if _, err := outschema.Compile(b.Bytes()); err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		p.fail(n, nil, "", "schema: %s", strings.TrimPrefix(message, "jsonschema.Schema: "))
		return nil
	}
	return b.Bytes()
}

// writeJSON writes a node as JSON. It stops beyond maxSchemaBytes; the caller
// checks the length.
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
