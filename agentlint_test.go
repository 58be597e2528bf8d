package claudeforce_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/lint"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

// TestLintKnowsEveryTool: none that an agent can get is unknown to lint.
func TestLintKnowsEveryTool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
	if err != nil {
		t.Fatal(err)
	}
	project, err := claudeforce.OpenTools(t.Context(), claudeforce.Options{Dir: dir, Config: cfg, Toolset: &toolset.Options{Policy: permission.Policy{Home: dir}}})
	if err != nil {
		t.Fatal(err)
	}
	tools, err := project.For(t.Context(), &agent.Agent{Name: "a", AllTools: true, Source: "a.md"}, task.Task{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "a.md")
	text := "---\nname: a\ndescription: d\ntools: " + strings.Join(tools.Set.Names(), ", ") + "\n---\nP\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := claudeforce.LintOptions(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if found, open := lint.File(file, opts); len(found) > 0 || open || len(tools.Set.Names()) < 8 {
		t.Errorf("%v: %v", tools.Set.Names(), found)
	}
}
