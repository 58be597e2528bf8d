package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow"
)

// TestNumbersKeepTheirDigits follows numbers of an answer through expressions: what
// only passes on a number shows its digits, what calculates with it is exact or fails.
func TestNumbersKeepTheirDigits(t *testing.T) {
	answer := `{"n": 1.10, "big": 12345678901234567890, "same": 12345678901234567890, "huge": 1e400, "id": 7, "whole": 4.0, "thousand": 1e3,
		"long": 0.1234567890123456789, "list": [3.0, 1.50, 2], "objects": [{"v": 1.10}, {"v": 1.20}]}`
	json, err := workflow.ParseJSON(answer)
	if err != nil {
		t.Fatal(err)
	}
	env := workflow.Env{Steps: map[string]workflow.StepResult{"s": {JSON: json, Status: "completed", Output: answer}}}
	for expr, want := range map[string]string{
		"steps.s.json.n":                                       "1.10",
		"steps.s.json.big":                                     "12345678901234567890",
		"steps.s.json.huge":                                    "1e400",
		"[steps.s.json.n, steps.s.json.big]":                   "[1.10,12345678901234567890]",
		"toJSON(steps.s.json.objects)":                         `[{"v":1.10},{"v":1.20}]`,
		"map(steps.s.json.objects, .v)":                        "[1.10,1.20]",
		"filter(steps.s.json.list, # > 1.5)":                   "[3.0,2]",
		"sort(steps.s.json.list)":                              "[1.50,2,3.0]",
		"sort(steps.s.json.list, 'desc')":                      "[3.0,2,1.50]",
		"max(steps.s.json.list)":                               "3.0",
		"min(steps.s.json.list, 1.75)":                         "1.50",
		"sortBy(steps.s.json.objects, .v, 'desc')":             `[{"v":1.20},{"v":1.10}]`,
		"reverse(steps.s.json.list)":                           "[2,1.50,3.0]",
		"concat(steps.s.json.list, [1])":                       "[3.0,1.50,2,1]",
		"first(steps.s.json.list)":                             "3.0",
		"flatten([[steps.s.json.n], 2, [[steps.s.json.big]]])": "[1.10,2,12345678901234567890]",
		"flatten(map(steps.s.json.objects, [.v]))":             "[1.10,1.20]",
		"flatten([])":                                          "[]",
		"uniq(concat(steps.s.json.list, [3, 1.5, '2', 2]))":    `[3.0,1.50,2,"2"]`,
		"uniq([{'a': 1}, {'a': 1}, {'a': 2}])":                 `[{"a":1},{"a":2}]`,
		"uniq([steps.s.json.big, steps.s.json.same])":          "[12345678901234567890]",
		"string(steps.s.json.n) + '!'":                         "1.10!",
		"fromJSON('[1.10, 1e400]')":                            "[1.10,1e400]",
		"steps.s.json.n ?? 2":                                  "1.10",
		"steps.s.json.n * 2":                                   "2.2",
		"steps.s.json.n == 1.1":                                "true",
		"steps.s.json.big == steps.s.json.same":                "true",
		"steps.s.json.n in [1.1]":                              "true",
		"1.5 in steps.s.json.list":                             "true",
		"steps.s.json.id % 2":                                  "1",
		"steps.s.json.whole % 3":                               "1",
		"steps.s.json.list[steps.s.json.thousand - 999]":       "1.50",
		"steps.s.json.list[steps.s.json.whole - 3:]":           "[1.50,2]",
		"take(steps.s.json.list, steps.s.json.whole - 2)":      "[3.0,1.50]",
		"sum(steps.s.json.list)":                               "6.5",
		"sum(steps.s.json.objects, .v)":                        "2.3",
		"-steps.s.json.n":                                      "-1.1",
		"abs(steps.s.json.n)":                                  "1.1",
		"round(steps.s.json.n)":                                "1",
		"int(steps.s.json.whole)":                              "4",
		"float(steps.s.json.n)":                                "1.1",
		"len(1..steps.s.json.whole)":                           "4",
		"let x = steps.s.json.n; x + 1":                        "2.1",
		"reduce(steps.s.json.list, #acc + #, 0)":               "6.5",
		"steps.s.json.big + 1":                                 "ERROR more digits",
		"steps.s.json.huge > 1":                                "ERROR more digits",
		"steps.s.json.long * 1":                                "ERROR more digits",
		"sum([steps.s.json.big])":                              "ERROR more digits",
		"sort([steps.s.json.big, 1])":                          "ERROR more digits",
		"max(steps.s.json.big, 1)":                             "ERROR more digits",
		"filter([steps.s.json.big], # > 3)":                    "ERROR more digits",
		"steps.s.json.big == 12345678901234567":                "false",
		"string(steps.s.json.big) == '12345678901234567890'":   "true",
		"9223372036854775807 + 1":                              "ERROR more digits",
		"9007199254740991 * 9007199254740991":                  "ERROR more digits",
		"3000000000 * 3000000000":                              "9000000000000000000",
		"groupBy(steps.s.json.objects, .v)[1.10] ?? 'no such":  "INVALID",
	} {
		w, err := workflow.Parse("w.yaml", []byte("steps:\n- {id: s, agent: x, task: t}\n- id: a\n  agent: x\n  task: |-\n    ${{ "+expr+" }}\n"), workflow.Options{})
		if want == "INVALID" {
			if err == nil {
				t.Errorf("%s is valid", expr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		got, err := w.Step("a").Task.Render(env)
		if reason, ok := strings.CutPrefix(want, "ERROR "); ok {
			if err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s = %s, %v; want an error with %q", expr, got, err, reason)
			}
		} else if err != nil || got != want {
			t.Errorf("%s = %s, %v; want %s", expr, got, err, want)
		}
	}
}

// TestParamsAreWhatIsWritten checks what plain scalars of YAML and texts of the command
// line become as parameters.
func TestParamsAreWhatIsWritten(t *testing.T) {
	for _, tt := range []struct{ declared, given, want string }{
		{"1.10", "", "1.10"},
		{"1.10", "1.20", "1.20"},
		{"01234", "", "01234"},
		{"01234", "09999", "09999"},
		{"12345", "09999", `a whole number such as 42; to give "09999" as a text, declare the parameter with type: string`},
		{"12345", " 5", "a whole number such as 42"},
		{"0x10", "", "0x10"},
		{".inf", "", ".inf"},
		{"1_000", "", "1_000"},
		{"12345678901234567890", "", "12345678901234567890"},
		{"1", "12345678901234567890", "12345678901234567890"},
		{"1e400", "", "1e400"},
		{"2024-01-01", "", "2024-01-01"},
		{"yes", "", "yes"},
		{"true", "false", "false"},
		{"true", "TRUE", "true or false"},
		{"True", "", `"True" in quotes`},
		{"{type: string, default: 1.10}", "", "1.10"},
		{"{type: string, default: True}", "", "True"},
		{"{type: string, default: 2024-01-01}", "", "2024-01-01"},
		{"{type: string}", "\xff", "UTF-8"},
		{"{type: integer, default: 0x10}", "", "write numbers as JSON does"},
		{"{type: number, default: 1}", "", "1"},
		{"{type: number, default: 1}", "1e5", "1e5"},
		{"{type: number}", "1,5", `declare the parameter with type: string`},
		{"{type: array}", `[1.10, "a"]`, `[1.10,"a"]`},
		{"{type: array}", `["\ud800"]`, "not Unicode"},
		{"{type: object}", `{"a": 1, "a": 2}`, `the key "a" is given twice`},
		{"~", "~", "~"},
		{"~", "", "has no default"},
	} {
		given := map[string]string{}
		if tt.given != "" {
			given["p"] = tt.given
		}
		got := ""
		w, err := workflow.Parse("w.yaml", []byte("params:\n  p: "+tt.declared+"\nsteps:\n- {id: a, agent: x, task: \"${{ params.p }}\"}\n"), workflow.Options{})
		if err == nil {
			var env workflow.Env
			if env.Params, err = w.BindParams(given); err == nil {
				got, err = w.Step("a").Task.Render(env)
			}
		}
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s with %q: %s; want %s", tt.declared, tt.given, got, tt.want)
		}
	}
}

func TestIntegersOfASchema(t *testing.T) {
	schema := `{"$defs": {"count": {"type": ["null", "integer"]}}, "type": "object", "properties": {
		"n": {"type": "integer"}, "ratio": {"type": "number"}, "either": {"type": ["integer", "number"]}, "c": {"$ref": "#/$defs/count"},
		"list": {"type": "array", "prefixItems": [{"type": "number"}], "items": {"type": "integer"}},
		"one": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}, "additionalProperties": {"type": "integer"}}`
	answer := `{"n": 4.0, "ratio": 4.0, "either": 4.0, "c": 3e2, "list": [1.0, 2.0, 3], "one": 5.0, "other": 6.0, "big": 1e30}`
	for _, test := range []struct{ schema, want string }{
		{schema, `{"n":4,"ratio":4.0,"either":4.0,"c":300,"list":[1.0,2,3],"one":5,"other":6,"big":1e30}`},
		{"", `{"n":4.0,"ratio":4.0,"either":4.0,"c":3e2,"list":[1.0,2.0,3],"one":5.0,"other":6.0,"big":1e30}`},
		{`{"$ref": "#"}`, `{"n":4.0,"ratio":4.0,"either":4.0,"c":3e2,"list":[1.0,2.0,3],"one":5.0,"other":6.0,"big":1e30}`},
	} {
		v, err := workflow.ParseJSON(answer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(workflow.WithIntegers(json.RawMessage(test.schema), v))
		if err != nil || string(got) != test.want {
			t.Errorf("by %s: %s, %v; want %s", test.schema, got, err, test.want)
		}
	}
}

func TestMapLiterals(t *testing.T) {
	for expr, want := range map[string]string{
		"{'k': 1}":              `{"k":1}`,
		"map([1, 2], {'n': #})": `[{"n":1},{"n":2}]`,
		"map(params.l, {\"name\": .a-1, x: {'y': #}})": `[{"name":1,"x":{"y":{"a":2}}}]`,
		"map([1], {#})":                          "[1]",
		"filter([1, 2], {# > 1 ? true : false})": "[2]",
		"map(['a'], {{'k': #}})":                 `[{"k":"a"}]`,
		"'{k: 1}' + string({'k': 2}.k)":          "{k: 1}2",
		"{'a': '}', 'b': 1}['a']":                "}",
		"len(map([1], {'k': [{'l': #}]})[0].k)":  "1",
	} {
		src := "params: {l: {default: [{a: 2}]}}\nsteps:\n- id: a\n  agent: x\n  task: |-\n    ${{ " + expr + " }}\n"
		w, err := workflow.Parse("w.yaml", []byte(src), workflow.Options{})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		params, err := w.BindParams(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := w.Step("a").Task.Render(workflow.Env{Params: params}); err != nil || got != want {
			t.Errorf("%s = %s, %v; want %s", expr, got, err, want)
		}
	}
}
