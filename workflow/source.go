package workflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
)

const (
	maxFileBytes  = 4 << 20
	maxDepth      = 64      // nesting of the file
	maxAliasNodes = 100_000 // nodes that all aliases together may expand to
)

// load parses the file into a tree of nodes with positions. If it cannot, it
// reports why and returns nil. YAML and JSON give the same tree.
func (p *reader) load(data []byte) *yaml.Node {
	if len(data) > maxFileBytes {
		p.add(&Error{Message: fmt.Sprintf("the file is larger than %d MiB", maxFileBytes>>20), Err: ErrTooLarge})
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	p.src.text = string(data)
	if at := invalidText(data); at >= 0 {
		line, col := p.src.position(at)
		p.add(&Error{Line: line, Column: col, Message: "not readable as UTF-8 text", Hint: "save the file as UTF-8 without control characters", Err: ErrSyntax})
		return nil
	}
	root := p.parseSource(data)
	if root == nil {
		return nil
	}
	budget := maxAliasNodes
	if bad, why := oversized(root, 0, false, &budget); bad != nil {
		p.fail(bad, ErrTooLarge, "", "%s", why)
		return nil
	}
	p.aliased = map[*yaml.Node]bool{}
	aliases(root, p.aliased)
	return root
}

func (p *reader) parseSource(data []byte) *yaml.Node {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) == 0 {
		p.add(&Error{Message: "the file is empty", Hint: "a workflow needs at least steps", Err: ErrSyntax})
		return nil
	}
	// JSON is read by a JSON parser: YAML refuses some of its escapes. What only
	// looks like JSON may still be YAML in flow style.
	var syntax *json.SyntaxError
	if trimmed[0] == '{' {
		var raw json.RawMessage
		err := json.Unmarshal(data, &raw)
		if err == nil {
			return readJSON(data)
		}
		syntax, _ = errors.AsType[*json.SyntaxError](err)
	}
	var doc yaml.Node
	err := yaml.Load(data, &doc)
	switch {
	case err == nil && len(doc.Content) == 1:
		return doc.Content[0]
	case err == nil:
		p.add(&Error{Message: "the file is empty", Hint: "a workflow needs at least steps", Err: ErrSyntax})
	case syntax != nil && bytes.HasPrefix(bytes.TrimLeft(trimmed[1:], " \t\r\n"), []byte(`"`)):
		line, col := p.src.position(max(0, int(syntax.Offset)-1))
		p.add(&Error{Line: line, Column: col, Message: "JSON: " + syntax.Error(), Err: ErrSyntax})
	default:
		p.add(yamlError(p.src.text, err))
	}
	return nil
}

// yamlError converts an error of the YAML loader.
func yamlError(text string, err error) *Error {
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		at := &Error{Line: load.Mark.Line, Column: load.Mark.Column, Err: ErrSyntax}
		switch {
		case strings.Contains(load.Message, "multiple"):
			at.Message, at.Hint = "the file holds more than one document", "one file is one workflow"
			return at
		case strings.Contains(load.Message, "no documents"):
			at.Message, at.Hint = "the file is empty", "a workflow needs at least steps"
			return at
		}
	}
	p := yamltext.Explain(text, err)
	return &Error{Line: p.Line, Column: p.Column, Message: "YAML: " + p.Message, Hint: p.Hint, Err: ErrSyntax}
}

// invalidText returns the offset of the first byte that cannot be part of a
// text file, or -1.
func invalidText(data []byte) int {
	for i := 0; i < len(data); {
		c := data[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 || r >= 0x80 && r < 0xa0 && r != 0x85 {
			return i
		}
		i += n
	}
	return -1
}

// aliases collects the nodes that aliases refer to.
func aliases(n *yaml.Node, to map[*yaml.Node]bool) {
	if n.Kind == yaml.AliasNode {
		to[n.Alias] = true
	}
	for _, c := range n.Content {
		aliases(c, to)
	}
}

// oversized returns the first node that nests too deeply or whose aliases expand
// to too much. It follows aliases, so later walks need no limits.
func oversized(n *yaml.Node, depth int, aliased bool, budget *int) (*yaml.Node, string) {
	if depth > maxDepth {
		return n, fmt.Sprintf("nested more than %d levels deep", maxDepth)
	}
	if aliased {
		if *budget--; *budget < 0 {
			return n, "the aliases of this file expand to too much data"
		}
	}
	if n.Kind == yaml.AliasNode {
		bad, why := oversized(n.Alias, depth+1, true, budget)
		if bad != nil {
			return n, why
		}
	}
	for _, c := range n.Content {
		if bad, why := oversized(c, depth+1, aliased, budget); bad != nil {
			return bad, why
		}
	}
	return nil, ""
}

// readJSON converts valid JSON into the nodes that the YAML loader would return.
func readJSON(data []byte) *yaml.Node {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	r := jsonReader{dec: dec, data: data, line: 1, column: 1}
	n, err := r.value()
	if err != nil {
		return nil // not reached: the caller has checked the syntax
	}
	return n
}

type jsonReader struct {
	dec          *json.Decoder
	data         []byte
	offset       int // line and column belong to it
	line, column int
}

func (r *jsonReader) value() (*yaml.Node, error) {
	end := int(r.dec.InputOffset())
	for end < len(r.data) && strings.IndexByte(" \t\r\n,:", r.data[end]) >= 0 {
		end++
	}
	for ; r.offset < end; r.offset++ {
		switch c := r.data[r.offset]; {
		case c == '\n' || c == '\r' && r.offset+1 < len(r.data) && r.data[r.offset+1] != '\n':
			r.line, r.column = r.line+1, 1
		case utf8.RuneStart(c):
			r.column++
		}
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: r.line, Column: r.column}
	tok, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := tok.(type) {
	case string:
		n.Tag, n.Value, n.Style = "!!str", t, yaml.DoubleQuotedStyle
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(t)
	case nil:
		n.Tag, n.Value = "!!null", "null"
	case json.Number:
		n.Tag, n.Value = "!!int", t.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case json.Delim:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if t == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for r.dec.More() {
			child, err := r.value()
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if _, err := r.dec.Token(); err != nil && err != io.EOF {
			return nil, err
		}
	}
	return n, nil
}
