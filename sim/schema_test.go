package sim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/sim"
)

// drawSchema draws a schema with bounds, and the form in which SDKs send it:
// with the bounds at the end of the description.
func drawSchema(t *rapid.T, depth int) (full, sent object) {
	kinds := []string{"integer", "number", "string", "boolean", "enum"}
	if depth < 3 {
		kinds = append(kinds, "object", "array")
	}
	bounds := object{}
	bound := func(name string, v any) {
		if rapid.Bool().Draw(t, name) {
			bounds[name] = v
		}
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	full, sent = object{"type": kind}, object{"type": kind}
	switch kind {
	case "enum":
		full, sent = object{"enum": []any{"a", 1, nil}}, object{"enum": []any{"a", 1, nil}}
	case "integer", "number":
		low := rapid.IntRange(-1000, 1000).Draw(t, "low")
		bound(rapid.SampledFrom([]string{"minimum", "exclusiveMinimum"}).Draw(t, "lower"), low)
		bound(rapid.SampledFrom([]string{"maximum", "exclusiveMaximum"}).Draw(t, "upper"), low+rapid.IntRange(8, 50).Draw(t, "span"))
		bound("multipleOf", rapid.SampledFrom([]int{1, 2, 3}).Draw(t, "step"))
	case "string":
		if rapid.Bool().Draw(t, "formatted") {
			format := rapid.SampledFrom([]string{"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}).Draw(t, "format")
			full["format"], sent["format"] = format, format
			break
		}
		least := rapid.IntRange(0, 200).Draw(t, "least")
		bound("minLength", least)
		bound("maxLength", least+rapid.IntRange(0, 9).Draw(t, "more"))
	case "array":
		full["items"], sent["items"] = drawSchema(t, depth+1)
		least := rapid.IntRange(0, 4).Draw(t, "least")
		bound("minItems", least)
		bound("maxItems", least+rapid.IntRange(0, 3).Draw(t, "more"))
	case "object":
		a, b := object{}, object{}
		for i := range rapid.IntRange(0, 4).Draw(t, "properties") {
			name := fmt.Sprintf("p%d", i)
			a[name], b[name] = drawSchema(t, depth+1)
		}
		required := slices.Sorted(maps.Keys(a))
		full["properties"], full["required"], full["additionalProperties"] = a, required, false
		sent["properties"], sent["required"], sent["additionalProperties"] = b, required, false
	}
	maps.Copy(full, bounds)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(bounds)) {
		parts = append(parts, fmt.Sprintf("%s: %v", name, bounds[name]))
	}
	if len(parts) > 0 {
		if rapid.Bool().Draw(t, "pattern") {
			parts = append(parts, `pattern: "^[^,}]{0,9}, \"minimum: 5\"$"`)
		}
		sent["description"] = "What it is {for}.\n\n{" + strings.Join(parts, ", ") + "}"
	}
	return full, sent
}

func TestStructuredAnswersObeyTheirSchemas(t *testing.T) {
	t.Parallel()
	server := sim.New(sim.Options{})
	rapid.Check(t, func(t *rapid.T) {
		full, sent := drawSchema(t, 0)
		full = object{"type": "object", "properties": object{"v": full}, "required": []string{"v"}, "additionalProperties": false}
		sent = object{"type": "object", "properties": object{"v": sent}, "required": []string{"v"}, "additionalProperties": false}
		var schema jsonschema.Schema
		if err := json.Unmarshal([]byte(encode(t, full)), &schema); err != nil {
			t.Fatal(err)
		}
		resolved, err := schema.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		fields := format(sent)
		fields["max_tokens"] = 60_000
		r := answerTo(t, server, encode(t, with(fields)))
		var value any
		if err := json.Unmarshal([]byte(r.text()), &value); err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		if err := resolved.Validate(value); err != nil {
			t.Fatalf("%s does not obey %s: %v", r.text(), encode(t, full), err)
		}
	})
}
