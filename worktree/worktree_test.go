package worktree_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/worktree"
)

// git runs git as a user would.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=u", "GIT_AUTHOR_EMAIL=u@h", "GIT_COMMITTER_NAME=u", "GIT_COMMITTER_EMAIL=u@h")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// project returns a folder of a repository with one commit of files.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		citest.Missing(t, "git is not installed")
	}
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	for name, text := range files {
		write(t, dir, name, text)
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "first")
	return dir
}

func open(t *testing.T, dir string, p worktree.Place) (*worktree.Repository, *worktree.Tree) {
	t.Helper()
	r, err := worktree.Find(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := r.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r, tree
}

func finish(t *testing.T, tree *worktree.Tree) *llm.Changes {
	t.Helper()
	c, err := tree.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func apply(t *testing.T, r *worktree.Repository, c *llm.Changes, opts worktree.ApplyOptions) *worktree.Applied {
	t.Helper()
	a, err := r.Apply(t.Context(), c, opts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const lines = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"

func TestWork(t *testing.T) {
	dir := project(t, map[string]string{"a.txt": lines, "sub/b.txt": "b\n", ".gitignore": "out/\n"})
	root := t.TempDir()
	r, tree := open(t, filepath.Join(dir, "sub"), worktree.Place{Root: root, Run: "run_1", Unit: "fix"})
	if got := filepath.Base(tree.Dir()); got != "sub" {
		t.Errorf("the project's folder in the worktree is %s", tree.Dir())
	}
	write(t, tree.Dir(), "b.txt", "changed\n")
	write(t, tree.Dir(), "new file.txt", "new\n")
	write(t, tree.Dir(), "../out/x", "built\n")
	write(t, tree.Dir(), "data.bin", "\x00\x01")
	c := finish(t, tree)
	if want := []string{"sub/b.txt", "sub/data.bin", "sub/new file.txt"}; !slices.Equal(c.Files, want) {
		t.Errorf("files %v, want %v", c.Files, want)
	}
	if read(t, dir, "sub/b.txt") != "b\n" {
		t.Error("the checkout was changed")
	}
	if got := git(t, dir, "status", "--porcelain"); got != "" {
		t.Errorf("the checkout has changes: %s", got)
	}
	// The patch is one that git takes.
	patch := filepath.Join(t.TempDir(), "p")
	var b bytes.Buffer
	if err := r.Patch(t.Context(), c, &b); err != nil {
		t.Fatal(err)
	}
	if b.String() != c.Diff {
		t.Errorf("the patch differs from the diff of the result")
	}
	if err := os.WriteFile(patch, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "apply", "--check", patch)

	got := apply(t, r, c, worktree.ApplyOptions{})
	if !slices.Equal(got.Files, c.Files) || len(got.Conflicts) > 0 {
		t.Errorf("applied %+v", got)
	}
	if read(t, dir, "sub/b.txt") != "changed\n" || read(t, dir, "sub/data.bin") != "\x00\x01" {
		t.Error("the checkout lacks the changes")
	}
	if again := apply(t, r, c, worktree.ApplyOptions{}); len(again.Files)+len(again.Conflicts) > 0 {
		t.Errorf("applied twice: %+v", again)
	}
}

func TestEmptyIsRemoved(t *testing.T) {
	dir, root := project(t, map[string]string{"a.txt": lines}), t.TempDir()
	_, tree := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "look"})
	if c := finish(t, tree); c != nil {
		t.Errorf("an empty worktree has changes: %+v", c)
	}
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if got := git(t, dir, "worktree", "list"); strings.Count(got, "\n") != 1 {
		t.Errorf("git still knows it: %s", got)
	}
	if got := git(t, dir, "branch", "--list"); got != "* main\n" {
		t.Errorf("branches: %s", got)
	}
}

// A process that ends leaves its worktree as it is, and the next opens that one.
func TestReopen(t *testing.T) {
	dir, root := project(t, map[string]string{"a.txt": lines}), t.TempDir()
	place := worktree.Place{Root: root, Run: "run_1", Unit: "fix"}
	_, tree := open(t, dir, place)
	write(t, tree.Dir(), "a.txt", "half done\n")
	write(t, dir, "b.txt", "b")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "second")

	_, tree = open(t, dir, place)
	if got := read(t, tree.Dir(), "a.txt"); got != "half done\n" {
		t.Errorf("the work is lost: %q", got)
	}
	c := finish(t, tree)
	if !slices.Equal(c.Files, []string{"a.txt"}) {
		t.Errorf("the base moved: %v", c.Files)
	}
	// Finished, opened again and changed further: the difference is still to the base.
	_, tree = open(t, dir, place)
	write(t, tree.Dir(), "c.txt", "c")
	if c := finish(t, tree); !slices.Equal(c.Files, []string{"a.txt", "c.txt"}) {
		t.Errorf("files %v", c.Files)
	}
}

// A worktree that was being made when its process ended is made again.
func TestHalfMade(t *testing.T) {
	dir, root := project(t, map[string]string{"a.txt": lines}), t.TempDir()
	place := worktree.Place{Root: root, Run: "run_1", Unit: "fix"}
	_, tree := open(t, dir, place)
	file := filepath.Join(root, "run_1", "fix.json")
	text := read(t, filepath.Dir(file), "fix.json")
	i := strings.Index(text, `"admin":"`) + len(`"admin":"`)
	j := i + strings.Index(text[i:], `"`)
	write(t, filepath.Dir(file), "fix.json", text[:i]+text[j:])
	if err := os.Remove(filepath.Join(tree.Dir(), "a.txt")); err != nil {
		t.Fatal(err)
	}
	_, tree = open(t, dir, place)
	if got := read(t, tree.Dir(), "a.txt"); got != lines {
		t.Errorf("got %q", got)
	}
}

func TestTwoEditTheSameFile(t *testing.T) {
	dir, root := project(t, map[string]string{"a.txt": lines}), t.TempDir()
	r, one := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "one"})
	_, two := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "two"})
	_, far := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "far"})
	write(t, one.Dir(), "a.txt", strings.Replace(lines, "two", "TWO by one", 1))
	write(t, two.Dir(), "a.txt", strings.Replace(lines, "two", "TWO by two", 1))
	write(t, far.Dir(), "a.txt", strings.Replace(lines, "seven", "SEVEN by far", 1))
	c1, c2, c3 := finish(t, one), finish(t, two), finish(t, far)
	write(t, dir, "mine.txt", "not committed")

	apply(t, r, c1, worktree.ApplyOptions{})
	if got := apply(t, r, c3, worktree.ApplyOptions{}); len(got.Conflicts) > 0 {
		t.Errorf("changes far apart are in conflict: %+v", got)
	}
	before := read(t, dir, "a.txt")
	if want := strings.NewReplacer("two", "TWO by one", "seven", "SEVEN by far").Replace(lines); before != want {
		t.Errorf("got %q", before)
	}
	got := apply(t, r, c2, worktree.ApplyOptions{})
	if len(got.Conflicts) != 1 || len(got.Files) != 0 {
		t.Fatalf("got %+v", got)
	}
	k := got.Conflicts[0]
	if k.File != "a.txt" || *k.Base != lines || *k.Ours != before || *k.Theirs != read(t, two.Dir(), "a.txt") {
		t.Errorf("the sides are not those of the files: %+v", k)
	}
	if !strings.Contains(k.Merged, "<<<<<<< checkout\nTWO by one\n=======\nTWO by two\n>>>>>>> worktree\n") {
		t.Errorf("merged: %s", k.Merged)
	}
	if read(t, dir, "a.txt") != before {
		t.Error("a conflict changed the checkout")
	}
	got = apply(t, r, c2, worktree.ApplyOptions{Markers: true})
	if text := read(t, dir, "a.txt"); len(got.Conflicts) != 1 || !strings.Contains(text, "TWO by one\n=======\nTWO by two\n") || !strings.Contains(text, "SEVEN by far") {
		t.Errorf("with markers: %+v\n%s", got, text)
	}
	if read(t, dir, "mine.txt") != "not committed" {
		t.Error("an untracked file was changed")
	}
}

