package workflow_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

// files is a Load function over files in memory.
type files map[string]string

func (f files) load(path string) ([]byte, error) {
	if text, ok := f[path]; ok {
		return []byte(text), nil
	}
	return nil, errors.New("no such file")
}

func parseFiles(tb testing.TB, f files, path string) (*workflow.Workflow, error) {
	tb.Helper()
	opts := testOptions
	opts.Load = f.load
	return workflow.Parse(path, []byte(f[path]), opts)
}

func eval(tb testing.TB, v *workflow.Value, env workflow.Env) any {
	tb.Helper()
	out, err := v.Eval(env)
	if err != nil {
		tb.Fatalf("%s: %v", v.Source(), err)
	}
	return out
}

func TestControl(t *testing.T) {
	w := mustParse(t, `
defaults: {retries: {max: 2, backoff: 3s}, timeout: 1m, model: haiku, max_tokens: 10}
params: {on: true}
steps:
  - {id: a, agent: x, task: t, when: "${{ params.on }}", retries: {max: 5, max_backoff: 1m}, on_failure: continue}
  - {id: b, agent: x, task: t, when: params.on && steps.a.status == "failed", retries: 3, on_failure: skip_dependents, effects: idempotent}
  - {id: c, agent: x, task: t, when: false, on_failure: {fallback: d}, effects: once}
  - {id: d, agent: x, task: t, on_failure: "fallback: e", retries: {backoff: 5}}
  - {id: e, agent: x, task: t, on_failure: fail, effects: none}
  - {id: any, agent: x, task: t, join: any, dependencies: [a, b]}
  - {id: all, agent: x, task: t, join: all, dependencies: [a, b]}
  - {id: two, agent: x, task: "${{ steps.c.output }}", join: 2, dependencies: [a, b]}
`)
	want := map[string]workflow.Retry{
		"a": {Max: 5, Backoff: 3 * time.Second, MaxBackoff: time.Minute},
		"b": {Max: 3, Backoff: 3 * time.Second},
		"c": {},
		"d": {Max: 2, Backoff: 5 * time.Second},
	}
	for id, retry := range want {
		if d := cmp.Diff(retry, w.Step(id).Retry); d != "" {
			t.Error(id, d)
		}
	}
	env := workflow.Env{Params: map[string]any{"on": true}, Steps: map[string]workflow.StepResult{"a": {Status: "failed"}}}
	for id, want := range map[string]any{"a": true, "b": true, "c": false} {
		if got := eval(t, w.Step(id).When, env); got != want {
			t.Errorf("when of %s is %v", id, got)
		}
	}
	if w.Step("d").When != nil {
		t.Error("a condition from nowhere")
	}
	for id, want := range map[string]workflow.OnFailure{"a": workflow.OnFailureContinue, "b": workflow.OnFailureSkip,
		"c": workflow.OnFailureFallback, "d": workflow.OnFailureFallback, "e": workflow.OnFailureFail, "any": ""} {
		if got := w.Step(id).OnFailure; got != want {
			t.Errorf("on_failure of %s is %q", id, got)
		}
	}
	if w.Step("c").Fallback != "d" || w.Step("d").Fallback != "e" {
		t.Error("fallbacks were lost")
	}
	for id, want := range map[string]int{"any": 1, "all": 0, "two": 2, "a": 0} {
		if got := w.Step(id).Join; got != want {
			t.Errorf("join of %s is %d", id, got)
		}
	}
	for id, want := range map[string]workflow.Effects{"b": workflow.EffectsIdempotent, "c": workflow.EffectsOnce, "e": workflow.EffectsNone, "a": ""} {
		if got := w.Step(id).Effects; got != want {
			t.Errorf("effects of %s are %q", id, got)
		}
	}
	b := w.Step("b")
	if d := cmp.Diff([]string{"a"}, b.Dependencies); d != "" {
		t.Error("a condition implies a dependency:", d)
	}
	if d := cmp.Diff([]string{"a"}, b.Unmentioned()); d != "" {
		t.Error("a condition does not show an output:", d)
	}
}

