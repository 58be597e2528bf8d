package structured

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStrictSchemaIsWhatTheServiceTakes(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{ // an empty one is not taken
		`{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}`:    `{"type":"object","additionalProperties":false,"properties":{"n":{"type":"integer"}}}`,
		`{"type":"array","minItems":3,"items":{"type":"string","pattern":"^a"}}`: `{"type":"array","items":{"type":"string"}}`,
		`{"type":"array","minItems":1,"items":{"enum":["a"]}}`:                   `{"type":"array","minItems":1,"items":{"enum":["a"]}}`,
		`{"type":"string","format":"email"}`:                                     `{"type":"string","format":"email"}`,
		`{"type":"string","format":"json-pointer"}`:                              `{"type":"string"}`,
		`{"oneOf":[{"type":"string"},{"type":"null"}]}`:                          `{"anyOf":[{"type":"string"},{"type":"null"}]}`,
		`{"type":"object"}`:           ``,
		`{"type":"array","items":{}}`: ``,
		`{"type":"array"}`:            ``,
		`{"type":"object","properties":{"a":{"description":"anything"}}}`:                           ``,
		`{"type":["object","null"]}`:                                                                ``,
		`{"anyOf":[{"type":"object","properties":{}},{"type":"string","maxLength":3}]}`:             `{"anyOf":[{"type":"object","properties":{},"additionalProperties":false},{"type":"string"}]}`,
		`{"type":"object","properties":{"pattern":{"type":"string"}},"additionalProperties":false}`: `{"type":"object","properties":{"pattern":{"type":"string"}},"additionalProperties":false}`,
		`{"type":"object","additionalProperties":{"type":"string"}}`:                                ``,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"string"}}}`: ``,
		`true`: ``,
		`{`:    ``,
	} {
		strict, _, ok := Strict(json.RawMessage(given))
		if ok != (want != "") {
			t.Errorf("Strict(%s): ok is %t", given, ok)
			continue
		}
		if !ok {
			continue
		}
		var v, got any
		data, err := json.Marshal(strict)
		if err := errors.Join(err, json.Unmarshal(data, &got), json.Unmarshal([]byte(want), &v)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, got); d != "" {
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
		"Here it is:\n```json\n{\"a\": 1}\n```\nDone.":                                       `{"a": 1}`,
		`Sure: {"a": {"b": "}"}} and more`:                                                   `{"a": {"b": "}"}}`,
		"{\"b\": 1}\n```\n{\"a\": 2}\n```":                                                   `{"a": 2}`,
		"Not like this:\n```json\n{\"a\": 0}\n```\nbut like this:\n```json\n{\"a\": 1}\n```": `{"a": 1}`,
		"```json\n{\"a\": 1}\n```\nnot\n```json\n{\"b\": 1}\n```":                            `{"a": 1}`,
		`first {"a": 1}, then {"a": 12345678901234567890}`:                                   `{"a": 12345678901234567890}`,
		`a set {x} and a list [1] and {"a": [{"a": 3}]}`:                                     `{"a": [{"a": 3}]}`,
		`{"a": 1, "a": 2}`:                           ``,
		`{"a": "\ud800"}`:                            ``,
		strings.Repeat("{[", 50_000):                 ``,
		"```\n" + `{"a": "` + "```" + `"}` + "\n```": `{"a": "` + "```" + `"}`,
		`{"b": 1}`:                                   ``,
		`{"a": 1`:                                    ``,
		`prose`:                                      ``,
		``:                                           ``,
		"```":                                        ``,
		`[1, 2]`:                                     ``,
	} {
		got, _, err := schema.Extract(given)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("schema.Extract(%q) = %q, %v; want %q", given, got, err, want)
		}
	}
}

