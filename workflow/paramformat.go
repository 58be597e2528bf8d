package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// Formats of parameters: how a text that is given for one is read.
const (
	FormatFile  = "file"  // the path of a file that must be there
	FormatList  = "list"  // a JSON array, else an item per line
	FormatJSON  = "json"  // any JSON value
	FormatCSV   = "csv"   // rows below a header, each an object
	FormatLines = "jsonl" // a JSON value per line
)

// formats are the formats, each with the type of its values.
var formats = map[string]string{
	FormatFile: "string", FormatList: "array", FormatJSON: "any", FormatCSV: "array", FormatLines: "array",
}

// read returns the value of a text that is given for the parameter, or what the text
// must be.
func (param Param) read(text string) (any, error) {
	if param.Format == "" || param.Format == FormatFile {
		return convert(param.Type, text)
	}
	if !utf8.ValidString(text) {
		return nil, errors.New("UTF-8 text")
	}
	text = strings.TrimPrefix(text, "\ufeff")
	switch param.Format {
	case FormatList:
		if strings.HasPrefix(strings.TrimSpace(text), "[") {
			return convert("array", text)
		}
		list := []any{}
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) != "" {
				list = append(list, withoutBreak(line))
			}
		}
		return list, nil
	case FormatJSON:
		v, err := ParseJSON(text)
		if err != nil {
			return nil, fmt.Errorf("JSON: %w", err)
		}
		if v == nil {
			return nil, errors.New("JSON with a value, not null")
		}
		return v, nil
	case FormatCSV:
		return decoded(OutputCSV, text, "CSV")
	case FormatLines:
		return decoded(OutputJSONLines, text, "a JSON value per line")
	}
	return nil, fmt.Errorf("a text of the format %s, which is not known", param.Format)
}

// decoded returns the value of a text of a kind; want says what the text must be.
func decoded(kind RunOutput, text, want string) (any, error) {
	v, err := Decode(kind, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", want, err)
	}
	return v, nil
}

// formatDefault reads the default of a parameter that has a format.
func (p *reader) formatDefault(param Param, n *yaml.Node) Param {
	if n == nil || isNull(n) {
		return param
	}
	what := "the default of parameter " + quote(param.Name)
	var err error
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" || param.Format == FormatFile {
		p.whole(n, what)
		param.Default, err = param.read(p.text(n, what))
	} else {
		v, ok := p.value(n)
		if !ok {
			return param
		}
		param.Default, err = param.fit(v)
	}
	if err != nil {
		p.fail(n, nil, "", "%s must be %s", what, err)
		return param
	}
	param.HasDefault = true
	return param
}

// ReadParams returns the values in a file of parameters, a mapping in YAML or JSON, as
// the texts that [Workflow.BindParams] takes: texts and numbers as they are written, lists
// and mappings as JSON. What is null is not given. The error is of type [Errors].
func ReadParams(file string, data []byte) (map[string]string, error) {
	l := newLoader(Options{})
	p := &reader{file: file, loader: l, suggester: suggester{budget: 1000}, ids: map[string]*yaml.Node{}}
	l.readers = append(l.readers, p)
	given := map[string]string{}
	if root := p.load(data); root != nil {
		p.readParams(root, given)
	}
	if errs := l.errors(file); len(errs) > 0 {
		return nil, errs
	}
	return given, nil
}

func (p *reader) readParams(root *yaml.Node, given map[string]string) {
	root = follow(root)
	if root.Kind != yaml.MappingNode {
		p.fail(root, nil, "write one NAME: VALUE a line", "a file of parameters must be a mapping, not %s", kindOf(root))
		return
	}
	p.entries(root, func(key, n *yaml.Node) {
		what := "parameter " + quote(key.Value)
		switch {
		case isNull(n):
		case n.Kind == yaml.ScalarNode:
			p.whole(n, what)
			given[key.Value] = n.Value
		default:
			v, ok := p.value(n)
			if !ok {
				return
			}
			text, err := json.Marshal(v)
			if err != nil {
				p.fail(n, nil, "", "%s cannot be used: %s", what, err)
				return
			}
			given[key.Value] = string(text)
		}
	})
}
