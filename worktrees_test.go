package claudeforce_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
	"github.com/claude-force/claude-force/workflow"
	"github.com/claude-force/claude-force/worktree"
)

// repository returns a folder with a repository of one commit.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		citest.Missing(t, "git is not installed")
	}
	dir := t.TempDir()
	for name, text := range files {
		put(t, dir, name, text)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "-m", "first"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_AUTHOR_NAME=u", "GIT_AUTHOR_EMAIL=u@h", "GIT_COMMITTER_NAME=u", "GIT_COMMITTER_EMAIL=u@h")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// acting returns an orchestrator of a folder whose agents act as a script says, with
// permission to edit.
func acting(t *testing.T, dir, data, script string) *claudeforce.Orchestrator {
	t.Helper()
	rules, err := sim.ParseScript("script.yaml", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = data
	o, err := claudeforce.New(t.Context(), claudeforce.Options{
		Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{Script: rules}),
		Agents:  []*agent.Agent{{Name: "editor", Description: "edits", AllTools: true, Model: "haiku"}},
		Toolset: &toolset.Options{Policy: permission.Policy{Mode: permission.ModeAcceptEdits}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

const editScript = `
strict: true
rules:
  - {when: {task: One, turn: 1}, tools: [{name: Edit, input: {file_path: a.txt, old_string: two, new_string: TWO by one}}]}
  - {when: {task: Two, turn: 1}, tools: [{name: Edit, input: {file_path: a.txt, old_string: two, new_string: TWO by two}}]}
  - {when: {task: Look, turn: 1}, tools: [{name: Read, input: {file_path: a.txt}}]}
  - {when: {task: Out, turn: 1}, tools: [{name: Write, input: {file_path: "MAIN/a.txt", content: x}}, {name: Write, input: {file_path: b.txt, content: b}}]}
  - {when: {task: Out, turn: 2, result: {tool: Write, error: true}}, text: Refused.}
  - {when: {task: "/One|Two|Look|Out/"}, text: Done.}
`

func TestStepsInWorktrees(t *testing.T) {
	dir, data := repository(t, map[string]string{"a.txt": "one\ntwo\nthree\n"}), filepath.Join(t.TempDir(), "data")
	o := acting(t, dir, data, strings.ReplaceAll(editScript, "MAIN", filepath.ToSlash(dir)))
	wf, err := o.ParseWorkflow("w.yaml", []byte(`
steps:
  - {id: one, agent: editor, isolation: worktree, task: One}
  - {id: two, agent: editor, isolation: worktree, task: Two}
  - {id: look, agent: editor, isolation: worktree, task: Look}
  - {id: out, agent: editor, isolation: worktree, task: Out}
  - {id: after, agent: editor, isolation: worktree, base: "claude-force/${{ run.id }}/one", dependencies: [one], task: Look again}
`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := o.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "a.txt")); string(text) != "one\ntwo\nthree\n" {
		t.Errorf("the project's folder was changed: %s", text)
	}
	for _, id := range []string{"look", "after"} {
		if res.Steps[id].Changes != nil {
			t.Errorf("step %s changed %+v", id, res.Steps[id].Changes)
		}
	}
	one, two, out := res.Steps["one"].Changes, res.Steps["two"].Changes, res.Steps["out"].Changes
	if one == nil || two == nil || !strings.Contains(one.Diff, "+TWO by one") || !strings.Contains(two.Diff, "+TWO by two") {
		t.Fatalf("diffs: %+v, %+v", one, two)
	}
	if res.Steps["out"].Output != "Refused." || out == nil || !slices.Equal(out.Files, []string{"b.txt"}) {
		t.Errorf("a write into the project's folder: %q, %+v", res.Steps["out"].Output, out)
	}
	// What was empty is gone, the rest is there.
	left, err := filepath.Glob(filepath.Join(data+"-worktrees", "*", "*.json"))
	if err != nil || len(left) != 3 {
		t.Errorf("left %v", left)
	}
	repo, err := o.Repository(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Apply(t.Context(), one, worktree.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	applied, err := repo.Apply(t.Context(), two, worktree.ApplyOptions{})
	if err != nil || len(applied.Conflicts) != 1 || !strings.Contains(applied.Conflicts[0].Merged, "TWO by one\n=======\nTWO by two") {
		t.Errorf("%+v, %v", applied, err)
	}
}

// Steps that edit at the same time are refused before anything is spent.
func TestSharedEditsAreRefused(t *testing.T) {
	dir := repository(t, map[string]string{"a.txt": "two\n"})
	o := acting(t, dir, filepath.Join(t.TempDir(), "data"), editScript)
	wf, err := o.ParseWorkflow("w.yaml", []byte("steps:\n  - {id: one, agent: editor, task: One}\n  - {id: two, agent: editor, task: Two}\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	var errs workflow.Errors
	if !errors.As(err, &errs) || len(errs) != 2 || !strings.Contains(err.Error(), "w.yaml:2:5: step \"one\" may edit files at the same time as step \"two\" (line 3) (write isolation: worktree") {
		t.Errorf("got %v", err)
	}
}

func TestNoRepository(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.txt", "two\n")
	o := acting(t, dir, filepath.Join(t.TempDir(), "data"), editScript)
	wf, err := o.ParseWorkflow("w.yaml", []byte("steps:\n  - {id: one, agent: editor, isolation: worktree, task: One}\n"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := o.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	if err == nil || res == nil || res.Status != engine.StatusFailed || !strings.Contains(*res.Steps["one"].Error, "git") {
		t.Errorf("got %v, %+v", err, res)
	}
}

const apartScript = `
strict: true
rules:
  - when: {task: Lead, turn: 1}
    tools:
      - {name: Agent, input: {description: d, prompt: One, subagent_type: editor, isolation: worktree}}
      - {name: Agent, input: {description: d, prompt: Two, subagent_type: editor, isolation: worktree}}
      - {name: Agent, input: {description: d, prompt: Look, subagent_type: editor, isolation: worktree}}
  - {when: {task: Lead, turn: 2, result: {tool: Agent, text: "+TWO by one"}}, text: Both.}
  - {when: {task: One, turn: 1}, tools: [{name: Edit, input: {file_path: a.txt, old_string: two, new_string: TWO by one}}]}
  - {when: {task: Two, turn: 1}, tools: [{name: Edit, input: {file_path: a.txt, old_string: two, new_string: TWO by two}}]}
  - {when: {task: Look, turn: 1}, tools: [{name: Write, input: {file_path: "MAIN/a.txt", content: x}}]}
  - {when: {task: "/One|Two|Look/"}, text: Done.}
`

// Sub-agents that a call isolates work in worktrees of their own, also if the agent
// that starts them does. What they changed is on branches; an empty worktree is gone.
func TestSubagentsInWorktrees(t *testing.T) {
	for name, isolation := range map[string]string{"from the project": "none", "from a worktree": "worktree"} {
		t.Run(name, func(t *testing.T) {
			dir, data := repository(t, map[string]string{"a.txt": "one\ntwo\n"}), filepath.Join(t.TempDir(), "data")
			o := acting(t, dir, data, strings.ReplaceAll(apartScript, "MAIN", filepath.ToSlash(dir)))
			wf, err := o.ParseWorkflow("w.yaml", []byte("steps: [{id: lead, agent: editor, isolation: "+isolation+", task: Lead}]"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := o.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if out := res.Steps["lead"].Output; out != "Both." || res.Steps["lead"].Changes != nil {
				t.Errorf("output %q, changes %+v", out, res.Steps["lead"].Changes)
			}
			if text, _ := os.ReadFile(filepath.Join(dir, "a.txt")); string(text) != "one\ntwo\n" {
				t.Errorf("the project's folder was changed: %s", text)
			}
			left, err := filepath.Glob(filepath.Join(data+"-worktrees", "*", "*", "a.txt"))
			if err != nil || len(left) != 2 {
				t.Errorf("worktrees: %v", left)
			}
			cmd := exec.Command("git", "branch", "--list", "claude-force/*")
			cmd.Dir = dir
			if out, err := cmd.Output(); err != nil || strings.Count(string(out), "+editor-") != 2 {
				t.Errorf("branches: %s, %v", out, err)
			}
		})
	}
}
