package claudedir_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/claude-force/claude-force/internal/claudedir"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for _, dir := range []string{"home/repo/.git", "home/repo/a/b", "home/plain/x", "other/repo/.git", "other/y"} {
		if err := os.MkdirAll(filepath.Join(base, filepath.FromSlash(dir)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		dir, top string
		folders  []string
		home     bool
	}{
		{"home/repo/a/b", "home/repo", []string{".", "a", "a/b"}, true},
		{"home/repo", "home/repo", []string{"."}, true},
		{"home/plain/x", "home/plain", []string{".", "x"}, true},
		{"home", "home", []string{"."}, false},
		{"other/repo", "other/repo", []string{"."}, true},
		{"other/y", "other/y", []string{"."}, true},
	} {
		p, err := claudedir.Open(filepath.Join(base, filepath.FromSlash(test.dir)), filepath.Join(base, "home"))
		if err != nil {
			t.Fatal(err)
		}
		if p.Tree.Dir != filepath.Join(base, filepath.FromSlash(test.top)) || !slices.Equal(p.Folders, test.folders) || (p.Home != nil) != test.home {
			t.Errorf("%s: %s %q, home %v", test.dir, p.Tree.Dir, p.Folders, p.Home != nil)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFiles walks a tree with links in a circle and one that leads out.
func TestFiles(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, "p")
	if err := os.MkdirAll(filepath.Join(dir, "r", "s"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p/r/a.md", "p/r/s/b.md", "p/r/c.txt", "out.md"} {
		if err := os.WriteFile(filepath.Join(base, filepath.FromSlash(name)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"r/s/up": "..", "r/out.md": "../../out.md", "r/abs.md": filepath.Join(base, "out.md"), "r/in.md": "a.md"} {
		if err := os.Symlink(target, filepath.Join(dir, filepath.FromSlash(link))); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := claudedir.OpenTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	files, err := tree.Files("r", ".md")
	if want := []string{"r/a.md", "r/in.md", "r/s/b.md"}; err != nil || !slices.Equal(files, want) {
		t.Errorf("%q, %v; want %q", files, err, want)
	}
	for _, name := range []string{"../out.md", "r/../../out.md", "/etc/hosts", "r/out.md"} {
		if _, err := tree.Read(name, 10); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}
