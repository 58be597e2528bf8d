package tool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// command is a tool that sees what a command does: it prints all files, or writes one.
type command struct{ dir string }

func (command) Definition() llm.Tool {
	return llm.Tool{Name: "Bash", InputSchema: json.RawMessage(`{"type":"object"}`)}
}

func (command) Concurrent(json.RawMessage) bool { return false }

func (command) Sight(json.RawMessage) tool.Sight { return tool.SightTree }

func (c command) Call(_ context.Context, _ *tool.Env, input json.RawMessage) (tool.Result, error) {
	var in struct{ Touch string }
	if err := json.Unmarshal(input, &in); err != nil {
		return tool.Result{}, err
	}
	if in.Touch != "" {
		return tool.Text("done"), os.WriteFile(filepath.Join(c.dir, in.Touch), []byte("by a command"), 0o600)
	}
	var out strings.Builder
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprintln(&out, path)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			fmt.Fprintln(&out, string(data))
			return err
		}
		return nil
	})
	return tool.Text(out.String()), err
}

// silent is a tool that says nothing of what its calls depend on.
type silent struct{ command }

func (silent) Definition() llm.Tool {
	return llm.Tool{Name: "Ask", InputSchema: json.RawMessage(`{"type":"object"}`)}
}

func quiet(t tool.Tool) tool.Tool { return struct{ tool.Tool }{t} }

type scriptedCall struct{ name, input string }

// play makes the calls in an environment of its own and returns what they gave and
// saw. How files are ordered by time does not count, nor whether a file that is
// written was there.
func play(t rapid.TB, dir string, calls []scriptedCall) (results []string, seen []tool.Observation) {
	set, err := tool.NewSet(append(tool.Files(), command{dir}, quiet(silent{command{dir}}))...)
	if err != nil {
		t.Fatal(err)
	}
	env, err := tool.NewEnv(dir, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	for _, c := range calls {
		got := set.Call(context.Background(), env, llm.Block{Type: llm.BlockToolUse, Name: c.name, Input: json.RawMessage(c.input)})
		text := strings.ReplaceAll(got.Text, "Replaced the content of", "Created")
		if c.name == "Glob" || c.name == "Grep" {
			lines := strings.Split(text, "\n")
			slices.Sort(lines)
			text = strings.Join(lines, "\n")
		}
		results = append(results, fmt.Sprint(got.IsError, text))
	}
	return results, env.Observed()
}

func verify(t rapid.TB, dir string, seen []tool.Observation) *tool.Difference {
	env, err := tool.NewEnv(dir, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	differs, err := env.Verify(context.Background(), seen)
	if err != nil {
		t.Fatal(err)
	}
	return differs
}

var treeNames = []string{"a.txt", "b.txt", "c.md", "d/a.txt", "d/e.md", "d/f/g.txt"}

func drawName(t *rapid.T, what string) string { return rapid.SampledFrom(treeNames).Draw(t, what) }

func drawText(t *rapid.T, what string) string {
	return rapid.SampledFrom([]string{"one\n", "two\n", "one two\n", ""}).Draw(t, what)
}

func drawCall(t *rapid.T) scriptedCall {
	name := rapid.SampledFrom([]string{"Read", "Read", "Read", "Glob", "Grep", "Write", "Edit", "Bash", "Touch", "Ask", "TodoWrite"}).Draw(t, "tool")
	switch path := drawName(t, "path"); name {
	case "Read":
		return scriptedCall{name, fmt.Sprintf(`{"file_path":%q,"offset":%d}`, path, rapid.IntRange(0, 2).Draw(t, "offset"))}
	case "Glob":
		return scriptedCall{name, fmt.Sprintf(`{"pattern":%q}`, rapid.SampledFrom([]string{"*.txt", "d/*", "**/*.md", "x*", "["}).Draw(t, "pattern"))}
	case "Grep":
		mode := rapid.SampledFrom([]string{"content", "count", "files_with_matches"}).Draw(t, "mode")
		return scriptedCall{name, fmt.Sprintf(`{"pattern":%q,"path":%q,"output_mode":%q}`, rapid.SampledFrom([]string{"one", "two", "["}).Draw(t, "pattern"), rapid.SampledFrom([]string{".", "d", "d/f", path}).Draw(t, "folder"), mode)}
	case "Write":
		return scriptedCall{name, fmt.Sprintf(`{"file_path":%q,"content":%q}`, path, drawText(t, "content"))}
	case "Edit":
		return scriptedCall{name, fmt.Sprintf(`{"file_path":%q,"old_string":%q,"new_string":"three"}`, path, rapid.SampledFrom([]string{"one", "", "three"}).Draw(t, "old"))}
	case "Bash":
		return scriptedCall{name, `{}`}
	case "Touch":
		return scriptedCall{"Bash", fmt.Sprintf(`{"touch":%q}`, filepath.Base(path))}
	case "TodoWrite":
		return scriptedCall{name, `{"todos":[]}`}
	default:
		return scriptedCall{name, `{}`}
	}
}

// drawEdit changes the files as a person does, and returns the path that it changed.
func drawEdit(t *rapid.T, dir string) string {
	name := drawName(t, "edited")
	path := filepath.Join(dir, filepath.FromSlash(name))
	var err error
	switch rapid.SampledFrom([]string{"write", "remove", "touch", "link"}).Draw(t, "edit") {
	case "remove":
		err = os.Remove(path)
	case "touch":
		err = os.Chtimes(path, time.Now(), time.Unix(int64(rapid.IntRange(0, 1e9).Draw(t, "time")), 0))
	case "link":
		if err = os.Remove(path); err == nil {
			err = os.Symlink("../a.txt", path)
		}
	default:
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(path, []byte(drawText(t, "text")), 0o600)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "too many") {
		t.Fatal(err)
	}
	return name
}

func snapshot(t rapid.TB, from, to string) {
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// What Verify calls the same, calls that are made again give again; what was not
// touched is the same.
func TestVerifyIsWhatAFreshRunSees(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	n, reused, changed := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(treeNames), 1, len(treeNames), rapid.ID[string]).Draw(rt, "files") {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(drawText(rt, "text")), 0o600)); err != nil {
				rt.Fatal(err)
			}
		}
		var calls []scriptedCall
		for range rapid.IntRange(1, 4).Draw(rt, "calls") {
			calls = append(calls, drawCall(rt))
		}
		results, seen := play(rt, dir, calls)
		readsOnly := !slices.ContainsFunc(calls, func(c scriptedCall) bool {
			return slices.Contains([]string{"Write", "Edit", "Ask"}, c.name) || strings.Contains(c.input, "touch")
		})
		if d := verify(rt, dir, seen); readsOnly && d != nil {
			rt.Fatalf("nothing changed, and %+v differs after %v", d, calls)
		}
		for range rapid.IntRange(0, 3).Draw(rt, "edits") {
			drawEdit(rt, dir)
		}
		differs := verify(rt, dir, seen)
		if differs == nil {
			reused++
			before := dir + "-before"
			snapshot(rt, dir, before)
			fresh, _ := play(rt, dir, calls)
			if !slices.Equal(fresh, results) {
				rt.Fatalf("%v would have been reused:\n%q\nis now\n%q", calls, results, fresh)
			}
			if !sameTree(rt, before, dir) {
				rt.Fatalf("%v would have been reused, and changed files", calls)
			}
			return
		}
		changed++
	})
	if !t.Failed() && (reused == 0 || changed == 0) {
		t.Errorf("%d were the same and %d not: the test shows nothing", reused, changed)
	}
}