func TestForeach(t *testing.T) {
	w := mustParse(t, `
params: {dir: src, names: {default: [p, q]}, text: "[1]"}
steps:
  - {id: plan, agent: x, task: t}
  - {id: list, agent: x, task: "see ${{ item }}", foreach: [1, two, {a: ["${{ params.dir }}", "x-${{ params.dir }}"]}, null], max_parallel: 2}
  - {id: fixed, agent: x, task: "see ${{ item[\"c-d\"] ?? item.a }}", foreach: [{c-d: 1}]}
  - {id: json, agent: x, task: "see ${{ item.name }} ${{ len(item.tags) }}", foreach: "${{ steps.plan.json }}"}
  - {id: computed, agent: x, task: "${{ item }}", foreach: "${{ map(1..3, # * 2) }}"}
  - {id: param, agent: x, task: "${{ item }}", foreach: " ${{ params.names }} "}
  - {id: text, agent: x, task: "${{ item }}", foreach: "${{ params.text }}"}
  - {id: glob, agent: x, task: t, files: ["${{ item }}"], foreach: "${{ params.dir }}/**/*.go"}
  - {id: globs, agent: x, task: t, foreach: {glob: ["*.md", "${{ params.dir }}/*.go"]}}
  - {id: one, agent: x, task: t, foreach: {glob: "*.md"}}
  - {id: items, agent: x, task: "${{ upper(item) }}", foreach: {items: [a]}}
`)
	env := workflow.Env{
		Params: map[string]any{"dir": "src", "names": []any{"p", "q"}, "text": "[1]"},
		Steps:  map[string]workflow.StepResult{"plan": {JSON: []any{map[string]any{"name": "n", "tags": []any{1}}}}},
	}
	for id, want := range map[string]any{
		"list":     []any{1, "two", map[string]any{"a": []any{"src", "x-src"}}, nil},
		"fixed":    []any{map[string]any{"c-d": 1}},
		"json":     []any{map[string]any{"name": "n", "tags": []any{1}}},
		"computed": []any{2, 4, 6},
		"param":    []any{"p", "q"},
		"text":     "[1]",
		"items":    []any{"a"},
	} {
		f := w.Step(id).Foreach
		if f == nil || f.Items == nil || f.Glob != nil {
			t.Errorf("%s: got %+v", id, f)
			continue
		}
		if d := cmp.Diff(want, workflow.Plain(eval(t, f.Items, env))); d != "" {
			t.Error(id, d)
		}
	}
	for id, want := range map[string][]string{"glob": {"src/**/*.go"}, "globs": {"*.md", "src/*.go"}, "one": {"*.md"}} {
		f := w.Step(id).Foreach
		var got []string
		for _, g := range f.Glob {
			text, err := g.Render(env)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, text)
		}
		if d := cmp.Diff(want, got); d != "" || f.Items != nil {
			t.Error(id, d)
		}
	}
	if got := w.Step("list").Foreach.MaxParallel; got != 2 {
		t.Errorf("max_parallel %d", got)
	}
	js := w.Step("json")
	if d := cmp.Diff([]string{"plan"}, js.Dependencies); d != "" || len(js.Unmentioned()) > 0 {
		t.Error("items are a use of an output", d, js.Unmentioned())
	}
	env.Item = map[string]any{"name": "n", "tags": []any{1, 2}}
	if got, err := js.Task.Render(env); err != nil || got != "see n 2" {
		t.Errorf("got %q, %v", got, err)
	}
	env.Item = map[string]any{"c-d": 4}
	if got, err := w.Step("fixed").Task.Render(env); err != nil || got != "see 4" {
		t.Errorf("got %q, %v", got, err)
	}
	env.Item = "plain"
	if got, err := w.Step("items").Task.Render(env); err != nil || got != "PLAIN" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLoop(t *testing.T) {
	w := mustParse(t, `
steps:
  - id: alone
    agent: x
    task: "${{ loop.index }}: ${{ loop.previous.alone.output }}"
    loop: {max: 3, until: '${{ steps.alone.json?.done ?? false }}'}
  - id: improve
    loop: {max: 5, until: steps.the-critic.json.score >= 8 or loop.index == 4 or steps.improve.output == "none"}
    output: ${{ steps.draft.output }}
    steps:
      - id: draft
        agent: x
        task: Write. ${{ loop.previous.the-critic.json?.notes ?? "" }}
      - id: the-critic
        agent: y
        task: "Judge round ${{ loop.index }} ${{ steps.draft.output }} ${{ len(loop.previous.draft.output) }}"
  - {id: last, agent: z, task: "${{ steps.improve.output }}"}
`)
	alone, improve := w.Step("alone"), w.Step("improve")
	if alone.Loop.Max != 3 || len(alone.Dependencies) != 0 || len(improve.Dependencies) != 0 {
		t.Errorf("got %+v, %v, %v", alone.Loop, alone.Dependencies, improve.Dependencies)
	}
	first := workflow.Env{Loop: &workflow.LoopEnv{Index: 1}}
	second := workflow.Env{Loop: &workflow.LoopEnv{Index: 2, Previous: map[string]workflow.StepResult{
		"alone": {Output: "before"}, "the-critic": {JSON: map[string]any{"notes": "shorter"}}, "draft": {Output: "1234"}}}}
	second.Steps = map[string]workflow.StepResult{"draft": {Output: "text"}, "the-critic": {JSON: map[string]any{"score": 9.0}}, "alone": {JSON: nil}}
	second.Steps["improve"] = workflow.StepResult{Output: "text"}
	first.Steps = map[string]workflow.StepResult{"improve": {Output: "text"}, "draft": {Output: "text"}, "the-critic": {JSON: map[string]any{"score": 7.0}}, "alone": {JSON: map[string]any{"done": true}}}
	for _, c := range []struct {
		text *workflow.Template
		env  workflow.Env
		want string
	}{
		{alone.Task, first, "1: "},
		{alone.Task, second, "2: before"},
		{improve.Body.Step("draft").Task, first, "Write. "},
		{improve.Body.Step("draft").Task, second, "Write. shorter"},
		{improve.Body.Step("the-critic").Task, first, "Judge round 1 text 0"},
		{improve.Body.Step("the-critic").Task, second, "Judge round 2 text 4"},
		{improve.Output, second, "text"},
	} {
		if got, err := c.text.Render(c.env); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", c.text.Source(), got, err, c.want)
		}
	}
	for _, c := range []struct {
		until *workflow.Value
		env   workflow.Env
		want  any
	}{{alone.Loop.Until, first, true}, {alone.Loop.Until, second, false}, {improve.Loop.Until, first, false}, {improve.Loop.Until, second, true}} {
		if got := eval(t, c.until, c.env); got != c.want {
			t.Errorf("%s is %v", c.until.Source(), got)
		}
	}
	if _, err := alone.Task.Render(workflow.Env{}); err == nil {
		t.Error("no loop, and no error")
	}
}

