package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/workflow"
)

// TestKeysKeepTheirOrder follows objects of an answer, a parameter and the file
// itself through expressions: their keys stay in the order in which they were written.
func TestKeysKeepTheirOrder(t *testing.T) {
	answer := `{"z": 1, "a": {"y": 1.10, "b": [{"d": 1, "c": 2}, {"c": 3, "d": 4}]}, "MarshalJSON": {"q": 1, "p": 2}, "keys": 5}`
	value, err := workflow.ParseJSON(answer)
	if err != nil {
		t.Fatal(err)
	}
	env := workflow.Env{Steps: map[string]workflow.StepResult{"s": {JSON: value, Status: "completed", Output: answer}}, Params: map[string]any{}}
	for expr, want := range map[string]string{
		"steps.s.json":                          `{"z":1,"a":{"y":1.10,"b":[{"d":1,"c":2},{"c":3,"d":4}]},"MarshalJSON":{"q":1,"p":2},"keys":5}`,
		"steps.s.json.a":                        `{"y":1.10,"b":[{"d":1,"c":2},{"c":3,"d":4}]}`,
		"steps.s.json['a'].b[0]":                `{"d":1,"c":2}`,
		"steps.s.json?.a?.b[1] ?? 'no'":         `{"c":3,"d":4}`,
		"steps.s.json.x?.b ?? steps.s.json.a.b": `[{"d":1,"c":2},{"c":3,"d":4}]`,
		"steps.s.json.MarshalJSON":              `{"q":1,"p":2}`,
		"steps.s.json.keys":                     "5",
		"steps.s.json.a.b[0].c":                 "2",
		"filter(steps.s.json.a.b, .c > 2)":      `[{"c":3,"d":4}]`,
		"map(steps.s.json.a.b, .d)":             "[1,4]",
		"sortBy(steps.s.json.a.b, .c, 'desc')":  `[{"c":3,"d":4},{"d":1,"c":2}]`,
		"groupBy(steps.s.json.a.b, .d)":         `{"1":[{"d":1,"c":2}],"4":[{"c":3,"d":4}]}`,
		"toJSON(steps.s.json.a.b[0]) + '!'":     `{"d":1,"c":2}!`,
		"fromJSON(steps.s.output).a.b[0]":       `{"d":1,"c":2}`,
		"let o = steps.s.json.a; o.b[0]":        `{"d":1,"c":2}`,
		"keys(steps.s.json.a)":                  `["b","y"]`,
		"len(steps.s.json.a)":                   "2",
		"'b' in steps.s.json.a":                 "true",
		"{x: 1, c: steps.s.json.a.b[0]}":        `{"x":1,"c":{"d":1,"c":2}}`,
		"{x: {w: 1}}.x.w":                       "1",
		"let o = {x: {w: 1}}; o.x":              `{"w":1}`,
		"(1 < 2 ? {x: 1} : {x: 2}).x":           "1",
		"[{d: 1, c: 2}] == [steps.s.json.a.b[0]] && {c: 2, d: 1} == steps.s.json.a.b[0]": "true",
		"steps.s.json.a.b[0] in steps.s.json.a.b":                                        "true",
		"params.o":   `{"n":{"k":1,"j":2.50},"m":0}`,
		"params.o.n": `{"k":1,"j":2.50}`,
	} {
		w, err := workflow.Parse("w.yaml", []byte("params: {o: {default: {n: {k: 1, j: 2.50}, m: 0}}}\nsteps:\n- {id: s, agent: x, task: t}\n- id: a\n  agent: x\n  task: |-\n    ${{ "+expr+" }}\n"), workflow.Options{})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if env.Params, err = w.BindParams(nil); err != nil {
			t.Fatal(err)
		}
		if got, err := w.Step("a").Task.Render(env); got != want {
			t.Errorf("%s = %s, %v; want %s", expr, got, err, want)
		}
	}
}

// TestObjectsPassUnchanged sends random compact JSON through an answer, a parameter
// and an item: it arrives byte for byte.
func TestObjectsPassUnchanged(t *testing.T) {
	w, err := workflow.Parse("w.yaml", []byte(`
params: {o: {type: object}}
steps:
- {id: s, agent: x, task: t}
- {id: f, agent: x, foreach: "${{ [steps.s.json] }}", task: "${{ item }}"}
- {id: a, agent: x, task: "${{ steps.s.json }}|${{ params.o }}|${{ toJSON(steps.s.json) }}"}
`), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := objectText(t, 3)
		value, err := workflow.ParseJSON(text)
		if err != nil {
			t.Fatal(text, err)
		}
		env := workflow.Env{Steps: map[string]workflow.StepResult{"s": {JSON: value, Status: "completed", Output: text}}}
		if env.Params, err = w.BindParams(map[string]string{"o": text}); err != nil {
			t.Fatal(text, err)
		}
		if got, err := w.Step("a").Task.Render(env); got != text+"|"+text+"|"+text {
			t.Fatalf("got %s, %v; want %s", got, err, text)
		}
		items, err := w.Step("f").Foreach.Items.Eval(env)
		if err != nil {
			t.Fatal(err)
		}
		env.Item = items.([]any)[0]
		if got, err := w.Step("f").Task.Render(env); got != text {
			t.Fatalf("got %s, %v; want %s", got, err, text)
		}
	})
}

// objectText draws the compact JSON of an object.
func objectText(t *rapid.T, depth int) string {
	keys := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z_ é]{0,6}`), 0, 5, rapid.ID).Draw(t, "keys")
	members := make([]string, len(keys))
	for i, key := range keys {
		name, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		value := rapid.StringMatching(`-?[1-9][0-9]{0,25}|[0-9]\.[0-9]{1,20}|true|null|"[a-z]*"`).Draw(t, "value")
		if depth > 0 && rapid.Bool().Draw(t, "nested") {
			value = objectText(t, depth-1)
			if rapid.Bool().Draw(t, "list") {
				value = "[" + value + ",1.0]"
			}
		}
		members[i] = fmt.Sprintf("%s:%s", name, value)
	}
	return "{" + strings.Join(members, ",") + "}"
}
