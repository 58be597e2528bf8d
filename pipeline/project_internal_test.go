package pipeline

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
)

func TestProjectIsItsPlace(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(root, filepath.FromSlash(path)) }
	for _, dir := range []string{
		"home/.claude/agents", "home/plain/sub", "x/app/.git", "x/app/sub/deep", "y/app/.git", "x/app/.claude", "x/app/part/.claude/agents",
		"conf/sub", "named/.claude-force", "named/sub", "agents/.claude", "agents/sub", "work/sub",
	} {
		if err := os.MkdirAll(at(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"conf/claude-force.yaml", "work/.git"} { // the second as in a Git worktree
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(at("x/app"), at("link")); err != nil {
		citest.Missing(t, "no symbolic links: %v", err)
	}
	for dir, want := range map[string]string{
		"x/app": "x/app", "x/app/sub": "x/app", "x/app/sub/deep": "x/app", "x/app/part": "x/app", "y/app": "y/app", "link/sub": "x/app",
		"conf/sub": "conf", "named/sub": "named", "agents/sub": "agents", "work/sub": "work",
		"home": "home", "home/plain": "home/plain", "home/plain/sub": "home/plain/sub", "x": "x", "not/there": "not/there",
	} {
		if got := project(at(dir), at("home")); got != at(want) {
			t.Errorf("%s: %s; want %s", dir, got, at(want))
		}
	}
}
