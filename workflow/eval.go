package workflow

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// noNames is a mapping of an expression's names that has none. It is not written to.
var noNames = map[string]any{}

// add adds a name to a mapping that may be noNames.
func add(m *map[string]any, name string, v any) {
	if len(*m) == 0 {
		*m = map[string]any{}
	}
	(*m)[name] = v
}

// eval returns the value of e. Its errors do not quote values.
func (e *expression) eval(env Env) (any, error) {
	if e.path {
		return e.refs[0].value(env)
	}
	params, vars, steps, environment := noNames, noNames, noNames, noNames
	loop, before, state := noNames, noNames, noNames
	for _, r := range e.refs {
		v, err := r.value(env)
		if err != nil {
			return nil, err
		}
		switch r.root {
		case "params":
			add(&params, r.name, asDeclared(e.params[r.name], v))
		case "vars":
			add(&vars, r.name, v)
		case "steps":
			if r.optional {
				add(&steps, r.name, env.Steps[r.name].ifAny())
			} else if steps[r.name] == nil {
				add(&steps, r.name, env.Steps[r.name].fields())
			}
		case "loop":
			add(&loop, r.name, v)
		case loopState:
			add(&state, r.name, v)
		case previous:
			add(&before, r.name, env.Loop.Previous[r.name].fields())
		case "env":
			add(&environment, r.name, v)
		}
	}
	budget := evalBudget
	if len(before) > 0 {
		add(&loop, "previous", before)
	}
	if len(state) > 0 {
		add(&loop, "state", state)
	}
	names := map[string]any{"params": params, "vars": vars, "steps": steps, "env": environment, "run": env.Run,
		"item": env.Item, "loop": loop, budgetName: &budget, changesName: env.ChangedFiles}
	for _, r := range e.refs {
		if r.root == "item" && r.name != "" {
			names[r.name] = env.Items[r.name]
		}
	}
	v, err := vm.Run(e.program, names)
	if err == nil {
		return v, nil
	}
	if cause, ok := errors.AsType[*file.Error](err); ok {
		// The long form draws the expression, which the caller quotes anyway.
		return nil, errors.New(cut160(plainTypes(cause.Message)))
	}
	return nil, errors.New(cut160(plainTypes(err.Error())))
}

func (s StepResult) fields() map[string]any {
	return map[string]any{"output": s.Output, "status": s.Status, "json": s.JSON, "error": s.Error, "reason": s.Reason}
}

// ifAny returns the fields like fields, but the output of a step that has none is nil,
// so that ?? gives another.
func (s StepResult) ifAny() map[string]any {
	fields := s.fields()
	if s.Output == "" && s.Status != seenCompleted {
		fields["output"] = nil
	}
	return fields
}

func cut160(s string) string {
	if len(s) > 160 {
		return strings.ToValidUTF8(s[:160], "") + "…"
	}
	return s
}

func (r ref) value(env Env) (any, error) {
	switch r.root {
	case "params":
		if v, ok := env.Params[r.name]; ok {
			return v, nil
		}
		return nil, fmt.Errorf("parameter %s was not given a value", quote(r.name))
	case "vars":
		if v, ok := env.Vars[r.name]; ok {
			return v, nil
		}
		return nil, fmt.Errorf("vars.%s has no value", r.name)
	case "run":
		if v, ok := env.Run[r.name]; ok {
			return v, nil
		}
		return nil, fmt.Errorf("run.%s is not known", r.name)
	case "env":
		return env.Env[r.name], nil
	case "item":
		if r.name != "" {
			return env.Items[r.name], nil
		}
		return env.Item, nil
	case "loop", previous, loopState:
		if env.Loop == nil {
			return nil, errors.New("this is not inside a loop")
		}
		if r.root == "loop" {
			return env.Loop.Index, nil
		}
		if r.root == loopState {
			if v, ok := env.Loop.State[r.name]; ok {
				return v, nil
			}
			return nil, fmt.Errorf("loop.state.%s has no value", r.name)
		}
	}
	s, ok := env.Steps[r.name]
	if r.root == previous { // a step without a result yet is empty
		s, ok = env.Loop.Previous[r.name], true
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("step %s has no result yet", quote(r.name))
	case r.field == "output":
		return s.Output, nil
	case r.field == "status":
		return s.Status, nil
	case r.field == "error":
		return s.Error, nil
	case r.field == "reason":
		return s.Reason, nil
	}
	return s.JSON, nil
}

// asDeclared converts a number that went through JSON back to the declared type.
func asDeclared(typ string, v any) any {
	switch n := v.(type) {
	case float64:
		if typ == "integer" && n == math.Trunc(n) && math.Abs(n) < 1<<53 {
			return int(n)
		}
	case int:
		if typ == "number" && int64(n) <= maxExact && int64(n) >= -maxExact { // beyond, a float64 shows other digits
			return float64(n)
		}
	}
	return v
}

// whyNil returns an explanation for a missing value.
func (e *expression) whyNil() string {
	for _, r := range e.refs {
		if r.root == previous && r.field == "json" {
			return fmt.Sprintf("there is no such value; in the first iteration, step %s has no previous result; give a default with ??", quote(r.name))
		}
		if r.root == "steps" && r.field == "json" {
			return fmt.Sprintf("there is no such value; the output of step %s may not be the JSON that was expected", quote(r.name))
		}
	}
	return "there is no such value"
}
