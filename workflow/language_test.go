package workflow_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
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

func TestSubWorkflows(t *testing.T) {
	f := files{
		"dir/main.yaml": `
params: {n: 3, list: {default: [1]}}
steps:
  - {id: a, agent: x, task: t}
  - id: part
    workflow: parts/part.yaml
    with: {text: "see ${{ steps.a.output }}", n: "${{ params.n }}", ratio: 2, list: ["${{ params.n }}", {k: "${{ params.n }}"}], obj: {a: 1}}
    output: "${{ steps.inner.output }} of ${{ params.ratio }} in ${{ loop.index }}"
    loop: {max: 2, until: "steps.part.status == 'completed' && loop.previous.part.output == ''"}
  - {id: again, workflow: parts/part.yaml, with: {text: "", obj: {}}, foreach: "${{ params.list }}", max_parallel: 1}
`,
		"dir/parts/part.yaml": `
params: {text: {description: needed}, n: 1, ratio: 1.5, list: {default: []}, obj: {type: object}}
steps:
  - {id: inner, agent: y, task: "${{ params.text }} ${{ env.USER }}"}
  - {id: shared, workflow: ../shared.yaml}
output: ${{ steps.inner.output }}
`,
		"dir/shared.yaml": `steps: [{id: a, agent: z, task: "${{ env.GITHUB_SHA }}"}]`,
	}
	w, err := parseFiles(t, f, "dir/main.yaml")
	if err != nil {
		t.Fatal(err)
	}
	part := w.Step("part")
	if part.Body != w.Step("again").Body {
		t.Error("one file is read once")
	}
	if d := cmp.Diff([]string{"a"}, part.Dependencies); d != "" || len(part.Unmentioned()) > 0 {
		t.Error(d, part.Unmentioned())
	}
	if part.Workflow != "parts/part.yaml" || part.Body.Output == nil {
		t.Errorf("got %+v", part)
	}
	if d := cmp.Diff([]string{"GITHUB_SHA", "USER"}, w.EnvNames()); d != "" {
		t.Error(d)
	}
	env := workflow.Env{Params: map[string]any{"n": 3}, Steps: map[string]workflow.StepResult{"a": {Output: "this", Status: "completed"}, "inner": {Output: "in"}}}
	got := map[string]any{}
	for name, v := range part.With {
		got[name] = eval(t, v, env)
	}
	want := map[string]any{"text": "see this", "n": 3, "ratio": 2.0, "list": []any{3, map[string]any{"k": 3}}, "obj": map[string]any{"a": 1}}
	if d := cmp.Diff(any(want), workflow.Plain(got)); d != "" {
		t.Error(d)
	}
	inside := workflow.Env{Params: map[string]any{"ratio": 2.0}, Steps: env.Steps, Loop: &workflow.LoopEnv{Index: 1}}
	if got, err := part.Output.Render(inside); err != nil || got != "in of 2 in 1" {
		t.Errorf("got %q, %v", got, err)
	}
	inside.Steps["part"] = workflow.StepResult{Status: "completed"}
	if got := eval(t, part.Loop.Until, inside); got != true {
		t.Errorf("got %v", got)
	}
	sources := map[string]string{}
	var order []string
	for path, sub := range w.All() {
		sources[path] = string(sub.Source)
		order = append(order, path)
	}
	if d := cmp.Diff(map[string]string(f), sources); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"dir/main.yaml", "dir/parts/part.yaml", "dir/shared.yaml"}, order); d != "" {
		t.Error(d)
	}
	for path := range w.All() { // stopping early is fine
		_ = path
		break
	}
}

