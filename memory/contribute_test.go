package memory_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/memory"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// TestContributor gives an agent the memory of its project, then those of a folder
// when it reads there.
func TestContributor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"CLAUDE.md": "top @.env @a.md", "a.md": "a", ".env": "SECRET", "d/CLAUDE.md": "nested", "d/x.txt": "x\n", "AGENTS.md": "no", "CLAUDE.local.md": "->/etc/hosts"})
	deny, err := permission.ParseRules("Read(.env)")
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	project, err := toolset.Open(toolset.Options{
		Dir: dir, Policy: permission.Policy{Deny: deny}, Contributors: []toolset.Contributor{memory.Contributor("")},
		OnNotice: func(_ context.Context, text string) { notices = append(notices, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tools, err := project.For(t.Context(), &agent.Agent{Name: "a", Tools: []string{"Read"}}, task.Task{})
		if err != nil {
			t.Fatal(err)
		}
		if len(tools.Context) != 1 || !strings.Contains(tools.Context[0], "Contents of a.md") || strings.Contains(tools.Context[0], "SECRET") {
			t.Errorf("context %q", tools.Context)
		}
		if len(tools.Sources) != 2 || tools.Sources["CLAUDE.md"] == "" || tools.Sources["a.md"] == "" {
			t.Errorf("sources %v", tools.Sources)
		}
		env, err := tools.Env()
		if err != nil {
			t.Fatal(err)
		}
		read := func() (string, []llm.Block) {
			r := tools.Set.Call(t.Context(), env, llm.Block{Name: "Read", Input: fmt.Appendf(nil, `{"file_path": %q}`, filepath.Join(dir, "d", "x.txt"))})
			return r.Text, r.Notes
		}
		text, notes := read()
		if text != "1\tx\n2\t" || len(notes) != 1 || !strings.Contains(notes[0].Text, "Contents of d/CLAUDE.md") {
			t.Errorf("%q with notes %v", text, notes)
		}
		if _, notes := read(); len(notes) != 0 {
			t.Errorf("given again: %v", notes)
		}
		if n := len(env.Observed()); n != 3 {
			t.Errorf("%d observations: %v", n, env.Observed())
		}
		if err := env.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "CLAUDE.local.md") {
		t.Errorf("notices %q", notices)
	}
}
