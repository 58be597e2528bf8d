package permission_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/tool/permission"
)

// TestUselessRulesMatchNothing draws rules and calls: a rule of which Useless says
// that it can match nothing allows no call, and one that another covers is denied by
// it whenever it would allow a call of its tool.
func TestUselessRulesMatchNothing(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dir := filepath.Join(home, "project")
	for _, folder := range []string{"src/deep", "docs"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(folder)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	slash := filepath.ToSlash(dir)
	pick := func(values ...string) *rapid.Generator[string] { return rapid.SampledFrom(values) }
	tools := pick("Read", "Edit", "Write", "NotebookEdit", "Glob", "Grep", "Bash", "WebFetch", "WebSearch", "TodoWrite", "mcp__db__query", "Skill")
	specs := pick("src/**", "/src/**", "/src/a.go", "a.go", "**", "/etc/**", "//etc/**", "~/other/**", "~/project/**", "~/**", "../x", slash+"/src/**", "/"+slash+"/src/**", "//**", "*.go", "src/*/x",
		"git:*", "git push:*", "git push", "domain:go.dev", "domain:*.go.dev", "domain:https://go.dev/x", "go.dev", "domain:go.dev:443", "deploy")
	rule := rapid.Custom(func(t *rapid.T) permission.Rule {
		tool := tools.Draw(t, "tool")
		if rapid.IntRange(0, 5).Draw(t, "all") == 0 {
			return permission.Rule{Tool: tool, All: true}
		}
		return permission.Rule{Tool: tool, Spec: specs.Draw(t, "spec")}
	})
	// What begins with / counts as useless while the project has no such folder, so no
	// call is in one.
	type call struct{ tool, input string }
	var calls []call
	for _, path := range []string{"src/a.go", "src/deep/a.go", "a.go", "docs/x", "/etc/x", "../other/x", "../x", "src/y/x"} {
		if !strings.HasPrefix(path, "/etc") {
			path = filepath.Join(dir, filepath.FromSlash(path))
		}
		file, _ := json.Marshal(map[string]string{"file_path": path, "content": "x", "old_string": "a", "new_string": "b"})
		notebook, _ := json.Marshal(map[string]string{"notebook_path": path, "new_source": "x"})
		search, _ := json.Marshal(map[string]string{"path": path, "pattern": "x"})
		calls = append(calls, call{"Read", string(file)}, call{"Edit", string(file)}, call{"Write", string(file)}, call{"NotebookEdit", string(notebook)}, call{"Glob", string(search)}, call{"Grep", string(search)})
	}
	for _, command := range []string{"git status", "git push", "git push origin", "go test ./..."} {
		input, _ := json.Marshal(map[string]string{"command": command})
		calls = append(calls, call{"Bash", string(input)})
	}
	for _, url := range []string{"https://go.dev/x", "https://pkg.go.dev", "https://go.dev:443/"} {
		input, _ := json.Marshal(map[string]string{"url": url, "prompt": "x"})
		calls = append(calls, call{"WebFetch", string(input)})
	}
	calls = append(calls, call{"WebSearch", `{"query":"x"}`}, call{"TodoWrite", `{"todos":[]}`}, call{"mcp__db__query", `{}`}, call{"Skill", `{"skill":"deploy"}`})
	rapid.Check(t, func(t *rapid.T) {
		allow, deny := rule.Draw(t, "allow"), rule.Draw(t, "deny")
		without := &permission.Policy{Mode: permission.ModeDefault, Dir: dir, Home: home}
		with := *without
		with.Allow = []permission.Rule{allow}
		both := with
		both.Deny = []permission.Rule{deny}
		why, _ := without.Useless(allow)
		covers := without.Covers(deny, allow)
		for _, c := range calls {
			before, after := without.Check(c.tool, json.RawMessage(c.input), dir), with.Check(c.tool, json.RawMessage(c.input), dir)
			if after.Outcome != permission.Allow || before.Outcome == permission.Allow {
				continue
			}
			// Outside the project, a rule allows what it names if a user writes it; one in
			// a file of the project needs that of a user.
			if why != "" && !strings.Contains(why, "outside the project") {
				t.Errorf("%s allows %s %s, though %s", allow, c.tool, c.input, why)
			}
			if covers && c.tool == allow.Tool && both.Check(c.tool, json.RawMessage(c.input), dir).Outcome == permission.Allow {
				t.Errorf("%s leaves %s %s of %s", deny, c.tool, c.input, allow)
			}
		}
	})
}
