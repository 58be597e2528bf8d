package openfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/openfile"
)

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ways := map[string]func(name string, limit int64) ([]byte, error){
		"Read": func(name string, limit int64) ([]byte, error) { return openfile.Read(filepath.Join(dir, name), limit) },
		"ReadTyped": func(name string, limit int64) ([]byte, error) {
			return openfile.ReadTyped(filepath.Join(dir, name), limit)
		},
		"ReadIn": func(name string, limit int64) ([]byte, error) { return openfile.ReadIn(root, name, limit) },
		"ReadFS": func(name string, limit int64) ([]byte, error) { return openfile.ReadFS(root.FS(), name, limit) },
	}
	for name, read := range ways {
		if data, err := read("file", 5); string(data) != "12345" || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if _, err := read("file", 4); !isTooLarge(err) {
			t.Errorf("%s of a large file: %v", name, err)
		}
		if _, err := read("missing", 4); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of a missing file: %v", name, err)
		}
		if _, err := read(".", 4); err == nil {
			t.Errorf("%s of a folder succeeded", name)
		}
	}
	if data, err := openfile.Read(os.DevNull, 1); len(data) != 0 || err != nil {
		t.Errorf("the null device: %q, %v", data, err)
	}
}

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*openfile.TooLargeError](err)
	return ok
}

// exceptions are the places that may open files for reading by other means.
var exceptions = map[string]string{
	"internal/openfile/openfile.go":     "the opener",
	"internal/process/process_linux.go": "/proc, which the system writes",
	"benchfile/machine.go":              "/proc, which the system writes",
	"internal/sqlitefile/sqlitefile.go": "folders, and a database that was looked at before",
	"llm/batch/syncdir_unix.go":         "a folder, to sync it",
	"agent/place.go":                    "a tree that openfile.ReadFS reads from",
	"cmd/claude-force/demo.go":          "a folder that was just made",
	"sandbox/cgroup_linux.go":           "/proc and control groups, which the system writes",
	"sandbox/helper_linux.go":           "/proc, which the system writes",
	"sandbox/watch_linux.go":            "/proc, which the system writes",
	"internal/citest/npm.go":            "manifests of this repository, in tests",
	"llm/cassette/player.go":            "OpenRoot, whose files openfile reads",
	"temporal/relaybench/main.go":       "the database of a server that the benchmark has started",
}

var opens = regexp.MustCompile(`\bos\.(ReadFile|Open|DirFS)\(|\broot\.(ReadFile|Open)\(`)

// TestNobodyElseOpensFiles looks for files that are opened by other means.
func TestNobodyElseOpensFiles(t *testing.T) {
	t.Parallel()
	top := filepath.Join("..", "..")
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		rel := filepath.ToSlash(strings.TrimPrefix(path, top+string(filepath.Separator)))
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(rel, "bench/") || strings.HasPrefix(rel, "examples/") || entry.Name() == ".git" || entry.Name() == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") || exceptions[rel] != "":
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n, line := range strings.Split(string(source), "\n") {
			if code, _, _ := strings.Cut(line, "//"); opens.MatchString(code) {
				t.Errorf("%s:%d opens a file; use internal/openfile, or say here why not: %s", rel, n+1, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReplaceKeepsTheModeAndFollowsLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("old and longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, file, filepath.Join(dir, "new")} {
		if err := openfile.Replace(path, []byte("new")); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); string(data) != "new" || err != nil {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if err := openfile.Replace(dir, nil); !errors.Is(err, openfile.ErrNotRegular) {
		t.Errorf("replacing a folder: %v", err)
	}
	if err := openfile.Replace(filepath.Join(dir, "none", "file"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file in no folder: %v", err)
	}
	if names, err := os.ReadDir(dir); len(names) != 3 || err != nil {
		t.Errorf("left are %v, %v", names, err)
	}
}

// TestReplaceFolder puts a folder in place of another, and leaves it as it was if it
// cannot be written.
func TestReplaceFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	files := func(names ...string) func(func(string, []byte) bool) {
		return func(yield func(string, []byte) bool) {
			for _, name := range names {
				if !yield(name, []byte(name)) {
					return
				}
			}
		}
	}
	list := func() string {
		var all []string
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if rel, _ := filepath.Rel(dir, name); !entry.IsDir() {
				all = append(all, filepath.ToSlash(rel))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, " ")
	}
	for _, step := range []struct {
		names []string
		want  string
		fails bool
	}{
		{[]string{"a", "b/c"}, "out/a out/b/c", false},
		{[]string{"b/d"}, "out/b/d", false},
		{[]string{"x", "../y"}, "out/b/d", true},
		{[]string{"x", "x/y"}, "out/b/d", true},
		{nil, "", false},
	} {
		if err := openfile.ReplaceFolder(path, files(step.names...)); (err != nil) != step.fails {
			t.Errorf("%v: %v", step.names, err)
		}
		if got := list(); got != step.want {
			t.Errorf("after %v there is %q, want %q", step.names, got, step.want)
		}
	}
}
