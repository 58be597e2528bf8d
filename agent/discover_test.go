package agent_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/agent/builtin"
)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func md(name, prompt string) string {
	return "---\nname: " + name + "\ndescription: " + name + " of " + prompt + "\n---\n" + prompt
}

func places(t *testing.T) agent.DiscoverOptions {
	root := tree(t, map[string]string{
		"repo/.git/HEAD":                         "ref",
		"repo/sub/.claude/agents/near.md":        md("both", "near"),
		"repo/.claude/agents/far.md":             md("both", "far"),
		"repo/.claude/agents/deep/er/x.md":       md("deep", "repo"),
		"repo/.claude/agents/named-otherwise.md": md("linter", "repo"),
		"repo/.claude/agents/broken.md":          "---\nname: broken\n---\nP",
		"repo/.claude/agents/README.txt":         "not Markdown",
		"home/.claude/agents/mine.md":            md("mine", "home"),
		"home/.claude/agents/both.md":            md("both", "home"),
		"home/.claude/agents/plain.md":           "You are plain.",
		"repo/.claude/claude.json":               `{"agents": {"listed": {"file": "listed.md"}}}`,
		"repo/.claude/listed.md":                 "You are listed.",
		".claude/agents/above-the-repository.md": md("above", "outside"),
	})
	return agent.DiscoverOptions{Dir: filepath.Join(root, "repo", "sub"), Home: filepath.Join(root, "home"), Builtin: builtin.FS}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	set, warnings, err := agent.Discover(places(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, prompt := range map[string]string{"both": "near", "deep": "repo", "linter": "repo", "mine": "home", "plain": "You are plain."} {
		a, err := set.Lookup(name)
		if err != nil || a.Prompt != prompt {
			t.Errorf("%s: %v, %v; want the one with prompt %q", name, a, err, prompt)
		}
	}
	if _, err := set.Lookup("above"); err == nil {
		t.Error("an agent above the repository was found")
	}
	var texts []string
	for _, w := range warnings {
		texts = append(texts, w.String())
	}
	if all := strings.Join(texts, "\n"); !strings.Contains(all, "broken.md:1") {
		t.Errorf("no warning of broken.md: %s", all)
	}
	names := []string{}
	for _, a := range set.All() {
		names = append(names, a.Name)
	}
	if !slices.IsSorted(names) || len(names) < 20 {
		t.Errorf("names %v", names)
	}
}

// TestFindGivesWhatDiscoverGives shows what lets a process look up one agent
// without reading all.
func TestFindGivesWhatDiscoverGives(t *testing.T) {
	t.Parallel()
	opts := places(t)
	set, _, err := agent.Discover(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range set.All() {
		got, _, err := agent.Find(opts, want.Name)
		if err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", want.Name, diff)
		}
	}
	_, _, err = agent.Find(opts, "lintr")
	unknown, ok := errors.AsType[*agent.UnknownError](err)
	if !ok || unknown.Suggestion != "linter" || len(unknown.Known) != len(set.All()) {
		t.Errorf("got %v", err)
	}
}

func TestBuiltinAgents(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(builtin.FS, "*.md")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(builtin.FS, file)
		if err != nil {
			t.Fatal(err)
		}
		a, warnings, err := agent.Parse(file, data)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", file, warnings, err)
			continue
		}
		if a.Name+".md" != file {
			t.Errorf("%s holds agent %s", file, a.Name)
		}
		if len(strings.Fields(a.Prompt)) < 100 {
			t.Errorf("%s: a prompt of %d words", file, len(strings.Fields(a.Prompt)))
		}
	}
	for _, name := range []string{"python-expert", "code-reviewer", "linter", "type-checker", "security-specialist", "creative-writer"} {
		a, _, err := agent.Find(agent.DiscoverOptions{Dir: t.TempDir(), Builtin: builtin.FS}, name)
		if err != nil || a.Source != agent.BuiltinSource {
			t.Errorf("%s: %v, %v", name, a, err)
			continue
		}
		if a.NoCache != (name == "creative-writer") {
			t.Errorf("%s: NoCache %t", name, a.NoCache)
		}
	}
}
