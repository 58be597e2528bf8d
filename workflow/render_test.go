package workflow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

const renderSrc = `
params:
  path: ./src
  n: 3
  ratio: 1.5
  on: true
  a: 5
  b: 2
  max-size: 9
  tags: {default: [x, y]}
  conf: {default: {k: v, "<": 1}}
steps:
  - {id: lint, agent: x, task: t}
  - {id: type-check, agent: x, task: t}
  - {id: v1-2b, agent: x, task: t}
  - {id: a-, agent: x, task: t}
  - {id: in, agent: x, task: t}
  - {id: probe, agent: x, task: %s}
`

func testEnv(tb testing.TB, w *workflow.Workflow) workflow.Env {
	params, err := w.BindParams(nil)
	if err != nil {
		tb.Fatal(err)
	}
	var found any
	if err := json.Unmarshal([]byte(`{"items":[{"t":"one","n":1},{"t":"two","n":2}],"ok":true,"none":null,"big":1e21,"my-key":7}`), &found); err != nil {
		tb.Fatal(err)
	}
	return workflow.Env{
		Params: params,
		Steps: map[string]workflow.StepResult{
			"lint":       {Output: "3 <problems>", Status: "succeeded"},
			"type-check": {Output: "{...}", Status: "failed", JSON: found},
			"v1-2b":      {Output: "dashed"}, "a-": {Output: "odd"}, "in": {Output: "keyword"},
		},
		Run: map[string]any{"id": "r-1"},
		Env: map[string]string{"USER": "me"},
	}
}

func render(tb testing.TB, task string) (string, error) {
	tb.Helper()
	quoted, _ := json.Marshal(task)
	w, err := workflow.Parse("w.yaml", fmt.Appendf(nil, renderSrc, quoted), testOptions)
	if err != nil {
		return "", err
	}
	return w.Step("probe").Task.Render(testEnv(tb, w))
}

func TestRender(t *testing.T) {
	for task, want := range map[string]string{
		"plain":                                                                          "plain",
		"a ${{ params.path }} b ${{run.id}}":                                             "a ./src b r-1",
		"${{ params.n }}${{ params.ratio }}":                                             "31.5",
		"${{ params.on }} ${{ params.tags }}":                                            `true ["x","y"]`,
		"${{ params.conf }}":                                                             `{"k":"v","<":1}`,
		"${{ steps.lint.output }}":                                                       "3 <problems>",
		"${{ steps.type-check.output }}":                                                 "{...}",
		"${{ steps . type-check . status }}":                                             "failed",
		"${{ steps?.type-check?.status }}":                                               "failed",
		`${{ steps["type-check"].status }}`:                                              "failed",
		"${{ steps.type-check.json.items[1].t }}":                                        "two",
		"${{ steps.v1-2b.output + '!' }}":                                                "dashed!",
		"${{ steps.a-.output + steps.in.output }}":                                       "oddkeyword",
		"${{ params.a - params.b }} ${{params.a-params.b}} ${{ params.a-1 }}":            "3 3 4",
		"${{ params.max-size - 1 }} ${{ params.max-size-params.b }}":                     "8 7",
		"${{ 'steps.type-check.output' }} ${{ `params.max-size` }}":                      "steps.type-check.output params.max-size",
		`${{ {"steps": {"x-y": 1}}.steps }}`:                                             `{"x-y":1}`,
		`${{ {"a": {"b": "}}"}} }}`:                                                      `{"a":{"b":"}}"}}`,
		"$${{ params.path }} $$${{ x }} costs $5":                                        "${{ params.path }} $${{ x }} costs $5",
		"${{ params.on ? 'yes' : 'no' }}":                                                "yes",
		"${{ steps.type-check.json.none ?? 'nothing' }}":                                 "nothing",
		"${{ env.USER }}${{ env.CI == '' }}":                                             "metrue",
		"${{ join(map(steps.type-check.json.items, '- ' + .t), '\\n') }}":                "- one\n- two",
		"${{ filter(steps.type-check.json.items, .n > 1) }}":                             `[{"n":2,"t":"two"}]`,
		"${{ len(filter(steps.type-check.json.items, .n > 1)) + 1 }}":                    "2",
		"${{ steps.type-check.json.items | map(.n) | sum() }}":                           "3",
		"${{ reduce(steps.type-check.json.items, #acc + .t, '') }}":                      "onetwo",
		"${{ upper(params.path) + string(params.n) + toJSON(params.path) }}":             `./SRC3"./src"`,
		"${{ keys(steps.type-check.json) }}":                                             `["big","items","my-key","none","ok"]`,
		"${{ steps.type-check.json['my-key'] }} ${{ steps.type-check.json.big }}":        "7 1e+21",
		"${{ let x = params.a; x * x }}":                                                 "25",
		"${{ any(steps.type-check.json.items, .n == 2) && !(params.a in [1,2]) }}":       "true",
		"${{ all(1..5, # < 6) ? int('7') + 1 : 0 }} ${{ float('1.5') }}":                 "8 1.5",
		"${{ groupBy(steps.type-check.json.items, .t) }}":                                `{"one":[{"n":1,"t":"one"}],"two":[{"n":2,"t":"two"}]}`,
		"${{ replace(params.path, '/', '-') }} ${{ params.path matches '^[.]/' }}":       ".-src true",
		"${{ fromJSON('[1,2]')[0] }} ${{ first(params.tags) }} ${{ split('a,b', ',') }}": `1 x ["a","b"]`,
		"${{ /* }} */ params.n // note\n }}":                                             "3",
		"${{ sortBy(steps.type-check.json.items, .n, 'desc')[0].t }}":                    "two",
		"${{ if params.on { 'a' } else { 'b' } }}":                                       "a",
		"${{ params.n + params.ratio }} ${{ params.n / 2 }} ${{ params.n ** 2 }}":        "4.5 1.5 9",
	} {
		got, err := render(t, task)
		if err != nil || got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", task, got, err, want)
		}
	}
}

