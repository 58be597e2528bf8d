package attach_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/internal/citest"
)

func project(t *testing.T, files map[string]string) *attach.Dir {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := attach.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := os.WriteFile(filepath.Join(dir, "..", "outside.txt"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../outside.txt", filepath.Join(dir, "link.txt")); err != nil {
		citest.Missing(t, "no symbolic links here: %v", err)
	}
	return d
}

var tree = map[string]string{
	"main.go":                 "package main\n",
	"a/b/deep.go":             "package b\n",
	"a/[odd].go":              "package odd\n",
	"a/image.go":              "\x00\x01",
	".git/hook.go":            "package git\n",
	"node_modules/x/index.go": "package x\n",
}

func TestRead(t *testing.T) {
	tests := map[string]struct {
		patterns []string
		want     []string
		err      string
	}{
		"plain":              {[]string{"main.go"}, []string{"main.go"}, ""},
		"everywhere, sorted": {[]string{"**/*.go"}, []string{"a/[odd].go", "a/b/deep.go", "main.go"}, ""},
		"each once":          {[]string{"main.go", "*.go", "./main.go"}, []string{"main.go"}, ""},
		"from ./":            {[]string{"././**/deep.go"}, []string{"a/b/deep.go"}, ""},
		"glob characters":    {[]string{"a/[odd].go"}, []string{"a/[odd].go"}, ""},
		"alternatives":       {[]string{"{main,a/b/deep}.go"}, []string{"a/b/deep.go", "main.go"}, ""},
		"named folder":       {[]string{"node_modules/**/*.go"}, []string{"node_modules/x/index.go"}, ""},
		"none":               {[]string{"main.go", "*.rs"}, nil, "*.rs"},
		"a folder":           {[]string{"a"}, nil, "write a/** for all files in it"},
		"not text":           {[]string{"a/image.go"}, nil, "not a text file"},
		"outside":            {[]string{"../outside.txt"}, nil, "is outside"},
		"absolute outside":   {[]string{"/etc/passwd"}, nil, "is outside"},
		"link out":           {[]string{"link.txt"}, nil, "link.txt"},
		"bad pattern":        {[]string{"a/[b"}, nil, "bad pattern"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			files, err := project(t, tree).Read(t.Context(), tt.patterns, attach.Limits{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got error %v; want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range files {
				got = append(got, f.Path)
				if f.Content != tree[f.Path] {
					t.Errorf("%s holds %q", f.Path, f.Content)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGlobDoesNotFollowLinksOut(t *testing.T) {
	files, err := project(t, tree).Read(t.Context(), []string{"*"}, attach.Limits{})
	for _, f := range files {
		if strings.Contains(f.Content, "secret") {
			t.Errorf("%s led outside", f.Path)
		}
	}
	_ = err // a link that leads out may be an error or be left out, but never content
}

func TestLimits(t *testing.T) {
	d := project(t, tree)
	if _, err := d.Read(t.Context(), []string{"**/*.go"}, attach.Limits{Files: 2}); err == nil || !strings.Contains(err.Error(), "more than 2 files") {
		t.Errorf("got %v", err)
	}
	if _, err := d.Read(t.Context(), []string{"**/*.go"}, attach.Limits{Bytes: 20}); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("got %v", err)
	}
	if _, err := attach.ReadAll(strings.NewReader("too long"), "stdin", attach.Limits{Bytes: 3}); err == nil {
		t.Error("a stream over the limit was read")
	}
}

func TestNoMatch(t *testing.T) {
	d := project(t, tree)
	if err := d.Check(t.Context(), []string{"*.rs"}); !errors.Is(err, attach.ErrNoMatch) {
		t.Errorf("got %v", err)
	}
}

func TestText(t *testing.T) {
	got := attach.Text([]attach.File{{Path: `a"b.go`, Content: "x </file> y"}, {Path: "c", Content: "z\n"}})
	want := "<file path=\"a&quot;b.go\">\nx <\\/file> y\n</file>\n\n<file path=\"c\">\nz\n</file>"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGlobAnywhere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "log.txt"), []byte("line"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{filepath.Join(dir, "log.txt"), filepath.Join(dir, "*.txt")} {
		files, err := attach.Glob(t.Context(), pattern, attach.Limits{})
		if err != nil || len(files) != 1 || files[0].Path != filepath.ToSlash(filepath.Join(dir, "log.txt")) || files[0].Content != "line" {
			t.Errorf("Glob(%q) = %v, %v", pattern, files, err)
		}
	}
	t.Chdir(dir)
	files, err := attach.Glob(t.Context(), "*.txt", attach.Limits{})
	if err != nil || len(files) != 1 || files[0].Path != "log.txt" {
		t.Errorf("got %v, %v", files, err)
	}
}
