package workflow

import (
	"fmt"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// LoopState is a value that a loop keeps from one iteration to the next.
type LoopState struct {
	Name    string
	Initial *Value // in the first iteration; evaluated before it, by what the step sees outside of the loop
	Next    *Value // in the next iteration; evaluated after each, with its results and the state that it had
}

// StartState returns the state of the loop's first iteration, with the steps whose results
// it holds. env is what the step sees.
func (l *Loop) StartState(env Env) (*LoopEnv, error) {
	next := &LoopEnv{Index: 1}
	for _, s := range l.State {
		value, err := s.Initial.plain(env)
		if err != nil {
			return nil, fmt.Errorf("loop.state.%s: %w", s.Name, err)
		}
		next.keep(s.Name, value, env.Origin(s.Initial))
	}
	return next, nil
}

// NextState returns the state after the iteration that env is of, with its results among
// the steps of env. All values are computed from those that the iteration had.
func (l *Loop) NextState(env Env) (*LoopEnv, error) {
	next := &LoopEnv{Index: env.Loop.Index + 1}
	for _, s := range l.State {
		value, err := s.Next.plain(env)
		if err != nil {
			return nil, fmt.Errorf("the next loop.state.%s: %w", s.Name, err)
		}
		next.keep(s.Name, value, env.Origin(s.Next))
	}
	return next, nil
}

// At returns the state as that of another iteration.
func (l *LoopEnv) At(index int, previous map[string]StepResult) *LoopEnv {
	at := *l
	at.Index, at.Previous = index, previous
	return &at
}

// keep sets a value, which holds results of the step with the id if that is not empty.
func (l *LoopEnv) keep(name string, value any, origin string) {
	if l.State == nil {
		l.State, l.origins = map[string]any{}, map[string]string{}
	}
	l.State[name] = value
	if origin != "" {
		l.origins[name] = origin
	}
}

// stateNames returns the names under the state of the step's loop, without a report of
// what is wrong with them.
func (d *draft) stateNames() []string {
	n := d.fields.given("loop")
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var names []string
	for key, value := range pairs(n) {
		if state := follow(value); key.Value == "state" && state.Kind == yaml.MappingNode {
			for name := range pairs(state) {
				names = append(names, name.Value)
			}
		}
	}
	return names
}

// loopState reads the state of a loop. outer is what the step sees outside of the loop,
// after what an expression sees when an iteration has ended.
func (p *reader) loopState(d *draft, outer, after view, n *yaml.Node) {
	const hint = `write state: {NAME: {initial: 0, next: "${{ loop.state.NAME + 1 }}"}}`
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, hint, "state must be a mapping, not %s", kindOf(n))
		return
	}
	p.entries(n, func(key, value *yaml.Node) {
		if !validID(key.Value) || strings.Contains(key.Value, "-") {
			p.fail(key, nil, "use letters, digits and _, and begin with a letter", "bad name %s in state", quote(key.Value))
		}
		f, ok := p.fields(value, "state "+quote(key.Value), stateKeys)
		if !ok {
			return
		}
		state := LoopState{Name: key.Value}
		if initial := f.get("initial"); initial == nil {
			p.fail(value, nil, hint, "state %s has no initial value", quote(key.Value))
		} else {
			state.Initial = p.valueOf(d, outer, initial, "initial")
		}
		if next := f.given("next"); next == nil {
			p.fail(value, nil, hint, "state %s has no next value", quote(key.Value))
		} else {
			state.Next = p.valueOf(d, after, next, "next")
		}
		if state.Initial != nil && state.Next != nil {
			d.Loop.State = append(d.Loop.State, state)
		}
	})
}
