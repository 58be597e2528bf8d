package worktree_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/worktree"
)

// trap returns a program that leaves a mark when it runs, and a function that fails
// the test if it did.
func trap(t *testing.T) (program string, check func()) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the trap is a shell script")
	}
	dir := t.TempDir()
	mark := filepath.Join(dir, "ran")
	program = filepath.Join(dir, "trap")
	if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\necho \"$0 $*\" >>%s\ncat\n", mark), 0o755); err != nil {
		t.Fatal(err)
	}
	return program, func() {
		t.Helper()
		if data, err := os.ReadFile(mark); err == nil {
			t.Errorf("a program of the repository ran: %s", data)
		}
	}
}

// Nothing that a repository's settings name is run, whatever is done with it.
func TestHostileRepository(t *testing.T) {
	program, check := trap(t)
	dir, root := project(t, map[string]string{
		"a.txt": lines, "b.txt": lines, ".gitattributes": "* filter=evil diff=evil merge=evil\n",
	}), t.TempDir()
	hooks := filepath.Join(dir, ".git", "hooks")
	for _, name := range []string{
		"post-checkout", "pre-commit", "commit-msg", "post-commit", "prepare-commit-msg", "reference-transaction", "post-index-change",
		"pre-merge-commit", "post-merge", "post-rewrite", "pre-applypatch", "fsmonitor-watchman", "pre-auto-gc",
	} {
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(hooks, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(hooks, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	settings := ""
	for _, s := range [][2]string{
		{"core", "hooksPath = " + hooks + "\n\tfsmonitor = " + program + "\n\tpager = " + program + "\n\teditor = " + program + "\n\tsshCommand = " + program +
			"\n\tgitProxy = " + program + "\n\taskPass = " + program + "\n\talternateRefsCommand = " + program},
		{`filter "evil"`, "clean = " + program + "\n\tsmudge = " + program + "\n\tprocess = " + program + "\n\trequired = true"},
		{`diff "evil"`, "command = " + program + "\n\ttextconv = " + program}, {"diff", "external = " + program},
		{`merge "evil"`, "driver = " + program}, {"commit", "gpgSign = true"}, {"gpg", "program = " + program},
		{"credential", "helper = " + program}, {"sequence", "editor = " + program}, {"interactive", "diffFilter = " + program},
		{`hook "evil"`, "command = " + program + "\n\tevent = post-index-change"}, {"pager", "diff = " + program + "\n\tdiff-tree = " + program},
		{`includeIf "onbranch:claude-force/**"`, "path = later"}, {"alias", "add = !" + program + "\n\tread-tree = !" + program},
		{"extensions", "partialClone = origin"}, {`remote "origin"`, "url = ext::" + program + "\n\tpromisor = true\n\tuploadpack = " + program},
	} {
		settings += "[" + s[0] + "]\n\t" + s[1] + "\n"
	}
	write(t, dir, ".git/config", "[core]\n\trepositoryformatversion = 1\n"+settings)
	write(t, dir, ".git/later", "[filter \"late\"]\n\tclean = "+program+"\n\tsmudge = "+program+"\n[filter \"x.y = z\"]\n\tsmudge = "+program+"\n")
	write(t, dir, ".git/info/attributes", "b.txt filter=late\n")

	r, one := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "one"})
	_, two := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "two"})
	write(t, one.Dir(), "a.txt", strings.Replace(lines, "two", "2", 1))
	write(t, one.Dir(), "b.txt", "other\n")
	write(t, two.Dir(), "a.txt", strings.Replace(lines, "two", "zwei", 1))
	c1, c2 := finish(t, one), finish(t, two)
	apply(t, r, c1, worktree.ApplyOptions{})
	if got := apply(t, r, c2, worktree.ApplyOptions{Markers: true}); len(got.Conflicts) != 1 {
		t.Errorf("got %+v", got)
	}
	// A removed one, and one that was removed under it.
	_, gone := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "gone"})
	finish(t, gone)
	// A missing object is not fetched.
	c := *c1
	c.Commit = strings.Repeat("1", 40)
	if _, err := r.Apply(t.Context(), &c, worktree.ApplyOptions{}); err == nil {
		t.Error("a commit that is not there was applied")
	}
	check()
}

