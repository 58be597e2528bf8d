package workflowdir_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow/workflowdir"
)

func write(t *testing.T, base string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(base, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	write(t, base,
		"home/repo/.git/HEAD",
		"home/repo/.claude/workflows/review.yaml", "home/repo/.claude/workflows/release.json",
		"home/repo/sub/.claude/workflows/review.yml", "home/repo/sub/.claude/workflows/nightly/audit.yaml",
		"home/repo/sub/.claude/workflows/script.js", "home/repo/sub/.claude/workflows/two words.yaml",
		"home/.claude/workflows/review.yaml", "home/.claude/workflows/mine.yaml",
		"plugin/workflows/review.yaml", "plugin/more/one.yaml",
	)
	plugin := workflowdir.Source{Name: "tools", Dir: filepath.Join(base, "plugin"), Paths: []string{"workflows", "more/one.yaml"}}
	set, err := workflowdir.Discover(workflowdir.Options{Dir: filepath.Join(base, "home/repo/sub"), Home: filepath.Join(base, "home"), Plugins: []workflowdir.Source{plugin}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range set.All() {
		text := fmt.Sprintf("%s %s %s < %s", f.Name, f.Origin, f.Path, f.ShadowedBy)
		got = append(got, filepath.ToSlash(strings.ReplaceAll(text, base, "BASE")))
	}
	want := []string{
		"mine user BASE/home/.claude/workflows/mine.yaml < ",
		"nightly:audit project .claude/workflows/nightly/audit.yaml < ",
		"release project ../.claude/workflows/release.json < ",
		"review project .claude/workflows/review.yml < ",
		"review project ../.claude/workflows/review.yaml < .claude/workflows/review.yml",
		"review user BASE/home/.claude/workflows/review.yaml < .claude/workflows/review.yml",
		"tools:one plugin BASE/plugin/more/one.yaml < ",
		"tools:review plugin BASE/plugin/workflows/review.yaml < ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(set.Problems) != 1 || !strings.Contains(set.Problems[0], "cannot be typed") {
		t.Errorf("problems: %q", set.Problems)
	}
	if f, err := set.Lookup("review"); err != nil || f.ShadowedBy != "" || f.Origin != workflowdir.Project {
		t.Errorf("review is %+v, %v", f, err)
	}
	_, err = set.Lookup("reviw")
	unknown, ok := errors.AsType[*workflowdir.UnknownError](err)
	if !ok || unknown.Near != "review" || !strings.Contains(err.Error(), "Looked in .claude/workflows, ../.claude/workflows, ~/.claude/workflows, the project's plugins") {
		t.Errorf("reviw: %v", err)
	}
}

func TestDiscoverStaysInTheProject(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	write(t, base, "repo/.git/HEAD", "repo/.claude/workflows/own.yaml", "secret/key.yaml")
	if err := os.Symlink(filepath.Join(base, "secret"), filepath.Join(base, "repo/.claude/workflows/out")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(base, "secret/key.yaml"), filepath.Join(base, "repo/.claude/workflows/key.yaml")); err != nil {
		t.Fatal(err)
	}
	set, err := workflowdir.Discover(workflowdir.Options{Dir: filepath.Join(base, "repo")})
	if err != nil {
		t.Fatal(err)
	}
	if all := set.All(); len(all) != 1 || all[0].Name != "own" {
		t.Errorf("found %+v", all)
	}
	if _, err := set.Lookup("key"); err == nil {
		t.Error("a link that leads out of the project was followed")
	}
}
