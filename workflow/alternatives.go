package workflow

import (
	"fmt"
	"path"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// alternatives returns the fields of a step that runs one of several workflows, workflow:
// {from: ..., among: [...]}, as those of a step with steps of its own: one that finds the
// name, and one for each workflow, which runs if it has that name.
func (p *reader) alternatives(d *draft, n *yaml.Node) fields {
	d.chooses, p.continuing = true, true // with is read for each workflow
	const hint = `write workflow: {from: "${{ ... }}", among: [a.yaml, b.yaml]}`
	rest := d.fields
	for _, key := range []string{"workflow", "with", "output"} {
		if rest.get(key) != nil {
			rest = rest.without(key)
		}
	}
	for _, key := range slices.Concat([]string{"agent", "prompt", "task", "command"}, kinds) {
		if own := rest.given(key); own != nil {
			p.fail(own, nil, oneThing, "%s cannot have both %s and workflow", d.of(), key)
			rest = rest.without(key)
		}
	}
	failed := rest.with("value", textAt(n, "")) // for one mistake, one error
	f, ok := p.fields(n, "workflow", choiceKeys)
	if !ok {
		return failed
	}
	from, among := f.given("from"), f.given("among")
	if from == nil || among == nil {
		p.fail(n, nil, hint, "workflow needs both from and among")
		return failed
	}
	if among = follow(among); among.Kind != yaml.SequenceNode || len(among.Content) == 0 {
		p.fail(among, nil, hint, "among must be a list of workflows with at least one")
		return failed
	}
	if d.ID == "" { // already reported
		return failed
	}
	find := d.ID + "-choice"
	steps := &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column}
	var names, outputs []string
	for _, item := range among.Content {
		name := p.plain(item, "an entry of among")
		if name == "" {
			return failed
		}
		if slices.Contains(names, name) {
			p.fail(item, nil, "remove one of them", "workflow %s is named twice", quote(name))
			return failed
		}
		id := d.ID + "-" + idOf(name)
		for n := 2; id == find || slices.Contains(outputs, "steps."+id+"?.output"); n++ { // in other folders
			id = fmt.Sprintf("%s-%s-%d", d.ID, idOf(name), n)
		}
		names = append(names, name)
		outputs = append(outputs, "steps."+id+"?.output")
		step := mappingAt(item, "id", id, "when", "${{ steps."+find+".output == "+quotedText(name)+" }}")
		step.Content = append(step.Content, textAt(item, "workflow"), item)
		for _, key := range []string{"with", "output"} {
			if own := d.fields.given(key); own != nil {
				step.Content = append(step.Content, textAt(own, key), own)
			}
		}
		steps.Content = append(steps.Content, step)
	}
	choice := mappingAt(from, "id", find, "value")
	choice.Content = append(choice.Content, from)
	steps.Content = append([]*yaml.Node{choice}, steps.Content...)
	// A name that is none of the list is in no object of them, which is an error.
	literals := make([]string, len(names))
	for i, name := range names {
		literals[i] = quotedText(name) + ": " + quotedText(name)
	}
	output := textAt(n, "${{ "+strings.Join(outputs, " ?? ")+" ?? {"+strings.Join(literals, ", ")+"}[steps."+find+".output] }}")
	return rest.with("steps", steps).with("output", output)
}

// idOf returns the part of a step's id that a workflow's name or path gives.
func idOf(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.TrimSuffix(name, path.Ext(name))
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isIDByte(byte(r), 1) {
			return r
		}
		return '-'
	}, name)
}

// quotedText returns a text as expressions write it.
func quotedText(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// textAt returns a text as if it stood where another node does.
func textAt(at *yaml.Node, text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: text, Line: at.Line, Column: at.Column}
}

// mappingAt returns a mapping of texts as if it stood where another node does.
func mappingAt(at *yaml.Node, texts ...string) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: at.Line, Column: at.Column}
	for _, text := range texts {
		m.Content = append(m.Content, textAt(at, text))
	}
	return m
}