func sameTree(t rapid.TB, a, b string) bool {
	list := func(dir string) string {
		result, err := command{dir}.Call(context.Background(), nil, json.RawMessage(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(result.Text, dir, "")
	}
	return list(a) == list(b)
}

// A tool that says nothing of what its calls depend on may have seen anything, and so
// may a call that was refused, or one that failed to write. A call that could not be
// made saw nothing.
func TestCallsMaySeeAnything(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a.txt": "x\n"})
	refuse := func(_ context.Context, _ *tool.Env, name string, _ json.RawMessage) error {
		if name == "Grep" {
			return errors.New("no")
		}
		return nil
	}
	for _, c := range []struct{ name, input, kinds string }{
		{"Read", `{"file_path":"a.txt"}`, "file"},
		{"Read", `{"file_path":"none"}`, "failed"},
		{"Read", `{"file_path":"../a.txt"}`, "failed"},
		{"Read", `{}`, ""},
		{"Glob", `{"pattern":"*"}`, "glob"},
		{"Glob", `{"pattern":"*","path":"none"}`, "failed"},
		{"Grep", `{"pattern":"x"}`, "opaque"},
		{"None", `{}`, ""},
		{"Write", `{"file_path":"b.txt","content":"y"}`, "written"},
		{"Write", `{"file_path":"../b.txt","content":"y"}`, "opaque"},
		{"Edit", `{"file_path":"a.txt","old_string":"x","new_string":"y"}`, "file written"},
		{"Edit", `{"file_path":"a.txt","old_string":"z","new_string":"y"}`, "file opaque"},
		{"TodoWrite", `{"todos":[]}`, ""},
		{"Ask", `{}`, "opaque"},
		{"Bash", `{}`, "tree"},
		{"Bash", `{"touch":"new.txt"}`, "opaque"},
	} {
		env := newEnv(t, dir, tool.Options{Gate: refuse})
		set, err := tool.NewSet(append(tool.Files(), command{dir}, quiet(silent{command{dir}}))...)
		if err != nil {
			t.Fatal(err)
		}
		set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: c.name, Input: json.RawMessage(c.input)})
		var kinds []string
		for _, o := range env.Observed() {
			kinds = append(kinds, o.Kind)
		}
		if got := strings.Join(kinds, " "); got != c.kinds {
			t.Errorf("%s %s: %q, want %q", c.name, c.input, got, c.kinds)
		}
	}
}

