package workflow_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

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
