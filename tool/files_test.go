package tool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// TestNothingOutside tries the ways out of the working folder.
func TestNothingOutside(t *testing.T) {
	t.Parallel()
	outside := tree(t, map[string]string{"secret.txt": "the secret\n"})
	dir := tree(t, map[string]string{"a.txt": "inside\n", "d/b.txt": "inside\n"})
	secret := filepath.Join(outside, "secret.txt")
	up, err := filepath.Rel(dir, secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"absolute": secret, "relative": up, "folder": outside, "d/up": "../" + up, "chain": "absolute", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{secret, up, "d/../" + up, "absolute", "relative", "folder/secret.txt", "d/up", "chain", "loop", "/proc/self/root" + secret, "/proc/self/environ", "~/x"}
	for _, path := range paths {
		quotedPath, err := json.Marshal(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ name, input string }{
			{"Read", `{"file_path":%s}`},
			{"Write", `{"file_path":%s,"content":"changed"}`},
			{"Edit", `{"file_path":%s,"old_string":"secret","new_string":"changed"}`},
			{"Edit", `{"file_path":%s,"old_string":"","new_string":"changed"}`},
			{"Grep", `{"path":%s,"pattern":".","output_mode":"content"}`},
			{"Glob", `{"path":%s,"pattern":"*"}`},
		} {
			env := newEnv(t, dir, tool.Options{})
			got := use(t, env, c.name, fmt.Sprintf(c.input, quotedPath))
			if path == "~/x" && c.name != "Read" {
				continue // without a home folder it is a name in the project
			}
			if !got.IsError || strings.Contains(got.Text, "the secret") {
				t.Errorf("%s of %s: %q, error %v", c.name, path, got.Text, got.IsError)
			}
		}
	}
	if data, err := os.ReadFile(secret); err != nil || string(data) != "the secret\n" {
		t.Errorf("the file outside was changed: %q, %v", data, err)
	}
	for _, pattern := range []string{"**", "../**", outside + "/**", "folder/**"} {
		env := newEnv(t, dir, tool.Options{})
		if got := use(t, env, "Glob", fmt.Sprintf(`{"pattern":%q}`, pattern)); strings.Contains(got.Text, "secret") && !got.IsError {
			t.Errorf("Glob %s lists %q", pattern, got.Text)
		}
	}
	env := newEnv(t, dir, tool.Options{})
	if got := use(t, env, "Grep", `{"pattern":"secret","output_mode":"content"}`); got.Text != "No matches found" {
		t.Errorf("Grep shows %q", got.Text)
	}
}

// TestSwappedLinks swaps a file, and a folder, for a link to what is denied or
// outside, while tools read and write.
func TestSwappedLinks(t *testing.T) {
	t.Parallel()
	outside := tree(t, map[string]string{"f.txt": "the secret\n"})
	dir := tree(t, map[string]string{"d/f.txt": "inside\n", "denied/f.txt": "the secret\n"})
	env := newEnv(t, dir, tool.Options{Denied: func(_ tool.Op, path string) bool {
		return strings.Contains(path, "denied")
	}})
	ctx, cancel := context.WithCancel(t.Context())
	var swapping sync.WaitGroup
	swapping.Go(func() {
		d, aside := filepath.Join(dir, "d"), filepath.Join(dir, "aside")
		targets := []string{outside, "denied", filepath.Join(dir, "denied")}
		for i := 0; ctx.Err() == nil; i++ {
			// Errors are those of the moments between the two.
			_ = os.RemoveAll(aside)
			_ = os.Rename(d, aside)
			_ = os.Symlink(targets[i%len(targets)], d)
			_ = os.Remove(d)
			_ = os.Rename(aside, d)
		}
	})
	const rounds = 40
	for range rounds {
		for _, c := range []struct{ name, input string }{
			{"Read", `{"file_path":"d/f.txt"}`},
			{"Grep", `{"pattern":".","output_mode":"content"}`},
			{"Grep", `{"pattern":".","output_mode":"content","path":"d"}`},
		} {
			got := use(t, env, c.name, c.input)
			if strings.Contains(got.Text, "the secret") {
				t.Errorf("%s shows %q", c.name, got.Text)
			}
		}
		use(t, env, "Write", `{"file_path":"d/f.txt","content":"inside\n"}`)
	}
	cancel()
	swapping.Wait()
	use(t, env, "Write", `{"file_path":"d/new.txt","content":"inside\n"}`)
	if got := use(t, env, "Read", `{"file_path":"d/new.txt"}`); got.Text != "1\tinside\n2\t" {
		t.Errorf("afterwards: %q", got.Text)
	}
	for _, path := range []string{filepath.Join(outside, "f.txt"), filepath.Join(dir, "denied/f.txt")} {
		if data, err := os.ReadFile(path); err != nil || string(data) != "the secret\n" {
			t.Errorf("%s was changed: %q, %v", path, data, err)
		}
	}
}

func TestDeniedFilesAreInvisible(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a.txt": "needle\n", "b.txt": "needle\n", "a.md": "x\n"})
	if err := os.Symlink("a.txt", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	env := newEnv(t, dir, tool.Options{Denied: func(_ tool.Op, path string) bool { return filepath.Base(path) == "a.txt" }})
	for _, c := range []struct{ name, input, want string }{
		{"Grep", `{"pattern":"needle"}`, "Found 1 file\nb.txt"},
		{"Grep", `{"pattern":"needle","output_mode":"count"}`, "b.txt:1\n\nFound 1 total occurrence across 1 file."},
		{"Glob", `{"pattern":"*.txt"}`, "b.txt"},
		{"Grep", `{"pattern":"needle","path":"a.txt"}`, ""},
		{"Grep", `{"pattern":"needle","path":"link.txt"}`, ""},
		{"Read", `{"file_path":"a.txt"}`, ""},
		{"Read", `{"file_path":"link.txt"}`, ""},
		{"Edit", `{"file_path":"link.txt","old_string":"needle","new_string":"x"}`, ""},
		{"Write", `{"file_path":"a.txt","content":"x"}`, ""},
	} {
		got := use(t, env, c.name, c.input)
		if c.want != "" && got.Text != c.want || c.want == "" && (!got.IsError || strings.Contains(got.Text, "needle\n")) {
			t.Errorf("%s %s: %q, error %v; want %q", c.name, c.input, got.Text, got.IsError, c.want)
		}
	}
	if got := use(t, env, "Read", `{"file_path":"a.css"}`); strings.Contains(got.Text, "a.txt") {
		t.Errorf("a denied file is suggested: %q", got.Text)
	}
}

func TestEditText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, file, input, want string }{
		{"a line that is removed takes its end", "a\nb\nc\n", `"old_string":"b","new_string":""`, "a\nc\n"},
		{"a part of a line does not", "a b\nc\n", `"old_string":" b","new_string":""`, "a\nc\n"},
		{"all", "x y x\n", `"old_string":"x","new_string":"z","replace_all":true`, "z y z\n"},
		{"dollar", "a\n", `"old_string":"a","new_string":"$& $1 $$"`, "$& $1 $$\n"},
		{"carriage returns", "a\r\nb\r\n", `"old_string":"a\nb","new_string":"c\nd"`, "c\r\nd\r\n"},
		{"curly quotes", "say “hello” now, it’s\n", `"old_string":"say \"hello\" now, it's","new_string":"say \"bye\" then, it's"`, "say “bye” then, it’s\n"},
		{"byte-order mark", "\ufeffa\n", `"old_string":"a","new_string":"b"`, "\ufeffb\n"},
		{"UTF-16", "\xff\xfea\x00\n\x00", `"old_string":"a","new_string":"é"`, "\xff\xfe\xe9\x00\n\x00"},
		{"overlap", "aaa\n", `"old_string":"aa","new_string":"b"`, "ba\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, map[string]string{"f.txt": c.file})
			got := use(t, newEnv(t, dir, tool.Options{}), "Edit", `{"file_path":"f.txt",`+c.input+`}`)
			data, err := os.ReadFile(filepath.Join(dir, "f.txt"))
			if err != nil || got.IsError || string(data) != c.want {
				t.Errorf("got %q, want %q; the call: %+v, %v", data, c.want, got, err)
			}
		})
	}
}

