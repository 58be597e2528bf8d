package workflow_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow"
)

// Steps whose agent is "edit" may edit files.
func sharedEdits(t *testing.T, src string, files map[string]string) workflow.Errors {
	t.Helper()
	w, err := workflow.Parse("w.yaml", []byte(src), workflow.Options{Load: func(path string) ([]byte, error) { return []byte(files[path]), nil }})
	if err != nil {
		t.Fatal(err)
	}
	return w.SharedEdits(
		func(s *workflow.Step) bool { return s.Agent == "edit" },
		func(s *workflow.Step) bool { return s.Isolation == workflow.IsolationWorktree })
}

func TestSharedEdits(t *testing.T) {
	for name, test := range map[string]struct{ steps, want string }{
		"alone":     {"- {id: a, agent: edit, task: t}\n- {id: b, agent: look, task: t}", ""},
		"one after": {"- {id: a, agent: edit, task: t}\n- {id: b, agent: edit, task: t, dependencies: [a]}", ""},
		"far after": {"- {id: a, agent: edit, task: t}\n- {id: m, agent: look, task: t, dependencies: [a]}\n- {id: b, agent: edit, task: t, dependencies: [m]}", ""},
		"together":  {"- {id: a, agent: edit, task: t}\n- {id: b, agent: edit, task: t}", "w.yaml:2:3 a; w.yaml:3:3 b"},
		"isolated":  {"- {id: a, agent: edit, task: t, isolation: worktree}\n- {id: b, agent: edit, task: t, isolation: worktree}", ""},
		"one is":    {"- {id: a, agent: edit, task: t, isolation: worktree}\n- {id: b, agent: edit, task: t}", "w.yaml:3:3 b"},
		"before":    {"- {id: a, agent: edit, task: t, dependencies: [b]}\n- {id: b, agent: edit, task: t}", ""},
		"any of": {"- {id: a, agent: edit, task: t}\n- {id: m, agent: look, task: t}\n- {id: b, agent: edit, task: t, dependencies: [a, m], join: any}",
			"w.yaml:2:3 a; w.yaml:4:3 b"},
		"fallback": {"- {id: a, agent: edit, task: t, on_failure: {fallback: b}}\n- {id: b, agent: edit, task: t}", ""},
		"items":    {"- {id: a, agent: edit, task: \"${{ item }}\", foreach: {items: \"${{ [1, 2] }}\"}}", "w.yaml:2:3 foreach"},
		"items one by one": {
			"- {id: a, agent: edit, task: \"${{ item }}\", foreach: {items: \"${{ [1, 2] }}\"}, max_parallel: 1}", ""},
		"groups": {"- id: g\n  steps:\n  - {id: a, agent: edit, task: t}\n- id: h\n  steps:\n  - {id: b, agent: edit, task: t}", "w.yaml:4:5 a; w.yaml:7:5 b"},
		"file":   {"- {id: a, workflow: sub.yaml}\n- {id: b, agent: edit, task: t}", "sub.yaml:1:9 inner; w.yaml:3:3 b"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := sharedEdits(t, "steps:\n"+test.steps, map[string]string{"sub.yaml": "steps: [{id: inner, agent: edit, task: t}]"})
			var got []string
			for _, e := range errs {
				at, rest, _ := strings.Cut(e.Error(), ": ")
				word := "foreach"
				if !strings.Contains(rest, word) {
					word = strings.Trim(strings.Fields(rest)[1], `"`)
				}
				if e.Hint == "" {
					t.Errorf("no hint: %s", e)
				}
				got = append(got, at+" "+word)
			}
			if joined := strings.Join(got, "; "); joined != test.want {
				t.Errorf("got %q, want %q", joined, test.want)
			}
		})
	}
}

// Many steps are compared in bounded time and memory.
func TestManySharedEdits(t *testing.T) {
	var b strings.Builder
	b.WriteString("steps:\n")
	for range 6000 {
		b.WriteString("- {id: s" + strconv.Itoa(b.Len()) + ", agent: edit, task: t}\n")
	}
	if errs := sharedEdits(t, b.String(), nil); len(errs) != 1000 {
		t.Errorf("%d errors", len(errs))
	}
}
