package workflow

import (
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

var (
	fileKeys     = []string{"name", "description", "params", "vars", "defaults", "agents", "max_parallel", "budget", "steps", "output", "findings", "fail_when", "save", "$schema"}
	defaultKeys  = []string{"model", "timeout", "retries", "max_tokens", "max_turns", "effort", "thinking", "temperature", "latency"}
	choiceKeys   = []string{"from", "among"}
	agentKeys    = []string{"description", "prompt", "model", "tools", "max_tokens", "max_turns", "effort", "thinking", "temperature"}
	paramKeys    = []string{"default", "description", "type"}
	retryKeys    = []string{"max", "backoff", "max_backoff"}
	failureKeys  = []string{"fallback"}
	failWhenKeys = []string{"when", "severity", "message"}
	foreachKeys  = []string{"items", "glob", "item", "in"}
	loopKeys     = []string{"max", "until", "cache", "state"}
	stateKeys    = []string{"initial", "next"}
	approvalKeys = []string{"message", "timeout", "choices", "schema", "on_no"}
	exitKeys     = []string{"status", "message", "code"}
	stepKeys     = []string{"id", "agent", "prompt", "tools", "continue", "task", "command", "arguments", "files", "dependencies", "timeout", "retries", "model", "max_tokens", "max_turns", "effort", "thinking", "temperature", "allow", "reads",
		"when", "join", "on_failure", "foreach", "matrix", "samples", "max_parallel", "min_success", "loop", "schema", "effects",
		"approval", "run", "http", "read", "write", "value", "exit", "steps", "workflow", "with", "output", "save", "budget", "latency", "runner", "isolation", "base"}
	runKeys    = []string{"command", "stdin", "env", "cwd", "output", "exit_codes", "splice"}
	readKeys   = []string{"files", "output"}
	writeKeys  = []string{"path", "content"}
	saveKeys   = []string{"path", "format"}
	budgetKeys = []string{"usd", "tokens", "calls", "time", "on_exceed"}
	// optionalKeys may have nothing after their colon, as where all entries are comments,
	// or have an error of their own.
	optionalKeys = []string{"name", "description", "params", "defaults", "default", "type", "dependencies", "with", "$schema",
		"id", "agent", "task", "steps"}
	synonyms = map[string]string{"continues": "continue", "depends_on": "dependencies", "needs": "dependencies", "system_prompt": "prompt", "system": "prompt", "instructions": "prompt", "if": "when", "retry": "retries"}
)

// fields are the entries of a mapping whose keys are known.
type fields struct {
	names  []string
	values []*yaml.Node
}

// get returns the value of a key with aliases followed, or nil.
func (f fields) get(name string) *yaml.Node {
	if i := slices.Index(f.names, name); i >= 0 {
		return f.values[i]
	}
	return nil
}

// given returns the value of a key like get, but nil for null.
func (f fields) given(name string) *yaml.Node {
	if n := f.get(name); n != nil && !isNull(n) {
		return n
	}
	return nil
}

// without returns the entries without that of a name.
func (f fields) without(name string) fields {
	i := slices.Index(f.names, name)
	return fields{slices.Delete(slices.Clone(f.names), i, i+1), slices.Delete(slices.Clone(f.values), i, i+1)}
}

// with returns the fields and one more.
func (f fields) with(name string, value *yaml.Node) fields {
	return fields{append(slices.Clip(f.names), name), append(slices.Clip(f.values), value)}
}

// fields reads a mapping. It uses the value of a misspelt key as if the key were
// right, so that one mistake causes one error.
func (p *reader) fields(n *yaml.Node, what string, known []string) (fields, bool) {
	n = follow(n)
	var f fields
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, "known keys are "+strings.Join(known, ", "), "%s must be a mapping, not %s", what, kindOf(n))
		return f, false
	}
	f.names, f.values = make([]string, 0, len(n.Content)/2), make([]*yaml.Node, 0, len(n.Content)/2)
	var slips []struct {
		name  string
		value *yaml.Node
	}
	p.entries(n, func(key, value *yaml.Node) {
		name := key.Value
		if slices.Contains(known, name) {
			if isNull(value) && value.Value == "" && !slices.Contains(optionalKeys, name) {
				// A limit or a condition whose value was lost must not be taken for none.
				p.fail(key, nil, "give it one, leave the key out, or write null", "%s in %s has no value", name, what)
			}
			f.names, f.values = append(f.names, name), append(f.values, value)
			return
		}
		meant := synonyms[name]
		if !slices.Contains(known, meant) {
			meant = p.suggester.nearest(name, known)
		}
		hint := "known keys are " + strings.Join(known, ", ")
		switch {
		case name == "<<":
			hint = "merge keys are not supported; put shared settings under defaults"
		case meant != "":
			hint = "did you mean " + quote(meant) + "?"
			slips = append(slips, struct {
				name  string
				value *yaml.Node
			}{meant, value})
		}
		p.fail(key, nil, hint, "unknown key %s in %s", quote(name), what)
	})
	for _, s := range slips {
		if f.get(s.name) == nil {
			f.names, f.values = append(f.names, s.name), append(f.values, s.value)
		}
	}
	return f, true
}

// entries calls yield for every entry of a mapping, with aliases followed. It
// reports and skips keys that are not text or are given twice.
func (p *reader) entries(n *yaml.Node, yield func(key, value *yaml.Node)) {
	var seen map[string]*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := follow(n.Content[i]), follow(n.Content[i+1])
		if key.Kind != yaml.ScalarNode {
			p.fail(key, nil, "", "a key must be a text, not %s", kindOf(key))
			continue
		}
		var first *yaml.Node
		if len(n.Content) <= 32 {
			for j := 0; j < i; j += 2 {
				if k := follow(n.Content[j]); k.Kind == yaml.ScalarNode && k.Value == key.Value {
					first = k
					break
				}
			}
		} else {
			if seen == nil {
				seen = make(map[string]*yaml.Node, len(n.Content)/2)
			}
			if first = seen[key.Value]; first == nil {
				seen[key.Value] = key
			}
		}
		if first != nil {
			p.fail(n.Content[i], nil, "", "key %s is given twice, first in line %d", quote(key.Value), first.Line)
			continue
		}
		yield(key, value)
	}
}

func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	case "!!timestamp":
		return "a date"
	case "!!str":
		return "a text"
	}
	return "a value with the tag " + quote(n.Tag)
}

// alone returns the node of a value that may stand alone in n, or under the key main of a
// mapping, whose other keys rest reads. It returns nil if that is missing or wrong, which
// is reported with the hint.
func (p *reader) alone(n *yaml.Node, what, main, hint string, known []string, rest func(fields)) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return n
	}
	f, ok := p.fields(n, what, known)
	if !ok {
		return nil
	}
	rest(f)
	value := f.given(main)
	if value == nil {
		p.fail(n, nil, hint, "%s has no %s", what, main)
	}
	return value
}
