package claudeforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claude-force/claude-force/llm"
)

// configure adds the effort and the output's schema to a call.
func configure(req *llm.Request, effort string, schema json.RawMessage) error {
	config := map[string]any{}
	if effort != "" {
		config["effort"] = effort
	}
	if schema != nil {
		strict, ok := strictSchema(schema)
		if ok {
			config["format"] = map[string]any{"type": "json_schema", "schema": strict}
		} else { // one the service does not take; the model is told of it
			last := &req.Messages[len(req.Messages)-1]
			last.Content = append(last.Content, llm.TextBlock("Answer with JSON alone that obeys this JSON Schema:\n\n"+string(schema)))
		}
	}
	if len(config) == 0 {
		return nil
	}
	var err error
	req.OutputConfig, err = json.Marshal(config)
	return err
}

// strictSchema is the schema as structured outputs take it: every object closed
// and with all its properties required as far as the schema says, without the
// bounds on numbers and lengths that the service refuses. What is left out is
// checked when the answer comes. ok is false for a schema that refers to itself
// or does not begin with an object or array.
func strictSchema(schema json.RawMessage) (strict any, ok bool) {
	var v any
	if err := json.Unmarshal(schema, &v); err != nil {
		return nil, false
	}
	ok = true
	return strictValue(v, &ok, 0), ok
}

// refusedKeywords are those that structured outputs do not take
// (platform documentation, structured outputs, limitations).
var refusedKeywords = []string{
	"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
	"maxItems", "uniqueItems", "contains", "minContains", "maxContains", "minProperties", "maxProperties",
	"patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "if", "then", "else", "not", "$schema", "$id",
}

func strictValue(v any, ok *bool, depth int) any {
	m, isMap := v.(map[string]any)
	if !isMap || depth > 32 {
		*ok = *ok && isMap
		return v
	}
	out := make(map[string]any, len(m)+1)
	for name, value := range m {
		switch name {
		case "$ref", "$dynamicRef":
			*ok = false
		case "properties", "$defs", "definitions":
			props, _ := value.(map[string]any)
			strict := make(map[string]any, len(props))
			for key, p := range props {
				strict[key] = strictValue(p, ok, depth+1)
			}
			out[name] = strict
		case "items", "additionalProperties":
			if _, isSchema := value.(map[string]any); isSchema {
				value = strictValue(value, ok, depth+1)
			}
			out[name] = value
		case "anyOf", "oneOf", "allOf":
			list, _ := value.([]any)
			strict := make([]any, len(list))
			for i, e := range list {
				strict[i] = strictValue(e, ok, depth+1)
			}
			out[name] = strict
		case "minItems":
			if n, _ := value.(float64); n <= 1 { // 0 and 1 are taken
				out[name] = value
			}
		default:
			out[name] = value
		}
	}
	for _, name := range refusedKeywords {
		delete(out, name)
	}
	if out["type"] == "object" || out["properties"] != nil {
		if extra, given := out["additionalProperties"]; given && extra != false {
			*ok = false // an open object
		}
		out["additionalProperties"] = false
	}
	return out
}

// conform makes the output obey the task's schema: as it is, else by taking the
// JSON out of it, else by one call that mends it. What cannot be mended stays as
// it is, and the result says so: an answer that was paid for is not thrown away.
func (o *Orchestrator) conform(ctx context.Context, task Task, res *Result) error {
	schema, err := compileSchema(task.Schema)
	if err != nil {
		return invalid(fmt.Errorf("reading the schema of the task for %s: %w", task.Agent, err))
	}
	output, problem := extract(res.Output, schema)
	if problem == nil {
		res.Output = output
		return nil
	}
	answer := res.Output
	if task.Once || res.StopReason == llm.StopMaxTokens {
		res.Degraded = fmt.Sprintf("the output does not obey the schema: %v", problem)
		return nil
	}
	id, _ := o.priceTable().Resolve(repairModel)
	req := &llm.Request{
		Model: id, MaxTokens: o.config.MaxTokens, Agent: task.Agent, Policy: task.Policy,
		System: []llm.Block{llm.TextBlock("You turn text into JSON that obeys a schema. You add nothing that the text does not say. You answer with the JSON alone.")},
		Messages: []llm.Message{llm.UserText(fmt.Sprintf("Write this as JSON that obeys the schema below. It did not, since: %v\n\n%s\n\nThe schema:\n\n%s",
			problem, llm.Fence("text", "from", task.Agent, answer), task.Schema))},
	}
	if err := configure(req, "", task.Schema); err != nil {
		return fmt.Errorf("writing the call that mends an output: %w", err)
	}
	model, source := res.Model, res.Source
	if err := o.call(ctx, req, res, nil); err != nil {
		if llm.CodeOf(err) == llm.CodeCanceled {
			return err
		}
		res.Output = "" // of the call that failed
	}
	res.Model, res.Source = model, source
	if mended, problem := extract(res.Output, schema); problem == nil {
		res.Output = mended
		o.notice(fmt.Sprintf("an output of %s was mended to obey its schema", task.Agent))
		return nil
	}
	res.Output, res.Degraded = answer, fmt.Sprintf("the output does not obey the schema, and could not be mended: %v", problem)
	return nil
}

// repairModel mends outputs: the cheapest that knows JSON.
const repairModel = "haiku"

// compileSchema reads a JSON Schema. References to elsewhere are not followed.
func compileSchema(schema json.RawMessage) (*jsonschema.Resolved, error) {
	var s jsonschema.Schema
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, err
	}
	return s.Resolve(nil)
}

// extract finds JSON that obeys the schema in an output: the whole of it, what
// is within a code fence, or the first object or array in it.
func extract(output string, schema *jsonschema.Resolved) (string, error) {
	text := strings.TrimSpace(output)
	var first error
	for _, candidate := range candidates(text) {
		var doc any
		if json.Unmarshal([]byte(candidate), &doc) != nil {
			first = cmp.Or(first, errNotJSON)
			continue
		}
		err := schema.Validate(doc)
		if err == nil {
			return candidate, nil
		}
		if first == nil || errors.Is(first, errNotJSON) { // what is wrong with JSON says more
			first = err
		}
	}
	return "", first
}

// candidates are the parts of a text that may be the JSON that was asked for.
func candidates(text string) []string {
	list := []string{text}
	if _, after, ok := strings.Cut(text, "```"); ok {
		if _, body, ok := strings.Cut(after, "\n"); ok {
			if inner, _, ok := strings.Cut(body, "```"); ok {
				list = append(list, strings.TrimSpace(inner))
			}
		}
	}
	if i := strings.IndexAny(text, "{["); i >= 0 {
		dec := json.NewDecoder(strings.NewReader(text[i:]))
		var raw json.RawMessage
		if dec.Decode(&raw) == nil {
			list = append(list, string(raw))
		}
	}
	return list
}

var errNotJSON = errors.New("it is not JSON")
