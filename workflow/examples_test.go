package workflow_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow"
)

// instance makes a value that a schema as in the examples allows.
func instance(tb testing.TB, schema any) any {
	s, ok := schema.(map[string]any)
	if !ok {
		tb.Fatalf("no schema: %v", schema)
	}
	if enum, ok := s["enum"].([]any); ok {
		return enum[0]
	}
	switch s["type"] {
	case "object":
		out := map[string]any{}
		for name, inner := range s["properties"].(map[string]any) {
			out[name] = instance(tb, inner)
		}
		return out
	case "array":
		return []any{instance(tb, s["items"]), instance(tb, s["items"])}
	case "integer":
		return 9.0
	case "boolean":
		return true
	}
	return "some text"
}

// walk evaluates a workflow as a run would, with made-up answers.
func walk(t *testing.T, w *workflow.Workflow, env workflow.Env, file string) workflow.StepResult {
	t.Helper()
	check := func(s *workflow.Step, err error) {
		if err != nil {
			t.Errorf("%s: step %s: %v", file, s.ID, err)
		}
	}
	if len(w.Vars) > 0 {
		var err error
		if env, err = w.WithVars(env); err != nil {
			t.Error(err)
		}
	}
	outer := env.Steps
	env.Steps = map[string]workflow.StepResult{}
	maps.Copy(env.Steps, outer)
	last := workflow.StepResult{}
	done := map[string]bool{}
	for len(done) < len(w.Steps) {
		for _, s := range w.Steps {
			ready := !done[s.ID]
			for _, d := range s.Dependencies {
				ready = ready && done[d]
			}
			if !ready {
				continue
			}
			done[s.ID] = true
			if s.When != nil {
				_, err := s.When.Eval(env)
				check(s, err)
			}
			items := []any{nil}
			if f := s.Foreach; f != nil && f.Items != nil {
				v, err := f.Items.Eval(env)
				check(s, err)
				items, _ = v.([]any)
				if len(items) == 0 {
					t.Errorf("%s: step %s has no items but %v", file, s.ID, v)
				}
			} else if f != nil {
				_, err := f.Glob[0].Render(env)
				check(s, err)
				items = []any{"a.go", "b.go"}
			}
			var outputs []any
			for _, item := range items {
				own := env
				if s.Foreach != nil {
					own.Item = item
					own.Items = map[string]any{s.Foreach.Name: item}
					maps.Copy(own.Items, env.Items)
				}
				rounds := 1
				if s.Loop != nil {
					rounds = 2
					var err error
					own.Loop, err = s.Loop.StartState(env)
					check(s, err)
				}
				for range rounds {
					last = workflow.StepResult{Status: "completed", Output: "some text"}
					inside := map[string]workflow.StepResult{}
					switch {
					case s.Workflow != "":
						params := map[string]any{}
						for _, p := range s.Body.Params {
							params[p.Name] = p.Default
						}
						for name, v := range s.With {
							var err error
							params[name], err = v.Eval(own)
							check(s, err)
						}
						last = walk(t, s.Body, workflow.Env{Params: params}, s.Workflow)
					case s.Body != nil:
						walk(t, s.Body, own, file)
						for _, inner := range s.Body.Steps {
							inside[inner.ID] = workflow.StepResult{Status: "completed", Output: "x", JSON: answer(t, inner)}
						}
					case s.Action() != nil:
						did, err := s.Action().Fill(own)
						check(s, err)
						if last.JSON = nil; s.Action().Shape() != workflow.OutputText {
							last.JSON = []any{"some", "text"}
						}
						if text, ok := did.(string); ok {
							if last.Output, last.JSON = text, nil; json.Valid([]byte(text)) {
								last.JSON, err = workflow.ParseJSON(text)
								check(s, err)
							}
						}
						if s.HTTP != nil {
							last.JSON = []any{map[string]any{"title": "some text"}}
						}
						if s.Read != nil {
							last.JSON = []any{map[string]any{"path": "a.md", "content": "some text", "name": "some"}}
						}
					case s.Approval != nil:
						_, err := s.Approval.Message.Render(own)
						check(s, err)
						last.JSON = answer(t, s)
					default:
						_, err := s.Task.Render(own)
						check(s, err)
						for _, f := range s.Files {
							_, err := f.Texts(own)
							check(s, err)
						}
						last.JSON = answer(t, s)
					}
					inside[s.ID] = last
					after := own
					after.Steps = map[string]workflow.StepResult{}
					for _, from := range []map[string]workflow.StepResult{env.Steps, inside} {
						maps.Copy(after.Steps, from)
					}
					if s.Output != nil && s.Workflow == "" {
						text, err := s.Output.Render(after)
						check(s, err)
						if json.Valid([]byte(text)) {
							last.JSON, err = workflow.ParseJSON(text)
							check(s, err)
						}
					}
					if s.Loop != nil {
						next, err := s.Loop.NextState(after)
						check(s, err)
						after.Loop = next.At(own.Loop.Index, own.Loop.Previous)
						v, err := s.Loop.Until.Eval(after)
						check(s, err)
						if _, ok := v.(bool); !ok {
							t.Errorf("%s: until of %s is %v", file, s.ID, v)
						}
						next.Previous = inside
						own.Loop = next
					}
				}
				if outputs = append(outputs, last.JSON); last.JSON == nil {
					outputs[len(outputs)-1] = last.Output
				}
			}
			if s.Foreach != nil {
				last.JSON = outputs
			}
			env.Steps[s.ID] = last
		}
	}
	if w.Output != nil {
		if _, err := w.Output.Render(env); err != nil {
			t.Errorf("%s: output: %v", file, err)
		}
	}
	return last
}

func answer(t *testing.T, s *workflow.Step) any {
	text := s.Schema
	if s.Approval != nil {
		text = s.Approval.Schema
	}
	if text == nil {
		return nil
	}
	var schema any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return instance(t, schema)
}

func TestExampleFiles(t *testing.T) {
	t.Chdir("..") // the examples are run from there
	paths, err := filepath.Glob("examples/workflows/*")
	if err != nil || len(paths) < 19 {
		t.Fatalf("found %d examples, %v", len(paths), err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		opts := workflow.Options{Load: os.ReadFile, SlashCommand: func(name string) (*workflow.SlashCommand, error) {
			return &workflow.SlashCommand{Name: name, Body: []workflow.SlashCommandPart{{Text: "Review "}, {Text: "$0", Position: 1}}}, nil
		}, CheckAgent: func(name string) error {
			_, err := os.Stat("agent/builtin/" + name + ".md")
			return err
		}}
		w, err := workflow.Parse(path, data, opts)
		if err != nil {
			t.Error(err)
			continue
		}
		params, err := w.BindParams(nil)
		if err != nil {
			t.Errorf("%s needs parameters: %v", path, err)
		}
		walk(t, w, workflow.Env{Params: params, Run: map[string]any{"id": "r"}, ChangedFiles: func(string, bool) ([]string, error) { return []string{"a.go"}, nil }}, path)
		if name := filepath.Base(path); name != "code-quality.json" && name != "review-folder.yaml" {
			if text := string(data); !strings.HasPrefix(text, "# ") || !strings.Contains(text, "#   claude-force run examples/workflows/"+name+" --simulate") {
				t.Errorf("%s does not say what it shows and how to run it", path)
			}
		}
	}
}