func TestNotebookEdit(t *testing.T) {
	t.Parallel()
	const book = `{"cells":[{"cell_type":"markdown","source":["# <T>"]},{"cell_type":"code","id":"c","outputs":[1],"source":"1"}],"nbformat":4,"nbformat_minor":4,"x":1.0}`
	for _, c := range []struct{ name, input, want string }{
		{"insert first", `"edit_mode":"insert","cell_type":"markdown","new_source":"a<b"`, `{"cells":[{"cell_type":"markdown","metadata":{},"source":"a<b"},{"cell_type":"markdown","source":["# <T>"]},{"cell_type":"code","id":"c","outputs":[1],"source":"1"}],"nbformat":4,"nbformat_minor":4,"x":1.0}`},
		{"insert behind", `"edit_mode":"insert","cell_type":"code","cell_id":"cell-0","new_source":"2"`, `{"cells":[{"cell_type":"markdown","source":["# <T>"]},{"cell_type":"code","metadata":{},"execution_count":null,"source":"2","outputs":[]},{"cell_type":"code","id":"c","outputs":[1],"source":"1"}],"nbformat":4,"nbformat_minor":4,"x":1.0}`},
		{"delete", `"edit_mode":"delete","cell_id":"c","new_source":""`, `{"cells":[{"cell_type":"markdown","source":["# <T>"]}],"nbformat":4,"nbformat_minor":4,"x":1.0}`},
		{"other type", `"cell_id":"c","cell_type":"markdown","new_source":"t"`, `{"cells":[{"cell_type":"markdown","source":["# <T>"]},{"cell_type":"markdown","id":"c","source":"t"}],"nbformat":4,"nbformat_minor":4,"x":1.0}`},
		{"insert without a type", `"edit_mode":"insert","new_source":"a"`, book},
		{"no such cell", `"cell_id":"cell-2","new_source":"a"`, book},
		{"no cell", `"new_source":"a"`, book},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, map[string]string{"n.ipynb": book})
			env := newEnv(t, dir, tool.Options{})
			input := `{"notebook_path":"n.ipynb",` + c.input + `}`
			if got := use(t, env, "NotebookEdit", input); !got.IsError {
				t.Error("a notebook that was not read was changed")
			}
			use(t, env, "Read", `{"file_path":"n.ipynb"}`)
			got := use(t, env, "NotebookEdit", input)
			data, err := os.ReadFile(filepath.Join(dir, "n.ipynb"))
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, data); err != nil {
				t.Fatal(err)
			}
			if compact.String() != c.want || got.IsError != (c.want == book) {
				t.Errorf("got %s\nwant %s\nthe call: %+v", compact.String(), c.want, got)
			}
		})
	}
}

