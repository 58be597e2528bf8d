package worktree_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/worktree"
)

func TestChangedFiles(t *testing.T) {
	dir := project(t, map[string]string{"kept.txt": lines, "gone.txt": lines, "old.txt": lines, ".gitignore": "*.log\n", "sub/in.txt": lines})
	git(t, dir, "branch", "main-line")
	write(t, dir, "main.txt", "only there\n")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-q", "-m", "another's work")
	git(t, dir, "branch", "target")
	git(t, dir, "checkout", "-q", "main-line")
	git(t, dir, "rm", "-q", "gone.txt")
	git(t, dir, "mv", "old.txt", "new.txt")
	write(t, dir, "sub/in.txt", "changed\n")
	write(t, dir, "a file ä.txt", "new\n")
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-q", "-m", "this work")
	write(t, dir, "kept.txt", "not committed\n")
	write(t, dir, "sub/fresh.txt", "not added\n")
	write(t, dir, "x.log", "ignored\n")
	for _, test := range []struct {
		dir, base   string
		uncommitted bool
		want        []string
	}{
		{"", "target", false, []string{"a file ä.txt", "new.txt", "sub/in.txt"}},
		{"", "target", true, []string{"a file ä.txt", "kept.txt", "new.txt", "sub/fresh.txt", "sub/in.txt"}},
		{"sub", "target", true, []string{"fresh.txt", "in.txt"}},
		{"", "HEAD", false, []string{}},
		{"", "HEAD~1", false, []string{"a file ä.txt", "new.txt", "sub/in.txt"}},
	} {
		r, err := worktree.Find(t.Context(), filepath.Join(dir, test.dir))
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.ChangedFiles(t.Context(), test.base, test.uncommitted)
		if err != nil || cmp.Diff(test.want, got) != "" {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
	r, err := worktree.Find(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	git(t, dir, "checkout", "-q", "--orphan", "other")
	git(t, dir, "commit", "-q", "-m", "of its own")
	for base, want := range map[string]string{
		"nowhere": "has no commit, branch or tag", "--output=stolen": "has no commit, branch or tag", "-v": "has no commit, branch or tag",
		"": "has no commit, branch or tag", "HEAD:kept.txt": "has no commit, branch or tag", "a\x00b": "", "target": "have no commit in common",
	} {
		files, err := r.ChangedFiles(t.Context(), base, true)
		if err == nil || want != "" && (!strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.KindInput) {
			t.Errorf("base %q: %q, %v", base, files, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "stolen")); err == nil {
		t.Error("the base was taken as an option")
	}
}