func TestSubWorkflowErrors(t *testing.T) {
	chain := files{}
	for i := range 13 {
		chain[fmt.Sprintf("c%d.yaml", i)] = fmt.Sprintf("steps: [{id: s, workflow: c%d.yaml}]", i+1)
	}
	chain["c13.yaml"] = "steps: [{id: s, agent: x, task: t}]"
	step := func(rest string) string { return "steps:\n  - {id: s, " + rest + "}\n" }
	for name, c := range map[string]struct {
		files files
		want  string
	}{
		"cycle": {files{"main.yaml": step("workflow: a.yaml"), "a.yaml": step("workflow: sub/b.yaml"), "sub/b.yaml": step("workflow: ../a.yaml")},
			"sub/b.yaml:2:23: workflow cycle: a.yaml -> sub/b.yaml -> a.yaml (a file cannot run itself)"},
		"self": {files{"main.yaml": step("workflow: ./main.yaml")},
			"main.yaml:2:23: workflow cycle: main.yaml -> main.yaml (a file cannot run itself)"},
		"missing": {files{"main.yaml": step("workflow: nope.yaml")},
			`main.yaml:2:23: cannot read workflow "nope.yaml": no such file`},
		"deep": {files(maps.Collect(func(yield func(string, string) bool) {
			for k, v := range chain {
				if k == "c0.yaml" {
					k = "main.yaml"
				}
				yield(k, v)
			}
		})), "c10.yaml:1:27: workflows are nested more than 10 levels deep"},
		"inside": {files{"main.yaml": step("workflow: a.yaml") + "  - {id: t, agent: ghost, task: t}\n", "a.yaml": "steps:\n- {id: a, agent: ghost, task: '${{ item }}'}"},
			"main.yaml:3:20: no agent is called \"ghost\"\na.yaml:2:18: no agent is called \"ghost\"\na.yaml:2:36: item is only known in a step with foreach, and in the steps of it"},
		"empty": {files{"main.yaml": step("workflow: a.yaml"), "a.yaml": ""}, "a.yaml: the file is empty (a workflow needs at least steps)"},
		"with": {files{"main.yaml": step("workflow: a.yaml, with: {txt: a, n: many, list: {}, ratio: '${{ run.id }}', on: '${{ [1] }}', no: , big: 3.5, s: 3}"),
			"a.yaml": "params: {text: , n: 1, list: {default: []}, ratio: 1.5, on: true, big: 1, s: a}\nsteps: [{id: a, agent: x, task: t}]"},
			`main.yaml:2:23: a.yaml needs the parameter "text" (add with: {text: ...})
main.yaml:2:38: a.yaml has no parameter "txt" (did you mean "text"?)
main.yaml:2:49: parameter "n" must be of type integer, not string
main.yaml:2:61: parameter "list" must be of type array, not object
main.yaml:2:93: parameter "on" must be of type boolean, not array
main.yaml:2:107: a.yaml has no parameter "no" (did you mean "n"?)
main.yaml:2:118: parameter "big" must be of type integer, not number`},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := parseFiles(t, c.files, "main.yaml")
			if err == nil || w != nil {
				t.Fatalf("got %v, %v", w, err)
			}
			if d := cmp.Diff(c.want, err.Error()); d != "" {
				t.Error(d)
			}
		})
	}
	// Each file is loaded once, however often it is named, and whether or not it is sound.
	loads := map[string]int{}
	f := files{"main.yaml": "steps:\n- {id: a, workflow: x.yaml}\n- {id: b, workflow: ./x.yaml}\n- {id: c, workflow: y.yaml}\n", "x.yaml": "steps: []", "y.yaml": step("workflow: x.yaml")}
	opts := workflow.Options{Load: func(path string) ([]byte, error) {
		loads[path]++
		return f.load(path)
	}}
	if _, err := workflow.Parse("main.yaml", []byte(f["main.yaml"]), opts); err == nil {
		t.Error("no error")
	}
	if d := cmp.Diff(map[string]int{"x.yaml": 1, "y.yaml": 1}, loads); d != "" {
		t.Error(d)
	}
}

func TestDepthThroughSharedFiles(t *testing.T) {
	// The same tail is reached by a short way first and by a long one then.
	f := files{"main.yaml": "steps:\n- {id: a, workflow: t0.yaml}\n- {id: b, workflow: h0.yaml}\n"}
	for i := range 6 {
		f[fmt.Sprintf("t%d.yaml", i)] = fmt.Sprintf("steps: [{id: s, workflow: t%d.yaml}]", i+1)
		f[fmt.Sprintf("h%d.yaml", i)] = fmt.Sprintf("steps: [{id: s, workflow: h%d.yaml}]", i+1)
	}
	f["t6.yaml"] = "steps: [{id: s, agent: x, task: t}]"
	f["h6.yaml"] = "steps: [{id: s, workflow: t0.yaml}]"
	_, err := parseFiles(t, f, "main.yaml")
	if all, _ := errors.AsType[workflow.Errors](err); len(all) == 0 || !errors.Is(err, workflow.ErrTooLarge) ||
		!slices.ContainsFunc(all, func(e *workflow.Error) bool { return e.File == "h6.yaml" }) {
		t.Errorf("got %v", err)
	}
}

