package agent

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Document is a Markdown file with YAML frontmatter that need not be an agent, such
// as a skill.
type Document struct {
	// Values holds the frontmatter, decoded from YAML; nil if there is none.
	Values map[string]any
	// Body is what follows the frontmatter, valid UTF-8 with LF line ends.
	Body string
}

// ParseDocument reads a Markdown file as [Parse] does, with the same repairs of its
// frontmatter. It returns a warning for frontmatter that cannot be read, whose
// values are left out. A warning without a repair has no effect on the body.
func ParseDocument(file string, data []byte) (Document, []Warning) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return Document{}, []Warning{{File: file, Message: "the file is in UTF-16", Hint: "save it as UTF-8"}}
	}
	f := split(data)
	if !f.found {
		return Document{Body: clean(data[f.bodyStart:])}, nil
	}
	if !f.closed {
		return Document{Body: clean(data)}, []Warning{{File: file, Line: 1, Message: "the frontmatter has no end", Hint: "close it with a line ---"}}
	}
	d := Document{Body: clean(data[f.bodyStart:]), Values: map[string]any{}}
	h, err := readHead(clean(data[f.headStart:f.headEnd]))
	if err != nil {
		w := Warning{File: file, Message: "the frontmatter is not valid YAML and is left out: " + err.Error(), Hint: hintQuote}
		if e, ok := errors.AsType[*yamlError](err); ok {
			w.Line, w.Hint = fileLine(e.line), cmp.Or(e.hint, w.Hint)
		}
		return d, []Warning{w}
	}
	var warnings []Warning
	for _, field := range h.fields {
		var value any
		if field.key == "" {
			continue
		}
		if err := field.value.Decode(&value); err != nil {
			warnings = append(warnings, Warning{File: file, Line: fileLine(field.line), Message: fmt.Sprintf("the value of %s cannot be read and is ignored", field.key)})
			continue
		}
		if field.value.Kind == yaml.ScalarNode && field.value.ShortTag() != "!!null" && field.value.ShortTag() != "!!bool" {
			value = field.value.Value // as it is written: 1.10 is no number
		}
		d.Values[field.key] = value
	}
	return d, warnings
}

// Text returns a value of the frontmatter that is one text, trimmed; empty if there
// is none.
func (d Document) Text(key string) string {
	text, _ := d.Values[key].(string)
	return strings.TrimSpace(text)
}

// Bool returns a value of the frontmatter that is true or false, or absent.
func (d Document) Bool(key string, absent bool) bool {
	switch v := d.Values[key].(type) {
	case bool:
		return v
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "yes", "on":
			return true
		case "false", "no", "off":
			return false
		}
	}
	return absent
}

// List returns a value of the frontmatter that is a list, or a text whose elements
// are separated by commas and spaces outside of parentheses.
func (d Document) List(key string) []string { return List(d.Values[key]) }

// List returns the texts of a value that was decoded from YAML: a list, or a text
// whose elements are separated by commas and spaces outside of parentheses.
func List(value any) []string {
	switch v := value.(type) {
	case string:
		return splitTools(v)
	case []any:
		var list []string
		for _, item := range v {
			if text, ok := item.(string); ok && strings.TrimSpace(text) != "" {
				list = append(list, strings.TrimSpace(text))
			}
		}
		return list
	}
	return nil
}
