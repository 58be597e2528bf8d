package tool

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/claude-force/claude-force/internal/nearest"
	"github.com/claude-force/claude-force/llm"
)

// Set is the tools that an agent is offered, in order. It is immutable.
type Set struct {
	tools  []Tool
	byName map[string]*entry
}

type entry struct {
	tool Tool
	// input returns the schema of the inputs; nil for an Unchecked tool.
	input func() (*inputSchema, error)
}

// check returns the input as [inputSchema.check] does.
func (e *entry) check(name string, raw json.RawMessage) (input json.RawMessage, problem string) {
	schema, err := e.input()
	if err != nil {
		return nil, fmt.Sprintf("the schema of tool %q: %v", name, err)
	}
	return schema.check(name, raw)
}

// NewSet returns a set of tools. The error is for two tools of one name and for a
// schema that is no JSON Schema.
func NewSet(tools ...Tool) (*Set, error) {
	s, err := Collect(tools...)
	if err != nil {
		return nil, err
	}
	for _, t := range tools {
		name := t.Definition().Name
		if _, err := s.byName[name].input(); err != nil {
			return nil, fmt.Errorf("the schema of tool %q: %w", name, err)
		}
	}
	return s, nil
}

// Collect returns a set of tools as NewSet does, but reads the schema of each tool at
// its first call: a task whose answer is cached calls none. A call of a tool whose
// schema is no JSON Schema fails.
func Collect(tools ...Tool) (*Set, error) {
	s := &Set{byName: make(map[string]*entry, len(tools))}
	for _, t := range tools {
		def := t.Definition()
		if s.byName[def.Name] != nil {
			return nil, fmt.Errorf("two tools have the name %q", def.Name)
		}
		e := &entry{tool: t, input: func() (*inputSchema, error) { return nil, nil }}
		if _, ok := t.(Unchecked); !ok {
			e.input = sync.OnceValues(func() (*inputSchema, error) { return parseInputSchema(def.InputSchema) })
		}
		s.tools = append(s.tools, t)
		s.byName[def.Name] = e
	}
	return s, nil
}

// Names returns the names of the tools, in order.
func (s *Set) Names() []string {
	names := make([]string, len(s.tools))
	for i, t := range s.tools {
		names[i] = t.Definition().Name
	}
	return names
}

// Definitions returns what the model gets, in order.
func (s *Set) Definitions() []llm.Tool {
	defs := make([]llm.Tool, len(s.tools))
	for i, t := range s.tools {
		defs[i] = t.Definition()
	}
	return defs
}

// Tool returns the tool of a name.
func (s *Set) Tool(name string) (Tool, bool) {
	e := s.byName[name]
	if e == nil {
		return nil, false
	}
	return e.tool, true
}

// Concurrent reports whether a tool_use block only reads. A call that will be
// refused for its name or its input does nothing, so it counts as reading.
func (s *Set) Concurrent(use llm.Block) bool {
	e := s.byName[use.Name]
	if e == nil {
		return true
	}
	input, problem := e.check(use.Name, use.Input)
	return problem != "" || e.tool.Concurrent(input)
}

// Call runs one tool_use block. A call that cannot run is a result with IsError.
func (s *Set) Call(ctx context.Context, env *Env, use llm.Block) Result {
	return s.Run(ctx, env, use, nil)
}

// Run does what Call does, and calls begin, if it is not nil, once the call is
// permitted, before the tool runs. If begin fails nothing runs, and the result's Stop
// is the error.
func (s *Set) Run(ctx context.Context, env *Env, use llm.Block, begin func() error) Result {
	e := s.byName[use.Name]
	if e == nil {
		return Failed(invalid(s.unknown(use.Name)))
	}
	input, problem := e.check(use.Name, use.Input)
	if problem != "" {
		return Failed(invalid(problem))
	}
	if err := env.gate(ctx, use.Name, input); err != nil {
		env.NoteAnything(use.Name) // a person may have said so
		return Result{Text: err.Error(), IsError: true, Denied: true}
	}
	if begin != nil {
		if err := begin(); err != nil {
			return Result{Text: "The call did not run.", IsError: true, Stop: err}
		}
	}
	result, err := e.observed(ctx, env, use.Name, input)
	if err == nil {
		return result
	}
	failed := Failed(err.Error())
	failed.Spent = result.Spent
	if llm.IsDrained(err) {
		failed.Stop = err
	}
	return failed
}

// observed calls the tool and notes what the call depended on, if the tool does not.
func (e *entry) observed(ctx context.Context, env *Env, name string, input json.RawMessage) (Result, error) {
	sight := SightAnything
	if t, ok := e.tool.(Sighted); ok {
		sight = t.Sight(input)
	}
	var before Observation
	known := false
	switch sight {
	case SightNoted:
	case SightTree:
		before, known = env.tree(ctx)
	default:
		env.NoteAnything(name) // also if the call does not return
	}
	result, err := e.tool.Call(ctx, env, input)
	switch failed := err != nil || result.IsError; {
	case sight == SightTree:
		after, ok := env.tree(ctx)
		if known = known && ok && after == before; known {
			env.NoteSeen(before)
		} else {
			env.NoteAnything(name) // it changed something, or it cannot be known whether it did
		}
	case sight == SightNoted && failed && !e.tool.Concurrent(input):
		env.NoteAnything(name) // why it failed is not noted, nor what it did before
	}
	return result, err
}

// unknown returns what the model reads when it calls a tool that is not offered.
func (s *Set) unknown(name string) string {
	text := fmt.Sprintf("Error: No such tool available: %s", name)
	names := s.Names()
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) }); i >= 0 {
		return fmt.Sprintf("%s. Names are case-sensitive: call %s", text, names[i])
	}
	if near := nearest.Name(name, names); near != "" {
		return fmt.Sprintf("%s. Did you mean %s?", text, near)
	}
	return fmt.Sprintf("%s. The tools of this agent are: %s", text, strings.Join(names, ", "))
}

// invalid marks a text as an answer to a call that did not run.
func invalid(text string) string { return "<tool_use_error>" + text + "</tool_use_error>" }

// parse reads a checked input into T, which has a field for each parameter.
func parse[T any](input json.RawMessage) (T, error) {
	var in T
	if err := json.Unmarshal(input, &in); err != nil {
		return in, fmt.Errorf("reading the input: %w", err)
	}
	return in, nil
}
