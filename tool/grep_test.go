package tool_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// ripgrep returns the path of ripgrep. A run in CI must have it.
func ripgrep(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("rg")
	if err != nil {
		citest.Missing(t, "ripgrep is not installed")
	}
	return path
}

// tree writes files and returns their folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// use calls a tool of the usual set.
func use(t *testing.T, env *tool.Env, name, input string) tool.Result {
	t.Helper()
	set, err := tool.NewSet(tool.Files()...)
	if err != nil {
		t.Fatal(err)
	}
	return set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: name, Input: json.RawMessage(input)})
}

func newEnv(t *testing.T, dir string, options tool.Options) *tool.Env {
	t.Helper()
	env, err := tool.NewEnv(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.Close() })
	return env
}

var searched = map[string]string{
	".git/config":        "foo in git\n",
	".gitignore":         "ignored.txt\nbuild/\n/top.txt\n!kept.txt\n",
	"ignored.txt":        "foo ignored\n",
	"kept.txt":           "foo kept\n",
	"top.txt":            "foo top\n",
	"build/x.txt":        "foo built\n",
	"sub/top.txt":        "foo sub top\n",
	"sub/.gitignore":     "*.log\n!good.log\n",
	"sub/a.log":          "foo log\n",
	"sub/good.log":       "foo good log\n",
	"sub/deep/b.log":     "foo deep log\n",
	".ignore":            "skipped\n",
	"skipped/a.txt":      "foo skipped\n",
	".hidden/h.txt":      "foo hidden\n",
	"node_modules/m.js":  "foo module\n",
	"a-b/x.go":           "foo dash\n",
	"a/x.go":             "foo slash\n",
	"a.go":               "package a\n\nfunc Foo() {\n\treturn\n}\n\nvar foo_bar = 1 // interface{} é 日本\n",
	"crlf.txt":           "foo\r\nbar\r\nfoo bar\r\n",
	"binary.bin":         "foo\x00bar\nfoo\n",
	"long.txt":           "foo" + strings.Repeat("x", 496) + "\n" + "foo" + strings.Repeat("x", 497) + "\nbar" + strings.Repeat("y", 600) + "\nfoo",
	"empty.txt":          "",
	"nested/.git/HEAD":   "x\n",
	"nested/ignored.txt": "foo nested\n",
	"noend.txt":          "x\nfoo",
	"digits.txt":         "٣ foo1 éa a1\nword-word wörd\n\ttab foo\n",
	"type.py":            "def foo(): pass\n",
	"type.ts":            "const foo = 1\n",
}

// TestGrepLikeRipgrep compares Grep, with and without ripgrep's help, with what
// ripgrep itself prints.
func TestGrepLikeRipgrep(t *testing.T) {
	t.Parallel()
	rg := ripgrep(t)
	dir := tree(t, searched)
	alone := newEnv(t, dir, tool.Options{})
	helped := newEnv(t, dir, tool.Options{Ripgrep: rg}.WithRipgrepFrom(0))
	patterns := []string{
		`foo`, `Foo`, `^foo`, `foo$`, `foo.`, `foo\b`, `\bfoo\b`, `\w+`, `\W`, `\d`, `\s`, `\S+ \S+`, `[fb]oo`, `[^f]oo`, `fo{2}`, `(foo|bar)`,
		`interface\{\}`, `foo\(\)`, `[[:alpha:]]+1`, `.`, ``, `^$`, `\.`, `x{3,}`, `foo_bar`, `é`, `\x{65e5}`, `[\w-]+-word`, `foo\-`, `a|b`, `(?i)FOO`, `[]a]`,
		`f(?P<x>o)o`, `\p{Han}`, `=\s1`, `/`, `"`, `foo*`, `w.rd`, `\t`,
	}
	type variant struct {
		input string
		flags []string
	}
	variants := []variant{
		{``, nil},
		{`,"-i":true`, []string{"-i"}},
		{`,"-C":1`, []string{"-C", "1"}},
		{`,"-A":2`, []string{"-A", "2"}},
		{`,"-B":1,"-A":1`, []string{"-B", "1", "-A", "1"}},
		{`,"-o":true`, []string{"-o"}},
		{`,"-n":false`, []string{"-N"}},
		{`,"glob":"*.go"`, []string{"-g", "*.go"}},
		{`,"glob":"!*.txt"`, []string{"-g", "!*.txt"}},
		{`,"glob":"sub/**"`, []string{"-g", "sub/**"}},
		{`,"glob":"a*/x.go"`, []string{"-g", "a*/x.go"}},
		{`,"type":"py"`, []string{"-t", "py"}},
		{`,"multiline":true`, []string{"-U", "--multiline-dotall"}},
	}
	for i, p := range patterns {
		for j, v := range variants {
			if i >= 3 && (i+j)%6 != 0 {
				continue // enough is enough
			}
			quotedPattern, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			input := `{"output_mode":"content","head_limit":0,"pattern":` + string(quotedPattern) + v.input + `}`
			got := use(t, alone, "Grep", input)
			if with := use(t, helped, "Grep", input); got.Text != with.Text || got.IsError != with.IsError {
				t.Errorf("%s: differs with ripgrep's help:\n%s\n\nwithout:\n%s", input, with.Text, got.Text)
			}
			args := append([]string{"--no-config", "--hidden", "--no-heading", "--with-filename", "--color=never", "--sort=path", "-M500", "-g", "!.git", "-g", "!.svn"}, v.flags...)
			if !strings.Contains(v.input, `"-n"`) {
				args = append(args, "-n")
			}
			cmd := exec.CommandContext(t.Context(), rg, append(args, "-e", p)...)
			cmd.Dir = dir
			out, err := cmd.Output()
			if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 2 {
				if !got.IsError {
					t.Errorf("%s: ripgrep refuses the pattern (%s); got %q", input, exit.Stderr, got.Text)
				}
				continue
			}
			want := strings.TrimSuffix(strings.ToValidUTF8(string(out), "\uFFFD"), "\n")
			if want == "" {
				want = "No matches found"
			}
			if got.Text != want && len(want) < 20_000 {
				t.Errorf("%s: (- ripgrep, + Grep)\n%s", input, cmp.Diff(strings.Split(want, "\n"), strings.Split(got.Text, "\n")))
			}
		}
	}
}
