package importer

import (
	"regexp"
	"slices"
	"sync"

	yaml "go.yaml.in/yaml/v4"

	"github.com/claude-force/claude-force/workflow"
)

var (
	jsonNumber = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?$`) })
	positive   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[1-9][0-9]{0,5}$`) })
)

// schema carries over the JSON Schema of a step's output, if it is one that this
// project takes.
func (im *importer) schema(step *mapping, n *yaml.Node) {
	schema := plainCopy(n)
	probe, wf := newMapping(), newMapping()
	probe.text("id", "a")
	probe.text("prompt", "p")
	probe.text("task", "t")
	probe.set("schema", schema)
	wf.steps([]*mapping{probe})
	text, err := yaml.Marshal(wf.node)
	if err == nil {
		_, err = workflow.Parse("", text, workflow.Options{})
	}
	if err != nil {
		im.note(step.node, n, Missing, "the schema of the output is not carried over: %v", firstOf(err))
		return
	}
	step.set("schema", schema)
}

// plainCopy returns a copy of a value in which nothing is an expression.
func plainCopy(n *yaml.Node) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style & yaml.FlowStyle}
	if n.Kind == yaml.ScalarNode && !slices.Contains([]string{"!!int", "!!float", "!!bool", "!!null"}, n.Tag) {
		return text(n.Value)
	}
	for _, child := range n.Content {
		c.Content = append(c.Content, plainCopy(child))
	}
	return c
}

// without returns a mapping without an entry, and the value of that.
func without(n *yaml.Node, key string) (rest, value *yaml.Node) {
	c := *n
	c.Content = nil
	for k, v := range entries(n) {
		if k.Value == key {
			value = v
			continue
		}
		c.Content = append(c.Content, k, v)
	}
	return &c, value
}