func TestFilesThatAreNoTextAreNotChanged(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"caf\xe9 x", "x\x00"} {
		dir := tree(t, map[string]string{"f.txt": content})
		got := use(t, newEnv(t, dir, tool.Options{}), "Edit", `{"file_path":"f.txt","old_string":"x","new_string":"y"}`)
		if data, err := os.ReadFile(filepath.Join(dir, "f.txt")); err != nil || string(data) != content || !got.IsError {
			t.Errorf("%q became %q: %+v, %v", content, data, got, err)
		}
	}
}

func TestWriteKeepsTheMode(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"run.sh": "#!/bin/sh\n"})
	path := filepath.Join(dir, "run.sh")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := use(t, newEnv(t, dir, tool.Options{}), "Edit", `{"file_path":"run.sh","old_string":"sh\n","new_string":"bash\n"}`); got.IsError {
		t.Fatal(got.Text)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestToValid checks the replacement of bytes that are no UTF-8.
func TestToValid(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"\xe4\xb8a":        "\ufffda",
		"\xe4\xb8":         "\ufffd",
		"\xf0\x9f\x98":     "\ufffd",
		"\xff\xfe":         "\ufffd\ufffd",
		"\xc0\x80":         "\ufffd\ufffd",
		"\xed\xa0\x80":     "\ufffd\ufffd\ufffd",
		"\xe0\x80\x80":     "\ufffd\ufffd\ufffd",
		"\xf4\x90\x80\x80": "\ufffd\ufffd\ufffd\ufffd",
		"a\ufffdb":         "a\ufffdb",
	} {
		if got := tool.ToValid([]byte(data)); got != want {
			t.Errorf("%q: got %+q, want %+q", data, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		got := tool.ToValid(data)
		if !utf8.ValidString(got) || utf8.Valid(data) && got != string(data) {
			t.Errorf("%q: %q", data, got)
		}
	})
}

// TestReadShowsWhatWasWritten checks that numbered lines give back the text.
func TestReadShowsWhatWasWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := newEnv(t, dir, tool.Options{})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~é\n\t]{1,200}`).Draw(t, "text")
		if err := os.WriteFile(filepath.Join(dir, "f.txt"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := tool.Read().Call(context.Background(), env, json.RawMessage(`{"file_path":"f.txt"}`))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(got.Text, "\n")
		for i, l := range lines {
			lines[i] = strings.TrimPrefix(l, fmt.Sprintf("%d\t", i+1))
		}
		if back := strings.Join(lines, "\n"); back != text {
			t.Errorf("wrote %q, read %q", text, back)
		}
	})
}

func TestLongResults(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"f.txt": strings.Repeat(strings.Repeat("x", 90)+"\n", 300)})
	results := filepath.Join(t.TempDir(), "results")
	env := newEnv(t, dir, tool.Options{ResultDir: results})
	got := use(t, env, "Grep", `{"pattern":"x","output_mode":"content","head_limit":0}`)
	if len(got.Text) > 3000 || !strings.HasPrefix(got.Text, "<persisted-output>") {
		t.Fatalf("%d bytes: %.300s", len(got.Text), got.Text)
	}
	_, rest, _ := strings.Cut(got.Text, "All of it is in ")
	path, _, _ := strings.Cut(rest, ", which")
	if all := use(t, env, "Read", fmt.Sprintf(`{"file_path":%q,"offset":300,"limit":1}`, path)); !strings.HasPrefix(all.Text, "300\tf.txt:300:xxx") {
		t.Errorf("%q", all.Text)
	}
}

func TestObserved(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a.txt": "x\n"})
	seen := func() []tool.Observation {
		env := newEnv(t, dir, tool.Options{})
		use(t, env, "Read", `{"file_path":"a.txt"}`)
		use(t, env, "Glob", `{"pattern":"*"}`)
		use(t, env, "Grep", `{"pattern":"x"}`)
		return env.Observed()
	}
	first := seen()
	if len(first) < 3 || fmt.Sprint(first) != fmt.Sprint(seen()) {
		t.Fatalf("%v", first)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.txt"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := seen()
	for i, kind := range []bool{false, true, true} {
		if changed := first[i] != second[i]; changed != kind {
			t.Errorf("%v and %v after a file was added", first[i], second[i])
		}
	}
}

func TestReadShowsOtherFiles(t *testing.T) {
	t.Parallel()
	const book = `{"cells":[{"cell_type":"markdown","id":"m","source":["# T\n","x"]},{"cell_type":"code","source":"1+1","outputs":[{"output_type":"execute_result","data":{"text/plain":["2"],"image/png":"aGk="}},{"output_type":"stream","text":"out\n"}]}],"metadata":{"language_info":{"name":"python"}}}`
	dir := tree(t, map[string]string{"a.pdf": "%PDF-1.4\n", "n.ipynb": book, "empty.ipynb": `{"cells":[]}`})
	env := newEnv(t, dir, tool.Options{})
	kinds := func(r tool.Result) string {
		var list []string
		for _, b := range r.Blocks {
			list = append(list, b.Type)
		}
		return strings.Join(list, " ")
	}
	pdf := use(t, env, "Read", `{"file_path":"a.pdf"}`)
	if want := "PDF file read: " + filepath.Join(dir, "a.pdf") + " (9 bytes)"; kinds(pdf) != "text document" || pdf.Blocks[0].Text != want {
		t.Errorf("%+v", pdf)
	}
	got := use(t, env, "Read", `{"file_path":"n.ipynb"}`)
	want := "<cell id=\"m\"><cell_type>markdown</cell_type># T\nx</cell id=\"m\">\n<cell id=\"cell-1\">1+1</cell id=\"cell-1\">\n\n2"
	if kinds(got) != "text image text" || got.Blocks[0].Text != want {
		t.Errorf("%s: %q", kinds(got), got.Blocks[0].Text)
	}
	if got := use(t, env, "Read", `{"file_path":"empty.ipynb"}`); got.IsError || got.Text == "" {
		t.Errorf("%+v", got)
	}
	if block, err := got.Block("id"); err != nil || !strings.Contains(string(block.Raw), `"tool_use_id":"id"`) {
		t.Errorf("%s, %v", block.Raw, err)
	}
}

// TestGrantRead reads in a folder that may only be read, writes in it, and restores
// it in another environment.
func TestGrantRead(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for _, name := range []string{"project/a.txt", "skill/b.txt", "other/c.txt"} {
		path := filepath.Join(base, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	set, err := tool.NewSet(tool.Files()...)
	if err != nil {
		t.Fatal(err)
	}
	var restored []string
	open := func() *tool.Env {
		env, err := tool.NewEnv(filepath.Join(base, "project"), tool.Options{Restored: func(facts []string) { restored = facts }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = env.Close() })
		return env
	}
	env := open()
	if err := errors.Join(env.GrantRead(filepath.Join(base, "skill")), env.GrantRead(filepath.Join(base, "project"))); err != nil {
		t.Fatal(err)
	}
	if !env.Remember("x") || env.Remember("x") {
		t.Error("a fact is new once")
	}
	again := open()
	again.Restore(env.TakeChange())
	if again.Remember("x") || len(restored) != 1 {
		t.Errorf("the fact was lost: %q", restored)
	}
	if c := env.TakeChange(); !c.Empty() {
		t.Errorf("taken twice: %v", c)
	}
	for _, e := range []*tool.Env{env, again} {
		for _, test := range []struct {
			tool, path string
			ok         bool
		}{{"Read", "skill/b.txt", true}, {"Write", "skill/b.txt", false}, {"Write", "skill/new.txt", false}, {"Write", "project/a.txt", true}, {"Read", "other/c.txt", false}} {
			input := fmt.Sprintf(`{"file_path": %q}`, filepath.Join(base, filepath.FromSlash(test.path)))
			if test.tool == "Write" {
				input = input[:len(input)-1] + `, "content": "y"}`
			}
			r := set.Call(t.Context(), e, llm.Block{Name: test.tool, Input: []byte(input)})
			if r.IsError == test.ok {
				t.Errorf("%s %s: %s", test.tool, test.path, r.Text)
			}
		}
		if len(e.Granted()) != 1 || len(e.GrantedToRead()) != 1 {
			t.Errorf("granted %q and %q", e.Granted(), e.GrantedToRead())
		}
	}
}