func TestRenderErrors(t *testing.T) {
	for task, want := range map[string]string{
		"${{ steps.probe2.output }}":         `unknown step "probe2"`,
		"${{ steps.lint.json }}":             "the output of step \"lint\" may not be the JSON",
		"${{ steps.lint.json.x }}":           "cannot fetch x from <nil>",
		"${{ steps.type-check.json.none }}":  "no such value",
		"${{ params.n / 0 }}":                "no text form",
		"${{ params.n % 0 }}":                "integer divide by zero",
		"${{ int(steps.lint.output) }}":      "int takes a number",
		"${{ join(params.conf.list ?? 1) }}": "join takes a list",
		"${{ join([1]) }}":                   "item 0 is int",
		"${{ params.tags[9] }}":              "index out of range",
		"${{ keys(params.tags) }}":           "",
		// Attempts at more than the machine has.
		"${{ let a = 1..900000; all(a, all(a, all(a, # > 0))) }}":                                                                                                "too much data",
		"${{ len(reduce(1..40, #acc + #acc, 'xxxxxxxxxx')) }}":                                                                                                   "too much data",
		"${{ let a='0123456789';let b=a+a+a+a+a+a+a+a+a+a;let c=b+b+b+b+b+b+b+b+b+b;len(replace(replace(c,'1',c),'2',replace(c,'1',c))) }}":                      "",
		"${{ let a = map(1..1000, params.path); let b = join(a); let c = map(1..1000, b); let d = join(c); len(map(1..1000, d)) + len(join(map(1..1000, d))) }}": "a text that is too long",
		"${{ let a = map(1..1000, params.tags); let b = map(1..1000, a); let c = map(1..1000, b); toJSON(c) }}":                                                  "a text that is too long",
		"${{ map(1..1000, map(1..1000, map(1..1000, 'x'))) }}":                                                                                                   "memory budget exceeded",
		"${{ let a = join(map(1..2000, 'xxxxxxxxxxxxxxxx')); let s = join(map(1..100, a)); all(1..90000, not (s contains 'zz')) }}":                              "too much data",
		"${{ len(1..100000000) }}": "memory budget exceeded",
	} {
		got, err := render(t, task)
		if want == "" {
			continue // must only end
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %.100q, %v\nwant %s", task, got, err, want)
		}
	}
	w := mustParse(t, `{"params":{"p":null},"steps":[{"id":"a","agent":"x","task":"t"},{"id":"b","agent":"x","task":"${{ steps.a.output }}${{ params.p }}"}]}`)
	for _, env := range []workflow.Env{{}, {Steps: map[string]workflow.StepResult{"a": {}}}} {
		if _, err := w.Step("b").Task.Render(env); err == nil {
			t.Error("a missing value was rendered")
		}
	}
}

