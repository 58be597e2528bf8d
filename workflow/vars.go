package workflow

import (
	"fmt"
	"maps"

	yaml "go.yaml.in/yaml/v4"
)

// Var is a value with a name that a run computes once, before its first step.
type Var struct {
	Name         string
	Value        *Value
	Line, Column int // where the value is in the file, from 1
}

// WithVars returns env with the values of the workflow's vars. Each sees the parameters,
// run.id, the environment and the vars before it. A value has the types that its JSON has,
// so that it is the same whenever it is computed again. An error names the place in the
// file; env then has the vars before.
func (w *Workflow) WithVars(env Env) (Env, error) {
	env.Vars = nil
	if len(w.Vars) == 0 {
		return env, nil
	}
	env.Vars, env.Origins = make(map[string]any, len(w.Vars)), maps.Clone(env.Origins)
	for _, v := range w.Vars {
		value, err := v.Value.plain(env)
		if err != nil {
			return env, fmt.Errorf("%s:%d:%d: computing vars.%s: %w", w.file, v.Line, v.Column, v.Name, err)
		}
		env.Vars[v.Name] = value
		if id := env.Origin(v.Value); id != "" {
			if env.Origins == nil {
				env.Origins = map[string]string{}
			}
			env.Origins["vars."+v.Name] = id
		}
	}
	return env, nil
}

// plain returns the value as it is read from its JSON.
func (v *Value) plain(env Env) (any, error) {
	value, err := v.Eval(env)
	if err != nil || value == nil {
		return nil, err
	}
	text, err := render(value)
	if _, isText := value.(string); err != nil || isText {
		return value, err
	}
	return ParseJSON(text)
}

// vars reads the vars of the file into w and the scope.
func (p *reader) vars(w *Workflow, n *yaml.Node) {
	if n == nil || isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, "write vars: {name: value}", "vars must be a mapping from names to values, not %s", kindOf(n))
		return
	}
	var keys, values []*yaml.Node
	p.scope.vars = map[string]varOf{}
	p.entries(n, func(key, value *yaml.Node) {
		if !validID(key.Value) {
			p.fail(key, nil, "use letters, digits, - and _, and begin with a letter", "bad name of a var %s", quote(key.Value))
		}
		p.scope.vars[key.Value] = varOf{at: len(keys)} // it is known, also to those before it
		p.scope.names["vars"] = append(p.scope.names["vars"], key.Value)
		keys, values = append(keys, key), append(values, value)
	})
	for i, key := range keys {
		val := p.valueOf(nil, view{scope: p.scope, computing: i + 1}, values[i], "vars")
		if val == nil { // it is reported
			continue
		}
		p.scope.vars[key.Value] = varOf{i, val.typ()}
		w.Vars = append(w.Vars, Var{key.Value, val, values[i].Line, values[i].Column})
	}
}

// varOf is what a scope knows of a var.
type varOf struct {
	at  int    // its place in the file
	typ string // as that of a parameter; empty if only known at run time
}

// known returns the type of a var if that is the same once the value is read from its
// JSON; else an empty text.
func (v varOf) known() string {
	switch v.typ {
	case "string", "boolean", "array", "object":
		return v.typ
	}
	return ""
}
