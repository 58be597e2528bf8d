package importer

import (
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// mapping is a mapping of the result that is being built.
type mapping struct{ node *yaml.Node }

func newMapping() *mapping { return &mapping{&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}} }

// set adds an entry and returns its key, which takes the comment. Of a key that is there
// it replaces the value.
func (m *mapping) set(key string, value *yaml.Node) *yaml.Node {
	for i := 0; i+1 < len(m.node.Content); i += 2 {
		if m.node.Content[i].Value == key {
			m.node.Content[i+1] = value
			return m.node.Content[i]
		}
	}
	k := text(key)
	m.node.Content = append(m.node.Content, k, value)
	return k
}

func (m *mapping) text(key, value string) *yaml.Node { return m.set(key, text(value)) }

func (m *mapping) number(key string, value int) *yaml.Node {
	return m.set(key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(value)})
}

func (m *mapping) texts(key string, values ...string) *yaml.Node {
	seq := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
	for _, v := range values {
		seq.Content = append(seq.Content, text(v))
	}
	return m.set(key, seq)
}

// maxCount bounds what is taken over of counts: iterations and attempts.
const maxCount = 100_000

// countOf returns a number that is written in digits, at most [maxCount].
func countOf(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return maxCount // more digits than a number has
	}
	return min(n, maxCount)
}

// steps adds a list of steps.
func (m *mapping) steps(values []*mapping) {
	seq := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, v := range values {
		seq.Content = append(seq.Content, v.node)
	}
	m.set("steps", seq)
}

func (m *mapping) has(key string) bool { return get(m.node, key) != nil }

// text returns a scalar that is read as the text s, whatever YAML takes it for.
func text(s string) *yaml.Node {
	s = printable(s)
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.Contains(s, "\n") && !strings.HasPrefix(s, " ") && !strings.HasPrefix(s, "\n") && !strings.Contains(s, "\t") && !strings.Contains(s, " \n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}

// printable drops the characters that YAML cannot hold.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == 0xfeff || r >= 0xfffe && r <= 0xffff {
			return -1
		}
		return r
	}, s)
}

// expr returns a text of one expression.
func expr(source string) string { return "${{ " + source + " }}" }

// literal returns a text that stands for itself, where expressions are read.
func literal(s string) string { return strings.ReplaceAll(s, "${{", "$${{") }

// quoted returns a text as it is written in an expression.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range printable(s) {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
