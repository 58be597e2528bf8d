package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

var paramTypes = []string{"string", "integer", "number", "boolean", "array", "object",
	FormatFile, FormatList, FormatJSON, FormatCSV, FormatLines}

// params reads the declarations of parameters. A declaration with an error still
// counts, so that uses of the parameter are not errors too.
func (p *reader) params(n *yaml.Node) []Param {
	if n == nil || isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, "write params: {path: .}", "params must be a mapping from names to defaults, not %s", kindOf(n))
		return nil
	}
	var params []Param
	p.entries(n, func(key, value *yaml.Node) {
		if !validID(key.Value) {
			p.fail(key, nil, "use letters, digits, - and _, and begin with a letter", "bad parameter name %s", quote(key.Value))
		}
		params = append(params, p.param(key.Value, value))
	})
	return params
}

func (p *reader) param(name string, n *yaml.Node) Param {
	param := Param{Name: name, Type: "any"}
	given := n // the default
	switch n.Kind {
	case yaml.SequenceNode:
		p.fail(n, nil, "write {default: [...]}", "the default of parameter %s must be a plain value", quote(name))
		return param
	case yaml.MappingNode:
		f, ok := p.fields(n, "parameter "+quote(name), paramKeys)
		if !ok {
			return param
		}
		param.Description = p.text(f.get("description"), "description")
		if t := f.get("type"); t != nil && !isNull(t) {
			before := p.failures
			param.Type = p.text(t, "type")
			if p.failures == before && !slices.Contains(paramTypes, param.Type) {
				hint := p.suggester.didYouMean(param.Type, paramTypes)
				if hint == "" {
					hint = "known: " + strings.Join(paramTypes, ", ")
				}
				p.fail(t, nil, hint, "unknown type %s of parameter %s", quote(param.Type), quote(name))
			}
			if !slices.Contains(paramTypes, param.Type) {
				return param
			}
		}
		given = f.get("default")
		if typ, ok := formats[param.Type]; ok {
			param.Type, param.Format = typ, param.Type
			return p.formatDefault(param, given)
		}
	}
	if param.Type == "string" && given != nil && given.Kind == yaml.ScalarNode && !isNull(given) {
		p.whole(given, "the default of parameter "+quote(name))
		param.Default, param.HasDefault = given.Value, true // as it is written, whatever YAML takes it for
		return param
	}
	if given == nil || isNull(given) {
		if param.Type == "any" {
			param.Type = "string"
		}
		return param
	}
	p.whole(given, "the default of parameter "+quote(name))
	v, ok := p.value(given)
	if !ok {
		return param
	}
	if param.Type == "number" {
		v = asDeclared("number", v)
	}
	switch typ := typeOf(v); {
	case param.Type == "any":
		param.Type = typ
	case param.Type == "number" && typ == "integer":
	case param.Type != typ:
		hint := ""
		if s, ok := v.(string); ok && given.Style == 0 && (given.Tag == "!!int" || given.Tag == "!!float") {
			hint = "write numbers as JSON does, such as 1000, 0.5 or 1e6; " + quote(s) + " is a text, which type: string takes"
		}
		p.fail(given, nil, hint, "the default of parameter %s is not of type %s but %s", quote(name), param.Type, typ)
		return param
	}
	param.Default, param.HasDefault = v, true
	return param
}

func typeOf(v any) string {
	switch v := v.(type) {
	case int:
		return "integer"
	case json.Number:
		if isWhole(v.String()) {
			return "integer"
		}
		return "number"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case map[string]any, Object:
		return "object"
	}
	return "string"
}