// TestKeywordsAreCheckedOrRefused goes through the keywords of JSON Schema: each is
// taken by the service, or named as lost and checked, or is an error.
func TestKeywordsAreCheckedOrRefused(t *testing.T) {
	t.Parallel()
	for schema, tt := range map[string]struct{ lost, good, bad string }{
		`{"type":"array","items":{"type":"integer","minimum":1}}`:                                   {"minimum", `[1]`, `[0]`},
		`{"type":"array","items":{"type":"integer","maximum":1}}`:                                   {"maximum", `[1]`, `[2]`},
		`{"type":"array","items":{"type":"number","exclusiveMinimum":1}}`:                           {"exclusiveMinimum", `[1.5]`, `[1]`},
		`{"type":"array","items":{"type":"integer","multipleOf":5}}`:                                {"multipleOf", `[10]`, `[11]`},
		`{"type":"array","items":{"type":"string","minLength":2}}`:                                  {"minLength", `["ab"]`, `["a"]`},
		`{"type":"array","items":{"type":"string","maxLength":2}}`:                                  {"maxLength", `["ab"]`, `["abc"]`},
		`{"type":"array","items":{"type":"string","pattern":"^a"}}`:                                 {"pattern", `["ab"]`, `["b"]`},
		`{"type":"array","minItems":2,"items":{"type":"string"}}`:                                   {"minItems", `["a","b"]`, `["a"]`},
		`{"type":"array","maxItems":1,"items":{"type":"string"}}`:                                   {"maxItems", `["a"]`, `["a","b"]`},
		`{"type":"array","uniqueItems":true,"items":{"type":"string"}}`:                             {"uniqueItems", `["a"]`, `["a","a"]`},
		`{"type":"array","items":{"not":{"const":1},"type":"integer"}}`:                             {"not", `[2]`, `[1]`},
		`{"type":"array","items":{"enum":[[1],[2]]}}`:                                               {"enum", `[[1]]`, `[[3]]`},
		`{"type":"array","items":{"type":"string","format":"date"}}`:                                {"", `["2024-02-29"]`, `["2024-02-30"]`},
		`{"type":"array","items":{"type":"string","format":"date-time"}}`:                           {"", `["2024-01-02T03:04:05Z"]`, `["2024-01-02"]`},
		`{"type":"array","items":{"type":"string","format":"time"}}`:                                {"", `["03:04:05+01:00"]`, `["25:00:00Z"]`},
		`{"type":"array","items":{"type":"string","format":"email"}}`:                               {"", `["a.b@c.de"]`, `["a.b"]`},
		`{"type":"array","items":{"type":"string","format":"uuid"}}`:                                {"", `["00000000-0000-4000-8000-000000000000"]`, `["1"]`},
		`{"type":"array","items":{"type":"string","format":"ipv4"}}`:                                {"", `["1.2.3.4"]`, `["1.2.3.256"]`},
		`{"type":"array","items":{"type":"string","format":"ipv6"}}`:                                {"", `["::1","fe80::1","1:2:3:4:5:6:7:8"]`, `["1:2"]`},
		`{"type":"array","items":{"type":"string","format":"uri"}}`:                                 {"", `["https://a.b/c?d#e"]`, `["a b"]`},
		`{"type":"array","items":{"type":"string","format":"hostname"}}`:                            {"", `["a.b-c"]`, `["-a"]`},
		`{"type":"array","items":{"type":"string","format":"json-pointer"}}`:                        {"format", `["/a/b"]`, `["a"]`},
		`{"type":"array","items":{"anyOf":[{"type":"string","format":"date"},{"type":"integer"}]}}`: {"", `["2024-01-01",1]`, `["x"]`},
	} {
		_, lost, ok := Strict(json.RawMessage(schema))
		if !ok || strings.Join(lost, ",") != tt.lost {
			t.Errorf("%s: lost %v, ok %t; want %s", schema, lost, ok, tt.lost)
		}
		compiled, err := Compile(json.RawMessage(schema))
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		if _, _, err := compiled.Extract(tt.good); err != nil {
			t.Errorf("%s refuses %s: %v", schema, tt.good, err)
		}
		if _, _, err := compiled.Extract(tt.bad); err == nil {
			t.Errorf("%s takes %s", schema, tt.bad)
		}
	}
	for schema, want := range map[string]string{
		`{"type":"object","propertys":{}}`:                         `unknown keyword "propertys" (did you mean "properties"?)`,
		`{"type":"array","items":{"type":"string","minLenght":1}}`: `/items: unknown keyword "minLenght" (did you mean "minLength"?)`,
		`{"type":"string","nullable":true}`:                        `type: [string, "null"]`,
		`{"type":"string","format":"emial"}`:                       `unknown format "emial"`,
		`{"type":"objekt"}`:                                        `objekt`,
		`{`:                                                        `unexpected`,
		`{"type":"integer","minimum":2,"maximum":1}`:               `no value obeys both`,
		`{"type":"object","properties":{"title":{"type":"string"}},"required":["titel"]}`: `not among the properties`,
		`{"type":"string","type":"integer"}`:                                              `given twice`,
	} {
		if _, err := Compile(json.RawMessage(schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", schema, err, want)
		}
	}
}