// A command depends on the repository too, whose objects do not count; patterns narrow
// that to some files.
func TestTreeOfACommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		edit         string
		same, narrow bool
	}{
		{"src/a.go", false, false},
		{"docs/a.md", false, true},
		{"new.txt", false, true},
		{".git/HEAD", false, true},
		{".git/refs/heads/main", false, true},
		{".git/refs/heads/claude-force/run/step", true, true},
		{".git/objects/ab/cd", true, true},
		{".git/index.lock", true, true},
		{"node_modules/x.js", false, true},
	} {
		dir := tree(t, map[string]string{
			"src/a.go": "a", "docs/a.md": "a", ".gitignore": "node_modules", "node_modules/x.js": "x",
			".git/HEAD": "ref", ".git/refs/heads/main": "1", ".git/refs/heads/claude-force/run/step": "1", ".git/objects/ab/cd": "o",
		})
		see := func(reads []string) func() bool {
			env := newEnv(t, dir, tool.Options{Reads: reads})
			set, err := tool.NewSet(command{dir})
			if err != nil {
				t.Fatal(err)
			}
			set.Call(t.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: "Bash", Input: json.RawMessage(`{}`)})
			seen := env.Observed()
			return func() bool {
				differs, err := newEnv(t, dir, tool.Options{Reads: reads}).Verify(t.Context(), seen)
				return err == nil && differs == nil
			}
		}
		whole, narrow := see(nil), see([]string{"src/**"})
		if !whole() || !narrow() {
			t.Fatal("nothing changed, and the tree differs")
		}
		path := filepath.Join(dir, filepath.FromSlash(c.edit))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("changed"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if whole() != c.same || narrow() != c.narrow {
			t.Errorf("%s: the same: %v and %v, want %v and %v", c.edit, whole(), narrow(), c.same, c.narrow)
		}
	}
}

// A new file with instructions for a file that was read is something new to see.
func TestVerifyInstructions(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"d/a.txt": "x\n", "d/CLAUDE.md": "rules\n"})
	var files []string
	options := tool.Options{Beside: func(string) (texts, from []string) {
		if len(files) == 0 {
			return nil, nil
		}
		return []string{"rules"}, files
	}}
	env := newEnv(t, dir, options)
	use(t, env, "Read", `{"file_path":"d/a.txt"}`)
	seen := env.Observed()
	for _, c := range []struct {
		files []string
		same  bool
	}{{nil, true}, {[]string{filepath.Join(dir, "d/CLAUDE.md")}, false}} {
		files = c.files
		differs, err := newEnv(t, dir, options).Verify(t.Context(), seen)
		if err != nil || (differs == nil) != c.same {
			t.Errorf("with %v: %v, %v", c.files, differs, err)
		}
	}
}

// Looking whether 200 files that were read are the same.
func BenchmarkVerify200Files(b *testing.B) {
	dir := b.TempDir()
	env, err := tool.NewEnv(dir, tool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer env.Close()
	set, err := tool.NewSet(tool.Files()...)
	if err != nil {
		b.Fatal(err)
	}
	for n := range 200 {
		name := fmt.Sprintf("f%03d.go", n)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("package f\n", 400)), 0o600); err != nil {
			b.Fatal(err)
		}
		set.Call(b.Context(), env, llm.Block{Type: llm.BlockToolUse, Name: "Read", Input: json.RawMessage(fmt.Sprintf(`{"file_path":%q}`, name))})
	}
	seen := env.Observed()
	b.ResetTimer()
	for b.Loop() {
		again, err := tool.NewEnv(dir, tool.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if differs, err := again.Verify(b.Context(), seen); err != nil || differs != nil {
			b.Fatal(differs, err)
		}
		_ = again.Close() // it was only read
	}
}