// What is not committed is never overwritten.
func TestUncommitted(t *testing.T) {
	for name, test := range map[string]struct {
		theirs, mine func(t *testing.T, dir string)
		conflict     bool
		want         map[string]string
	}{
		"another file": {
			theirs: func(t *testing.T, dir string) { write(t, dir, "a.txt", "theirs\n") },
			mine:   func(t *testing.T, dir string) { write(t, dir, "b.txt", "mine\n") },
			want:   map[string]string{"a.txt": "theirs\n", "b.txt": "mine\n"},
		},
		"the same file": {
			theirs:   func(t *testing.T, dir string) { write(t, dir, "a.txt", "theirs\n") },
			mine:     func(t *testing.T, dir string) { write(t, dir, "a.txt", "mine\n") },
			conflict: true, want: map[string]string{"a.txt": "mine\n"},
		},
		"staged": {
			theirs: func(t *testing.T, dir string) { write(t, dir, "a.txt", "theirs\n") },
			mine: func(t *testing.T, dir string) {
				write(t, dir, "a.txt", "mine\n")
				git(t, dir, "add", "a.txt")
			},
			conflict: true, want: map[string]string{"a.txt": "mine\n"},
		},
		"an untracked file": {
			theirs:   func(t *testing.T, dir string) { write(t, dir, "new.txt", "theirs\n") },
			mine:     func(t *testing.T, dir string) { write(t, dir, "new.txt", "mine\n") },
			conflict: true, want: map[string]string{"new.txt": "mine\n"},
		},
		"an ignored file": {
			theirs: func(t *testing.T, dir string) {
				write(t, dir, ".gitignore", "")
				write(t, dir, "x.log", "theirs\n")
			},
			mine:     func(t *testing.T, dir string) { write(t, dir, "x.log", "mine\n") },
			conflict: true, want: map[string]string{"x.log": "mine\n"},
		},
		"an untracked file where a folder comes": {
			theirs:   func(t *testing.T, dir string) { write(t, dir, "d/new.txt", "theirs\n") },
			mine:     func(t *testing.T, dir string) { write(t, dir, "d", "mine\n") },
			conflict: true, want: map[string]string{"d": "mine\n"},
		},
		"deleted there, changed here": {
			theirs:   func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "a.txt")) },
			mine:     func(t *testing.T, dir string) { write(t, dir, "a.txt", "mine\n") },
			conflict: true, want: map[string]string{"a.txt": "mine\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, root := project(t, map[string]string{"a.txt": lines, "b.txt": "b\n", ".gitignore": "*.log\n"}), t.TempDir()
			r, tree := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "fix"})
			test.theirs(t, tree.Dir())
			c := finish(t, tree)
			test.mine(t, dir)
			got, err := r.Apply(t.Context(), c, worktree.ApplyOptions{})
			switch {
			case !test.conflict && (err != nil || len(got.Conflicts) > 0):
				t.Errorf("%+v, %v", got, err)
			case test.conflict && err == nil && len(got.Conflicts) == 0:
				t.Errorf("no conflict: %+v", got)
			}
			for name, want := range test.want {
				if text := read(t, dir, name); text != want {
					t.Errorf("%s is %q, want %q", name, text, want)
				}
			}
		})
	}
}

