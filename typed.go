package claudeforce

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/structured"
	"github.com/claude-force/claude-force/workflow"
)

// OutputError reports an output that is no value of the type that was asked for.
type OutputError struct {
	Output string // as it came; empty if there is none
	Err    error  // why
}

func (e *OutputError) Error() string { return "reading the output: " + e.Err.Error() }

// Unwrap returns Err.
func (e *OutputError) Unwrap() error { return e.Err }

// SchemaFor returns the JSON Schema of the type T, which should be a struct, as
// [Execute] uses it. Fields are named by their json tags. Those without omitempty
// or omitzero are required, and a jsonschema tag describes the field to the
// model:
//
//	type Review struct {
//		Score    int      `json:"score" jsonschema:"from 1, bad, to 5, good"`
//		Findings []string `json:"findings"`
//	}
//
// The error is for types that JSON Schema cannot describe, such as functions and
// types that contain themselves.
func SchemaFor[T any]() (json.RawMessage, error) {
	schema, err := jsonschema.For[T](nil)
	if err != nil {
		return nil, fmt.Errorf("describing %v as a JSON Schema: %w", reflect.TypeFor[T](), err)
	}
	dropNull(schema, schema)
	data, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("describing %v as a JSON Schema: %w", reflect.TypeFor[T](), err)
	}
	return data, nil
}

// dropNull removes null from the types of root, and of all slices: an empty list
// says the same, and the service bounds how many unions a schema has.
func dropNull(root, schema *jsonschema.Schema) {
	if schema == nil {
		return
	}
	if schema == root || slices.Contains(schema.Types, "array") {
		schema.Types = slices.DeleteFunc(schema.Types, func(name string) bool { return name == "null" })
	}
	if len(schema.Types) == 1 {
		schema.Type = schema.Types[0]
		schema.Types = nil
	}
	dropNull(root, schema.Items)
	dropNull(root, schema.AdditionalProperties)
	for _, property := range schema.Properties {
		dropNull(root, property)
	}
}

// Execute runs one task, as [Orchestrator.Execute] does, and returns the answer
// as a T. The schema of the answer is that of [SchemaFor], unless the task has
// one of its own. The result is nil only if T has no schema. An output that does
// not obey the schema and could not be repaired is an [*OutputError]; it was paid
// for, and is in the result.
func Execute[T any](ctx context.Context, o *Orchestrator, t Task) (T, *Result, error) {
	var none T
	if t.Schema == nil {
		schema, err := SchemaFor[T]()
		if err != nil {
			return none, nil, err
		}
		t.Schema = schema
	}
	res, err := o.Execute(ctx, t, nil)
	if llm.CodeOf(err) == llm.CodeOutput {
		return none, res, &OutputError{Output: res.Output, Err: err}
	}
	if err != nil {
		return none, res, err
	}
	value, err := decode[T](res.Output)
	return value, res, err
}

// RunWorkflow runs a workflow, as [Orchestrator.RunWorkflow] does, and returns
// its output as a T. The output is the JSON in the workflow's output, so give the
// step that writes it a schema. Without a result, the run did not start. A run
// that did not complete is a [*RunError], an output that does not obey the schema
// of [SchemaFor] an [*OutputError].
func RunWorkflow[T any](ctx context.Context, o *Orchestrator, wf *workflow.Workflow, opts RunOptions) (T, *engine.Result, error) {
	var none T
	if _, err := SchemaFor[T](); err != nil {
		return none, nil, err // before anything is paid for
	}
	res, err := o.RunWorkflow(ctx, wf, opts)
	if err != nil {
		return none, res, err
	}
	value, err := RunOutput[T](res)
	return value, res, err
}

// RunOutput returns the output of a run as a T, with the errors of
// [RunWorkflow]. Use it for runs that were resumed or are in the history.
func RunOutput[T any](res *engine.Result) (T, error) {
	var none T
	if _, err := withRunError(res, nil); err != nil {
		return none, err
	}
	schema, err := SchemaFor[T]()
	if err != nil {
		return none, err
	}
	compiled, err := structured.Compile(schema)
	if err != nil {
		return none, fmt.Errorf("reading the schema of %v: %w", reflect.TypeFor[T](), err)
	}
	output, _, err := compiled.Extract(res.Output)
	if err != nil {
		return none, &OutputError{Output: res.Output, Err: err}
	}
	return decode[T](output)
}

// decode reads an output that obeys the schema of T.
func decode[T any](output string) (T, error) {
	var value T
	if err := json.Unmarshal([]byte(output), &value); err != nil {
		return value, &OutputError{Output: output, Err: err}
	}
	return value, nil
}