// value returns the value of a node as JSON would represent it. The result is
// false if the node has no such value, which is then reported.
func (p *reader) value(n *yaml.Node) (any, bool) {
	n = follow(n)
	ok := true
	switch n.Kind {
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, good := p.value(c)
			list, ok = append(list, v), ok && good
		}
		return list, ok
	case yaml.MappingNode:
		m, keys := make(map[string]any, len(n.Content)/2), make([]string, 0, len(n.Content)/2)
		p.entries(n, func(key, value *yaml.Node) {
			v, good := p.value(value)
			keys = append(keys, key.Value)
			m[key.Value], ok = v, ok && good
		})
		return Object{keys, m}, ok
	}
	switch n.Tag {
	case "!!str", "!!timestamp":
		return n.Value, true
	case "!!null":
		return nil, true
	case "!!bool":
		if n.Value == "true" || n.Value == "false" {
			return n.Value == "true", true
		}
		p.fail(n, nil, "write "+strings.ToLower(n.Value)+", or "+quote(n.Value)+" in quotes for the text", "%s may be a text or a truth value", n.Value)
		return nil, false
	case "!!int", "!!float":
		if isNumber(n.Value) {
			return number(n.Value), true
		}
		return n.Value, true
	}
	p.fail(n, nil, "", "%s cannot be used here", kindOf(n))
	return nil, false
}

// BindParams returns the value of every parameter for one run: the given one,
// parsed as the parameter's type (arrays and objects as JSON) or format, else the default.
// The error reports unknown names, values of the wrong type and missing values
// together; each matches [ErrParam]. The caller owns the result.
func (w *Workflow) BindParams(given map[string]string) (map[string]any, error) {
	bound := make(map[string]any, len(w.Params))
	names := make([]string, len(w.Params))
	var errs []error
	for i, param := range w.Params {
		names[i] = param.Name
		text, ok := given[param.Name]
		switch {
		case ok:
			v, err := param.read(text)
			if err != nil {
				errs = append(errs, fmt.Errorf("%w: %s must be %w", ErrParam, param.Name, err))
			}
			bound[param.Name] = v
		case param.HasDefault:
			bound[param.Name] = clone(param.Default)
		default:
			about := ""
			if param.Description != "" {
				about = " (" + clean(param.Description) + ")"
			}
			errs = append(errs, &MissingParamError{Name: param.Name, about: about})
		}
	}
	suggest := suggester{budget: 10_000}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if slices.Contains(names, name) {
			continue
		}
		hint := suggest.didYouMean(name, names)
		if hint == "" {
			hint = "known: " + list(names)
			if len(names) == 0 {
				hint = "this workflow has no parameters"
			}
		}
		errs = append(errs, fmt.Errorf("%w: unknown parameter %s (%s)", ErrParam, quote(name), hint))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return bound, nil
}

// convert returns the value of a text as the type, or what the text must be.
func convert(typ, text string) (any, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("UTF-8 text")
	}
	switch typ {
	case "integer":
		if isNumber(text) && isWhole(text) {
			return number(text), nil
		}
		return nil, errors.New("a whole number such as 42" + advice(text))
	case "number":
		if isNumber(text) {
			return asDeclared("number", number(text)), nil
		}
		return nil, errors.New("a number such as 42, 0.5 or 1e6" + advice(text))
	case "boolean":
		if text == "true" || text == "false" {
			return text == "true", nil
		}
		return nil, errors.New("true or false")
	case "array":
		v, err := ParseJSON(text)
		if list, ok := v.([]any); ok && err == nil {
			return list, nil
		}
		return nil, errors.New(`a JSON array, such as ["a","b"]` + about(err))
	case "object":
		v, err := ParseJSON(text)
		if o, ok := v.(Object); ok && err == nil {
			return o, nil
		}
		return nil, errors.New(`a JSON object, such as {"a":1}` + about(err))
	}
	return text, nil
}

// about returns why a text is not the JSON it should be, where the syntax does not say.
func about(err error) string {
	if _, syntax := errors.AsType[*json.SyntaxError](err); err == nil || syntax {
		return ""
	}
	return ": " + err.Error()
}

// advice says how to keep a text that has the digits of a number but is not written
// like one.
func advice(text string) string {
	if strings.ContainsAny(text, "0123456789") && !strings.ContainsAny(text, " \t\r\n") {
		return "; to give " + quote(text) + " as a text, declare the parameter with type: string"
	}
	return ""
}

// clone returns a deep copy of a value, so that runs do not share parameters.
func clone(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	case Object:
		out := make(map[string]any, len(v.values))
		for k, e := range v.values {
			out[k] = clone(e)
		}
		return Object{v.keys, out}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	}
	return v
}
