package workflow_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

// listed returns an Env in which a base has one changed file of its own, and "none" is no base.
func listed(asked *[]string) workflow.Env {
	return workflow.Env{ChangedFiles: func(base string, uncommitted bool) ([]string, error) {
		*asked = append(*asked, fmt.Sprint(base, " ", uncommitted))
		if base == "none" {
			return nil, errors.New("there is no none")
		}
		return []string{base + ".go", "a.go"}, nil
	}}
}

func TestChangedFiles(t *testing.T) {
	var asked []string
	for expression, want := range map[string]any{
		`changed_files("main")`:                              []any{"main.go", "a.go"},
		`changed_files("main", "uncommitted")[0]`:            "main.go",
		`len(changed_files("a") + "b" == "" ? [1] : [1, 2])`: nil,
		`filter(changed_files(params.base), # != "a.go")`:    []any{"dev.go"},
		`changed_files("main", "all")`:                       nil,
		`changed_files("none")`:                              nil,
	} {
		w, err := workflow.Parse("w.yaml", []byte("params: {base: dev}\nsteps: [{id: a, value: '${{ "+expression+" }}'}]\noutput: '${{ "+expression+" }}'"), workflow.Options{})
		if err != nil {
			if want != nil {
				t.Error(err)
			}
			continue
		}
		env := listed(&asked)
		env.Params = map[string]any{"base": "dev"}
		text, err := w.Steps[0].Value.Text(env)
		if want == nil {
			if err == nil {
				t.Errorf("%s is %s", expression, text)
			}
			continue
		}
		got, _ := workflow.ParseJSON(text)
		if got == nil {
			got = text
		}
		if err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("%s is %v, %v", expression, got, err)
		}
		if _, err := w.Steps[0].Value.Text(workflow.Env{Params: env.Params}); err == nil {
			t.Errorf("%s has a value though no one lists changed files", expression)
		}
	}
}

func parseChanges(t *testing.T, text string, others map[string]string) *workflow.Workflow {
	t.Helper()
	w, err := workflow.Parse("w.yaml", []byte(text), workflow.Options{Load: func(path string) ([]byte, error) { return []byte(others[path]), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestCheckChanges(t *testing.T) {
	files := map[string]string{"sub.yaml": "params: {base: none}\nsteps:\n- {id: s, agent: x, task: t, files: '${{ changed_files(params.base) }}'}\n"}
	w := parseChanges(t, `
params: {base: none}
steps:
  - {id: wrong, agent: x, task: "Of ${{ len(changed_files(params.base)) }}"}
  - {id: fine, agent: x, task: t, files: "${{ changed_files('main') }}"}
  - {id: asks, agent: x, task: t, when: "len(changed_files('none', 'uncommitted')) > 0"}
  - {id: guarded, agent: x, task: "${{ changed_files('none') }}", when: params.base != "none"}
  - {id: after, agent: x, task: "${{ changed_files('none') }}", dependencies: [guarded]}
  - {id: lazy, agent: x, task: "${{ params.base == '' ? changed_files('none') : [] }}"}
  - {id: later, agent: x, task: "${{ changed_files(steps.fine.output) }}"}
  - {id: sub, workflow: sub.yaml}
  - {id: good, workflow: sub.yaml, with: {base: main}}
  - {id: unknown, workflow: sub.yaml, with: {base: "${{ steps.fine.output }}"}}
  - {id: group, steps: [{id: inner, foreach: "${{ changed_files('none') }}", agent: x, task: "${{ item }} ${{ changed_files('none') }}"}, {id: known, agent: x, task: "${{ changed_files('none') }}"}]}
output: "${{ changed_files('none') }}"
`, files)
	var asked []string
	env := listed(&asked)
	env.Params, env.Run = map[string]any{"base": "none"}, map[string]any{"id": "r"}
	var got []string
	for _, err := range w.CheckChanges(env) {
		got = append(got, err.Error())
	}
	want := []string{
		"w.yaml:4:41: listing changed files: there is no none",
		"w.yaml:6:42: listing changed files: there is no none",
		"w.yaml:14:51: listing changed files: there is no none",
		"w.yaml:14:172: listing changed files: there is no none",
		"w.yaml:15:14: listing changed files: there is no none",
		"sub.yaml:3:42: listing changed files: there is no none",
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
