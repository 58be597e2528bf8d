package importer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/internal/yamltext"
)

// Limits of a file.
const (
	MaxBytes  = 1 << 20 // of a file
	maxNodes  = 50_000  // values of a file with those that aliases stand for
	maxNested = 60      // mappings and lists within each other
	maxDocs   = 100     // documents of a file
)

// load returns the documents of a file, at least one, each a mapping. Aliases are
// replaced by what they stand for, within limits, and merge keys are merged.
func load(data []byte) ([]*yaml.Node, error) {
	switch {
	case len(data) > MaxBytes:
		return nil, fmt.Errorf(" the file has more than %d bytes", MaxBytes)
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		return nil, errors.New(" the file is not a text in UTF-8")
	}
	left := maxNodes
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			problem := yamltext.Explain(string(data), err)
			return nil, fmt.Errorf("%d: %s", problem.Line, problem.Message)
		}
		root, err := expand(&doc, &left, 0)
		if err != nil {
			return nil, err
		}
		if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
			root = root.Content[0]
		}
		if root.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("%d: the file is not a mapping: %w: %s", max(root.Line, 1), ErrUnknown, lookedFor)
		}
		if docs = append(docs, root); len(docs) > maxDocs {
			return nil, fmt.Errorf("%d: the file has more than %d documents", root.Line, maxDocs)
		}
	}
	if len(docs) == 0 {
		return nil, fmt.Errorf(" the file is empty: %w: %s", ErrUnknown, lookedFor)
	}
	return docs, nil
}

// expand returns a copy of a node without aliases, anchors, comments and merge keys.
func expand(n *yaml.Node, left *int, depth int) (*yaml.Node, error) {
	line := n.Line
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		if *left--; *left < 0 {
			return nil, fmt.Errorf("%d: the file has more than %d values", line, maxNodes)
		}
		n = n.Alias
	}
	*left--
	switch {
	case *left < 0:
		return nil, fmt.Errorf("%d: the file has more than %d values, counting what aliases stand for", line, maxNodes)
	case depth > maxNested:
		return nil, fmt.Errorf("%d: values are nested more than %d deep, or an alias stands for what it is part of", line, maxNested)
	}
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style, Line: line, Column: n.Column}
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			e, err := expand(child, left, depth+1)
			if err != nil {
				return nil, err
			}
			c.Content = append(c.Content, e)
		}
		return c, nil
	}
	return c, expandMapping(c, n, left, depth)
}

// expandMapping adds the entries of a mapping to the copy c.
func expandMapping(c, n *yaml.Node, left *int, depth int) error {
	at := map[string]int{}
	merged := map[string]bool{}
	add := func(key, value *yaml.Node, merge bool) error {
		if key.Kind != yaml.ScalarNode {
			return fmt.Errorf("%d: a key is not a text", key.Line)
		}
		i, twice := at[key.Value]
		switch {
		case !twice:
			at[key.Value] = len(c.Content)
			merged[key.Value] = merge
			c.Content = append(c.Content, key, value)
		case merge:
		case merged[key.Value]:
			c.Content[i+1] = value
			merged[key.Value] = false
		default:
			return fmt.Errorf("%d: key %s is given twice", key.Line, show(key))
		}
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, err := expand(n.Content[i], left, depth+1)
		if err != nil {
			return err
		}
		value, err := expand(n.Content[i+1], left, depth+1)
		if err != nil {
			return err
		}
		if key.Value != "<<" || n.Content[i].Style != 0 {
			if err := add(key, value, false); err != nil {
				return err
			}
			continue
		}
		from := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			from = value.Content
		}
		for _, m := range from {
			for k, v := range entries(m) {
				if err := add(k, v, true); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// entries yields the keys and values of a mapping; of anything else, none.
func entries(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// get returns the value of the first of the keys that a mapping has; nil if it has none
// or null.
func get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		for k, v := range entries(n) {
			if k.Value == key && !isNull(v) {
				return v
			}
		}
	}
	return nil
}

// str returns the text of a scalar under the first of the keys that is there.
func str(n *yaml.Node, keys ...string) string {
	if v := get(n, keys...); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

// list returns the elements of a list, of a single value that itself.
func list(n *yaml.Node) []*yaml.Node {
	switch {
	case n == nil || isNull(n):
		return nil
	case n.Kind == yaml.SequenceNode:
		return n.Content
	}
	return []*yaml.Node{n}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// show returns a value for a message, in one line and shortened.
func show(n *yaml.Node) string {
	switch n.Kind {
	case yaml.ScalarNode:
		s := oneLine(n.Value)
		if r := []rune(s); len(r) > 80 {
			s = string(r[:77]) + "..."
		}
		return s
	case yaml.MappingNode:
		var keys []string
		for k := range entries(n) {
			keys = append(keys, oneLine(k.Value))
		}
		return "{" + strings.Join(keys, ", ") + "}"
	}
	var parts []string
	for _, c := range n.Content {
		parts = append(parts, show(c))
	}
	s := "[" + strings.Join(parts, ", ") + "]"
	if r := []rune(s); len(r) > 80 {
		s = string(r[:77]) + "..."
	}
	return s
}