// What an agent leaves in its worktree runs nothing either: repositories of its own
// with settings, and another file .git.
func TestHostileWorktree(t *testing.T) {
	program, check := trap(t)
	dir, root := project(t, map[string]string{"a.txt": lines}), t.TempDir()
	settings := "[core]\n\tfsmonitor = " + program + "\n[filter \"evil\"]\n\tclean = " + program + "\n\tsmudge = " + program + "\n"
	place := worktree.Place{Root: root, Run: "run_1", Unit: "fix"}
	r, tree := open(t, dir, place)
	nested := filepath.Join(tree.Dir(), "nested")
	if err := os.Mkdir(nested, 0o755); err != nil {
		t.Fatal(err)
	}
	git(t, nested, "init", "-q")
	write(t, nested, "f", "f")
	write(t, nested, ".gitattributes", "* filter=evil\n")
	git(t, nested, "add", "-A")
	git(t, nested, "commit", "-q", "-m", "x")
	write(t, nested, "f", "changed")
	write(t, nested, ".git/config", settings)
	other := t.TempDir()
	git(t, other, "init", "-q")
	write(t, other, ".git/config", settings)
	if err := os.WriteFile(filepath.Join(tree.Dir(), ".git"), []byte("gitdir: "+filepath.Join(other, ".git")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	write(t, tree.Dir(), ".gitattributes", "* filter=evil\n")
	write(t, tree.Dir(), "a.txt", "theirs\n")
	if err := os.Symlink("/etc", filepath.Join(tree.Dir(), "link")); err != nil {
		t.Fatal(err)
	}
	_, tree = open(t, dir, place)
	c := finish(t, tree)
	if strings.Join(c.Files, " ") != ".gitattributes a.txt link" || strings.Join(c.Left, " ") != "nested" {
		t.Errorf("files %v, left %v", c.Files, c.Left)
	}
	apply(t, r, c, worktree.ApplyOptions{})
	if target, _ := os.Readlink(filepath.Join(dir, "link")); target != "/etc" {
		t.Errorf("the link leads to %q", target)
	}
	check()
}

// A link in the checkout does not lead a patch out of it.
func TestHostileLink(t *testing.T) {
	dir, root, outside := project(t, map[string]string{"a.txt": lines, "d/x.txt": "x\n"}), t.TempDir(), t.TempDir()
	r, tree := open(t, dir, worktree.Place{Root: root, Run: "run_1", Unit: "fix"})
	write(t, tree.Dir(), "d/new.txt", "new\n")
	write(t, tree.Dir(), "d/x.txt", "changed\n")
	c := finish(t, tree)
	if err := os.RemoveAll(filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "d")); err != nil {
		citest.Missing(t, "no symbolic links: %v", err)
	}
	write(t, outside, "x.txt", "x\n")
	_, err := r.Apply(t.Context(), c, worktree.ApplyOptions{Markers: true})
	t.Logf("applying through a link: %v", err)
	if got := read(t, outside, "x.txt"); got != "x\n" {
		t.Errorf("a file outside has %q", got)
	}
	if _, err := os.Stat(filepath.Join(outside, "new.txt")); err == nil {
		t.Error("a file outside was made")
	}
}

// A repository that is in truth another's is refused.
func TestBorrowedRepository(t *testing.T) {
	secret := project(t, map[string]string{"secret.txt": "s"})
	for name, make := range map[string]func(dir string) error{
		"file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, ".git"), []byte("gitdir: "+filepath.Join(secret, ".git")), 0o644)
		},
		"link": func(dir string) error { return os.Symlink(filepath.Join(secret, ".git"), filepath.Join(dir, ".git")) },
		"linked parts": func(dir string) error {
			git(t, dir, "init", "-q")
			for _, part := range []string{"objects", "refs"} {
				path := filepath.Join(dir, ".git", part)
				if err := os.RemoveAll(path); err != nil {
					return err
				}
				if err := os.Symlink(filepath.Join(secret, ".git", part), path); err != nil {
					return err
				}
			}
			return nil
		},
		"common folder": func(dir string) error {
			git(t, dir, "init", "-q")
			return os.WriteFile(filepath.Join(dir, ".git", "commondir"), []byte(filepath.Join(secret, ".git")), 0o644)
		},
		"worktree of another": func(dir string) error {
			linked := filepath.Join(t.TempDir(), "w")
			git(t, secret, "worktree", "add", "-q", linked)
			data, err := os.ReadFile(filepath.Join(linked, ".git"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, ".git"), data, 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := make(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := worktree.Find(t.Context(), dir); err == nil {
				t.Error("it was taken")
			}
		})
	}
	// A true worktree is one.
	linked := filepath.Join(t.TempDir(), "w")
	git(t, secret, "worktree", "add", "-q", "--detach", linked)
	_, tree := open(t, linked, worktree.Place{Root: t.TempDir(), Run: "run_1", Unit: "fix"})
	if read(t, tree.Dir(), "secret.txt") != "s" {
		t.Error("a worktree of a worktree has not its files")
	}
}

// core.worktree does not decide what the checkout is.
func TestOtherCheckout(t *testing.T) {
	dir, home := project(t, map[string]string{"a.txt": lines}), t.TempDir()
	git(t, dir, "config", "core.worktree", home)
	r, tree := open(t, dir, worktree.Place{Root: t.TempDir(), Run: "run_1", Unit: "fix"})
	write(t, tree.Dir(), "new.txt", "new")
	apply(t, r, finish(t, tree), worktree.ApplyOptions{})
	if read(t, dir, "new.txt") != "new" {
		t.Error("the checkout was not changed")
	}
	if left, _ := os.ReadDir(home); len(left) > 0 {
		t.Errorf("another folder was: %v", left)
	}
}