func TestWorkflowsByName(t *testing.T) {
	step := func(does string) string { return "steps: [{id: s, " + does + "}]" }
	f := files{
		"a/main.yaml":  "steps:\n- {id: named, workflow: review}\n- {id: beside, workflow: old}\n- {id: inner, workflow: part.yaml}\n",
		"a/old":        step("agent: x, task: t"),
		"a/part.yaml":  step("workflow: review"),
		"lib/rev.yaml": step("workflow: below.yaml"), "lib/below.yaml": step("agent: x, task: t"),
	}
	asked := map[string]int{}
	opts := workflow.Options{
		Load: func(path string) ([]byte, error) {
			if data, err := f.load(path); err == nil {
				return data, nil
			}
			return nil, fs.ErrNotExist
		},
		Find: func(name string) (string, error) {
			asked[name]++
			if name == "review" {
				return "lib/rev.yaml", nil
			}
			return "", fmt.Errorf("there is no workflow %q", name)
		},
	}
	w, err := workflow.Parse("a/main.yaml", []byte(f["a/main.yaml"]), opts)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for path := range w.All() {
		paths = append(paths, path)
	}
	if d := cmp.Diff([]string{"a/main.yaml", "lib/rev.yaml", "lib/below.yaml", "a/old", "a/part.yaml"}, paths); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"review": "lib/rev.yaml"}, w.Named()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]int{"review": 1}, asked); d != "" {
		t.Error(d)
	}
	// A path is no name, and what is neither is an error where it stands.
	for source, want := range map[string]string{
		"steps: [{id: a, workflow: x.yaml}]": `main.yaml:1:27: cannot read workflow "x.yaml": file does not exist`,
		"steps: [{id: a, workflow: revue}]":  `main.yaml:1:27: there is no workflow "revue" (for a file beside this one write its extension too: revue.yaml)`,
	} {
		_, err := workflow.Parse("main.yaml", []byte(source), opts)
		if err == nil || err.Error() != want || !errors.Is(err, workflow.ErrUnknownWorkflow) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestParametersPassedDown(t *testing.T) {
	f := files{
		"main.yaml": "params: {path: ./src, n: 3, list: {default: [a]}, own: outer}\nsteps:\n- {id: a, workflow: mid.yaml}\n- {id: b, workflow: mid.yaml, with: {path: other}}\n",
		"mid.yaml":  "params: {path: , n: {type: number}, own: inner}\nsteps: [{id: s, workflow: low.yaml}]",
		"low.yaml":  "params: {path: {description: a folder}}\nsteps: [{id: s, agent: x, task: '${{ params.path }}'}]",
	}
	w, err := parseFiles(t, f, "main.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a, b := w.Step("a"), w.Step("b")
	env := workflow.Env{Params: map[string]any{"path": "given", "n": 3}}
	for _, c := range []struct {
		step *workflow.Step
		name string
		want any
	}{{a, "path", "given"}, {a, "n", 3}, {b, "path", "other"}, {a.Body.Step("s"), "path", "given"}} {
		v, err := c.step.With[c.name].Eval(env)
		if err != nil || v != c.want {
			t.Errorf("%s of %s is %v, %v", c.name, c.step.ID, v, err)
		}
	}
	if a.With["own"] != nil {
		t.Error("a parameter with a default was given another value")
	}
	// A parameter of another type is none.
	f["main.yaml"] = "params: {path: 3, n: 3}\nsteps: [{id: a, workflow: mid.yaml}]"
	_, err = parseFiles(t, f, "main.yaml")
	if err == nil || err.Error() != `main.yaml:2:27: mid.yaml needs the parameter "path" (add with: {path: ...})` {
		t.Errorf("got %v", err)
	}
}