func TestErrors(t *testing.T) {
	dir := project(t, map[string]string{"a.txt": lines})
	r, err := worktree.Find(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Open(t.Context(), worktree.Place{Root: t.TempDir(), Run: "r", Unit: "u", Base: "--output=x"})
	if fault.KindOf(err) != fault.KindInput {
		t.Errorf("a base that is none: %v", err)
	}
	_, err = worktree.Find(t.Context(), t.TempDir())
	if fault.KindOf(err) != fault.KindInput || !strings.Contains(err.Error(), "git init") {
		t.Errorf("no repository: %v", err)
	}
	empty := t.TempDir()
	git(t, empty, "init", "-q")
	if r, err = worktree.Find(t.Context(), empty); err == nil {
		_, err = r.Open(t.Context(), worktree.Place{Root: t.TempDir(), Run: "r", Unit: "u"})
	}
	if fault.KindOf(err) != fault.KindInput || !strings.Contains(err.Error(), "commit first") {
		t.Errorf("no commit: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Open(ctx, worktree.Place{Root: t.TempDir(), Run: "r", Unit: "u"}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, test := range [][3]string{
		{"fix", "", "fix"}, {"refine/critic", "", "refine+critic"}, {"review", "3f2a", "review+3f2a"}, {"a", "../x", "a+x"},
	} {
		if got := worktree.Name(test[0], test[1]); strings.ReplaceAll(got, "++", "+") != test[2] {
			t.Errorf("Name(%q, %q) = %q", test[0], test[1], got)
		}
	}
}
