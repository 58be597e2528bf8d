package tool

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claude-force/claude-force/llm"
)

// Func returns a tool that calls a Go function. The schema of the input is that of
// the type In, a struct: fields are named by their json tags, those without
// omitempty or omitzero are required, and a jsonschema tag describes the field to
// the model. An Out that is a string is the result as it is; any other is encoded
// as JSON. The error of do is shown to the model as a failed call.
//
// A call is taken to have effects, so it runs alone and is not repeated after a
// crash; see [ReadOnly].
func Func[In, Out any](name, description string, do func(context.Context, In) (Out, error)) (Tool, error) {
	schema, err := jsonschema.For[In](nil)
	if err != nil {
		return nil, fmt.Errorf("tool %q: describing %v as a JSON Schema: %w", name, reflect.TypeFor[In](), err)
	}
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("tool %q: describing %v as a JSON Schema: %w", name, reflect.TypeFor[In](), err)
	}
	return &function[In, Out]{llm.Tool{Name: name, Description: description, InputSchema: raw}, do}, nil
}

type function[In, Out any] struct {
	def llm.Tool
	do  func(context.Context, In) (Out, error)
}

func (f *function[In, Out]) Definition() llm.Tool { return f.def }

func (f *function[In, Out]) Concurrent(json.RawMessage) bool { return false }

func (f *function[In, Out]) Call(ctx context.Context, _ *Env, input json.RawMessage) (Result, error) {
	in, err := parse[In](input)
	if err != nil {
		return Result{}, err
	}
	out, err := f.do(ctx, in)
	if err != nil {
		return Result{}, err
	}
	if text, ok := any(out).(string); ok {
		return Text(text), nil
	}
	data, err := json.Marshal(out)
	if err != nil {
		return Result{}, fmt.Errorf("encoding the result: %w", err)
	}
	return Text(string(data)), nil
}

// ReadOnly returns a tool whose calls only read: they run beside others and may be
// repeated.
func ReadOnly(t Tool) Tool { return readOnly{t} }

type readOnly struct{ Tool }

func (readOnly) Concurrent(json.RawMessage) bool { return true }