// After a journey through JSON the numbers of parameters are all float64.
func TestRenderParamsFromJSON(t *testing.T) {
	w := mustParse(t, `{"params":{"n":3,"r":{"default":1,"type":"number"}},"steps":[{"id":"a","agent":"x","task":"${{ params.n }} ${{ params.n == 3 && params.n % 2 == 1 }} ${{ params.r + 1 }}"}]}`)
	got, err := w.Steps[0].Task.Render(workflow.Env{Params: map[string]any{"n": 3.0, "r": 1}})
	if err != nil || got != "3 true 2" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLiteral(t *testing.T) {
	l := workflow.Literal("a ${{ b }} $${{ c")
	got, err := l.Render(workflow.Env{})
	if err != nil || got != "a ${{ b }} $${{ c" {
		t.Errorf("got %q, %v", got, err)
	}
	var none *workflow.Template
	if got, err := none.Render(workflow.Env{}); got != "" || err != nil || none.Source() != "" || none.Steps() != nil {
		t.Error("a nil template is not empty")
	}
}

func TestBindParams(t *testing.T) {
	w := mustParse(t, `
params:
  path: .
  n: 1
  r: 1.5
  on: false
  list: {type: array, default: []}
  obj: {type: object}
  must: {description: what it is for}
steps: [{id: a, agent: x, task: t}]
`)
	got, err := w.BindParams(map[string]string{"path": "1", "n": "42", "r": "2", "on": "true", "list": `["a",1]`, "obj": `{"a":1}`, "must": ""})
	want := map[string]any{"path": "1", "n": 42, "r": 2.0, "on": true, "list": []any{"a", 1}, "obj": map[string]any{"a": 1}, "must": ""}
	if d := cmp.Diff(any(want), workflow.Plain(got)); d != "" || err != nil {
		t.Error(d, err)
	}
	_, err = w.BindParams(map[string]string{"n": "x", "r": "NaN", "on": "1", "list": "{}", "obj": "null", "pth": "", "zzzzzzzz": ""})
	if !errors.Is(err, workflow.ErrParam) {
		t.Fatal(err)
	}
	wantErr := `bad parameter: n must be a whole number such as 42
bad parameter: r must be a number such as 42, 0.5 or 1e6
bad parameter: on must be true or false
bad parameter: list must be a JSON array, such as ["a","b"]
bad parameter: obj must be a JSON object, such as {"a":1}
bad parameter: must (what it is for) has no default; give it a value
bad parameter: unknown parameter "pth" (did you mean "path"?)
bad parameter: unknown parameter "zzzzzzzz" (known: path, n, r, on, list, obj, must)`
	if d := cmp.Diff(wantErr, err.Error()); d != "" {
		t.Error(d)
	}
	// Runs do not share the defaults.
	one, _ := w.BindParams(map[string]string{"obj": "{}", "must": ""})
	one["list"] = append(one["list"].([]any), "mine")
	two, _ := w.BindParams(map[string]string{"obj": "{}", "must": ""})
	if len(two["list"].([]any)) != 0 {
		t.Error("a run changed a default")
	}
}