func TestGroups(t *testing.T) {
	w := mustParse(t, `
params: {dir: src}
defaults: {model: haiku, retries: 1}
steps:
  - {id: before, agent: x, task: t}
  - {id: status, agent: x, task: t}
  - {id: quiet, agent: x, task: t}
  - id: each
    foreach: "${{ params.dir }}/*.go"
    dependencies: [quiet]
    output: "${{ item }}: ${{ steps.check.output }} ${{ env.USER }}"
    steps:
      - {id: read, agent: x, task: "${{ item }} ${{ steps.before.output }}", when: steps.status.status == "completed"}
      - id: deep
        steps:
          - {id: deeper, agent: x, task: "${{ steps.read.output }} ${{ steps.before.json }} ${{ env.GITHUB_SHA }}"}
      - {id: check, agent: x, task: t, dependencies: [deep]}
  - {id: after, agent: x, task: "${{ steps.each.json }}"}
output: "${{ steps.after.output }} of ${{ len(steps.each.json) }}"
`)
	each := w.Step("each")
	if d := cmp.Diff([]string{"quiet", "status", "before"}, each.Dependencies); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"quiet", "status"}, each.Unmentioned()); d != "" {
		t.Error(d)
	}
	deep := each.Body.Step("deep")
	if d := cmp.Diff([]string{"read"}, deep.Dependencies); d != "" {
		t.Error(d)
	}
	if len(deep.Body.Steps) != 1 || each.Body.Step("before") != nil || w.Step("read") != nil {
		t.Error("steps are not where they belong")
	}
	if each.Model != "" || each.Retry.Max != 0 || each.Body.Step("read").Model != "haiku" || deep.Body.Steps[0].Retry.Max != 1 {
		t.Error("defaults are for steps with an agent")
	}
	if d := cmp.Diff([]string{"GITHUB_SHA", "USER"}, w.EnvNames()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(w.EnvNames(), deep.Body.EnvNames()); d != "" {
		t.Error(d)
	}
	env := workflow.Env{Steps: map[string]workflow.StepResult{"after": {Output: "done"}, "each": {JSON: []any{1, 2}}}}
	if got, err := w.Output.Render(env); err != nil || got != "done of 2" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestApproval(t *testing.T) {
	w := mustParse(t, `
defaults: {timeout: 5m, retries: 3}
steps:
  - {id: draft, agent: x, task: t}
  - {id: short, approval: "Send ${{ steps.draft.output }}?"}
  - {id: long, approval: {message: Go on?, timeout: 24h}, when: steps.short.status == "completed", on_failure: continue}
`)
	short, long := w.Step("short"), w.Step("long")
	if short.Approval.Message.Source() != "Send ${{ steps.draft.output }}?" || short.Approval.Timeout != 0 || short.Timeout != 0 || short.Retry.Max != 0 {
		t.Errorf("got %+v", short)
	}
	if d := cmp.Diff([]string{"draft"}, short.Dependencies); d != "" || len(short.Unmentioned()) != 0 {
		t.Error(d, short.Unmentioned())
	}
	if long.Approval.Timeout != 24*time.Hour || short.Task != nil || short.Agent != "" {
		t.Errorf("got %+v", long)
	}
}

func TestOutputSchema(t *testing.T) {
	w := mustParse(t, `
steps:
  - id: a
    agent: x
    task: t
    schema:
      type: object
      required: [score, b]
      properties:
        score: {type: integer, minimum: 0, maximum: 10, default: 1.0}
        b: {"$ref": "#/$defs/text"}
        a: {enum: [1.50, null, true, "x<y"]}
      $defs: {text: {type: string, pattern: "^a"}}
`)
	want := `{"type":"object","required":["score","b"],"properties":{"score":{"type":"integer","minimum":0,"maximum":10,"default":1.0},` +
		`"b":{"$ref":"#/$defs/text"},"a":{"enum":[1.50,null,true,"x<y"]}},"$defs":{"text":{"type":"string","pattern":"^a"}}}`
	if got := string(w.Step("a").Schema); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
