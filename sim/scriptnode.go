package sim

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v4"
)

// plainJSON returns valid JSON without the escapes that YAML refuses.
func plainJSON(data []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return data
	}
	plain, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return data
	}
	return plain
}

// expand returns the tree with its aliases resolved. It returns nil if the
// tree is too large.
func (r *scriptReader) expand(n *yaml.Node, depth int) *yaml.Node {
	if r.nodes--; r.nodes < 0 || depth > maxScriptDepth {
		if len(r.errs) == 0 {
			r.fail(n, "", "the script nests too deeply or its aliases expand to too much")
		}
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return r.expand(n.Alias, depth+1)
	}
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		if c.Content[i] = r.expand(child, depth+1); c.Content[i] == nil {
			return nil
		}
	}
	return &c
}

// mapping calls set for each key of a mapping. Keys that set does not know are
// problems; known lists those it does.
func (r *scriptReader) mapping(n *yaml.Node, what string, set func(key string, v *yaml.Node) bool, known ...string) {
	if n.Kind != yaml.MappingNode {
		hint := ""
		if len(known) > 0 {
			hint = "its keys are " + strings.Join(known, ", ")
		}
		r.fail(n, hint, "%s must be a mapping, not %s", what, kindName(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			r.fail(key, "", "%s is given twice", key.Value)
			continue
		}
		seen[key.Value] = true
		if !set(key.Value, n.Content[i+1]) {
			r.fail(key, "the keys are "+strings.Join(known, ", "), "unknown key %q in %s", key.Value, what)
		}
	}
}

func (r *scriptReader) eachKey(n *yaml.Node, what string, set func(key string, v *yaml.Node)) {
	r.mapping(n, what, func(key string, v *yaml.Node) bool { set(key, v); return true })
}

func (r *scriptReader) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "begin each entry with a dash", "%s must be a list, not %s", what, kindName(n))
		return nil
	}
	if len(n.Content) == 0 {
		r.fail(n, "", "%s must have an entry", what)
	}
	return n.Content
}

func (r *scriptReader) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.fail(n, "", "%s must be a text, not %s", what, kindName(n))
		return ""
	}
	return n.Value
}

func (r *scriptReader) name(n *yaml.Node, what string) string {
	text := r.text(n, what)
	if n.Kind == yaml.ScalarNode && text == "" {
		r.fail(n, "", "%s must not be empty", what)
	}
	return text
}

func (r *scriptReader) boolean(n *yaml.Node, what string) bool {
	if n.Tag != "!!bool" {
		r.fail(n, "", "%s must be true or false, not %s", what, kindName(n))
	}
	return n.Value == "true"
}

func (r *scriptReader) count(n *yaml.Node, what string, least int) int {
	i, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || i < least {
		r.fail(n, "", "%s must be a whole number of at least %d, not %s", what, least, kindName(n))
		return least
	}
	return i
}

func (r *scriptReader) duration(n *yaml.Node, what string) time.Duration {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < 0 {
		r.fail(n, `write it like "300ms" or "2s"`, "%s must be a duration, not %s", what, kindName(n))
	}
	return d
}

// pattern parses a text, or a regular expression between slashes.
func (r *scriptReader) pattern(n *yaml.Node, what string) pattern {
	text := r.name(n, what)
	if len(text) < 3 || !strings.HasPrefix(text, "/") {
		return pattern{literal: text}
	}
	source, flags := text[1:len(text)-1], ""
	if !strings.HasSuffix(text, "/") {
		if !strings.HasSuffix(text, "/i") {
			return pattern{literal: text} // a path
		}
		source, flags = strings.TrimSuffix(text[1:], "/i"), "i"
	}
	re, err := regexp.Compile("(?ms" + flags + ")" + source)
	if err != nil {
		r.fail(n, "a text between slashes is a regular expression; without them it is taken as it is", "%s: %v", what, err)
		return pattern{}
	}
	return pattern{re: re}
}

// turns parses a number, or a range such as "2-5" or "3-".
func (r *scriptReader) turns(n *yaml.Node) (first, last int) {
	from, to, isRange := strings.Cut(n.Value, "-")
	first, err := strconv.Atoi(strings.TrimSpace(from))
	last = first
	if isRange {
		last = math.MaxInt
		if to = strings.TrimSpace(to); err == nil && to != "" {
			last, err = strconv.Atoi(to)
		}
	}
	if n.Kind != yaml.ScalarNode || err != nil || first < 1 || last < first {
		r.fail(n, `write 2, "2-5" or "3-"`, "turn must be a number from 1 or a range, not %s", kindName(n))
		return 1, math.MaxInt
	}
	return first, last
}

// json appends a value as JSON. Numbers keep their digits and mappings their
// order.
func (r *scriptReader) json(to []byte, n *yaml.Node) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		to = append(to, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				to = append(to, ',')
			}
			to = append(appendJSON(to, n.Content[i].Value), ':')
			to = r.json(to, n.Content[i+1])
		}
		return append(to, '}')
	case yaml.SequenceNode:
		to = append(to, '[')
		for i, c := range n.Content {
			if i > 0 {
				to = append(to, ',')
			}
			to = r.json(to, c)
		}
		return append(to, ']')
	}
	switch n.Tag {
	case "!!int", "!!float", "!!bool", "!!null":
		if json.Valid([]byte(n.Value)) {
			return append(to, n.Value...)
		}
		var v any
		if err := n.Decode(&v); err == nil {
			if data, err := json.Marshal(v); err == nil {
				return append(to, data...)
			}
		}
		r.fail(n, "put the value in quotes", "%s has no form in JSON", n.Value)
		return append(to, "null"...)
	}
	return appendJSON(to, n.Value)
}

func appendJSON(to []byte, text string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a text can always be encoded
	return append(to, bytes.TrimRight(buf.Bytes(), "\n")...)
}

// kindName describes a node in a message.
func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "empty"
	}
	return quote(n.Value, 40)
}
