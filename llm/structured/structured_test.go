package structured

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStrictSchemaIsWhatTheServiceTakes(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{ // an empty one is not taken
		`{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}`:                       `{"type":"object","additionalProperties":false,"properties":{"n":{"type":"integer"}}}`,
		`{"type":"array","minItems":3,"items":{"type":"string","pattern":"^a"}}`:                    `{"type":"array","items":{"type":"string"}}`,
		`{"type":"array","minItems":1,"items":{"enum":["a"]}}`:                                      `{"type":"array","minItems":1,"items":{"enum":["a"]}}`,
		`{"anyOf":[{"type":"object","properties":{}},{"type":"string","maxLength":3}]}`:             `{"anyOf":[{"type":"object","properties":{},"additionalProperties":false},{"type":"string"}]}`,
		`{"type":"object","properties":{"pattern":{"type":"string"}},"additionalProperties":false}`: `{"type":"object","properties":{"pattern":{"type":"string"}},"additionalProperties":false}`,
		`{"type":"object","additionalProperties":{"type":"string"}}`:                                ``,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"string"}}}`: ``,
		`true`: ``,
		`{`:    ``,
	} {
		strict, ok := Strict(json.RawMessage(given))
		if ok != (want != "") {
			t.Errorf("Strict(%s): ok is %t", given, ok)
			continue
		}
		if !ok {
			continue
		}
		var v any
		if err := json.Unmarshal([]byte(want), &v); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, strict); d != "" {
			t.Errorf("Strict(%s): %s", given, d)
		}
	}
}

func TestExtractFindsTheJSON(t *testing.T) {
	t.Parallel()
	schema, err := Compile(json.RawMessage(`{"type":"object","required":["a"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{ // an empty one is not found
		` {"a": 1} `: `{"a": 1}`,
		"Here it is:\n```json\n{\"a\": 1}\n```\nDone.": `{"a": 1}`,
		`Sure: {"a": {"b": "}"}} and more`:             `{"a": {"b": "}"}}`,
		"{\"b\": 1}\n```\n{\"a\": 2}\n```":             `{"a": 2}`,
		`{"b": 1}`:                                     ``,
		`{"a": 1`:                                      ``,
		`prose`:                                        ``,
		``:                                             ``,
		"```":                                          ``,
		`[1, 2]`:                                       ``,
	} {
		got, err := schema.Extract(given)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("schema.Extract(%q) = %q, %v; want %q", given, got, err, want)
		}
	}
}
