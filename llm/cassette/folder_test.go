package cassette_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestOpenInterruptedRecording(t *testing.T) {
	r, dir := create(t)
	llmtest.MustCollect(t, r.Layer(llmtest.Echo{}), llmtest.Request("x"))
	// A killed writer leaves this file behind.
	if err := os.WriteFile(filepath.Join(dir, "calls", ".0002-agent-00000000.json.tmp"), []byte(`{"agent":`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := open(t, dir)
	if p.Complete() {
		t.Error("a recording that runs says that it is complete")
	}
	if got := play(t.Context(), p.Model(), llm.PolicyDefault); got != "echo: x" {
		t.Errorf("replayed %q", got)
	}
}

func TestDamage(t *testing.T) {
	record := func(t *testing.T) (dir, call string) {
		r, dir := create(t)
		llmtest.MustCollect(t, r.Layer(llmtest.Echo{}), llmtest.Request("x"))
		if err := r.WriteFile("notes.txt", []byte("x")); err != nil {
			t.Fatal(err)
		}
		closeRecorder(t, r)
		return dir, callFiles(t, dir)[0]
	}
	edit := func(t *testing.T, file string, f func(string) string) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(f(string(data))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace := func(old, with string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("%q is not in %s", old, s)
			}
			return strings.Replace(s, old, with, 1)
		}
	}
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, dir, call string)
		want   string
	}{
		{"no cassette", func(t *testing.T, dir, _ string) { _ = os.Remove(filepath.Join(dir, "cassette.json")) }, "it has no cassette.json"},
		{"newer", func(t *testing.T, dir, _ string) {
			edit(t, filepath.Join(dir, "cassette.json"), replace(`"format": 1`, `"format": 9`))
		}, "has format 9"},
		{"meta", func(t *testing.T, dir, _ string) {
			edit(t, filepath.Join(dir, "cassette.json"), replace(`"created"`, `created`))
		}, "cassette.json:4 is damaged"},
		{"cut", func(t *testing.T, _, call string) {
			edit(t, call, func(s string) string { return s[:len(s)/2] })
		}, ".json:"},
		{"comma", func(t *testing.T, _, call string) { edit(t, call, replace(`"nth": 1,`, `"nth": 1`)) }, ".json:3 is damaged"},
		{"type", func(t *testing.T, _, call string) { edit(t, call, replace(`"nth": 1,`, `"nth": "one",`)) }, ".json:2 is damaged"},
		{"no answer", func(t *testing.T, _, call string) { edit(t, call, replace(`"answer"`, `"anser"`)) }, "either an answer or a failure"},
		{"no stop reason", func(t *testing.T, _, call string) {
			edit(t, call, replace(`"stop_reason": "end_turn"`, `"stop_reason": ""`))
		}, "no stop_reason"},
		{"call gone", func(t *testing.T, _, call string) { _ = os.Remove(call) }, "is missing"},
		{"file gone", func(t *testing.T, dir, _ string) { _ = os.Remove(filepath.Join(dir, "notes.txt")) }, "notes.txt is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, call := record(t)
			test.damage(t, dir, call)
			_, err := cassette.Open(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("Open = %v, want %q and the folder in it", err, test.want)
			}
		})
	}
}

func TestCreateFolder(t *testing.T) {
	r, dir := create(t)
	llmtest.MustCollect(t, r.Layer(llmtest.Echo{}), llmtest.Request("x"))
	if err := r.WriteFile("notes/a.txt", []byte("x")); err != nil {
		t.Fatal(err)
	}
	closeRecorder(t, r)
	if err := os.WriteFile(filepath.Join(dir, "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cassette.Create(dir, cassette.Meta{}, cassette.Options{}); !errors.Is(err, cassette.ErrExists) {
		t.Errorf("Create over a cassette = %v, want ErrExists", err)
	}
	again, err := cassette.Create(dir, cassette.Meta{}, cassette.Options{Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	closeRecorder(t, again)
	if p := open(t, dir); p.Len() != 0 {
		t.Errorf("%d calls left of the replaced cassette", p.Len())
	}
	if _, err := os.Stat(filepath.Join(dir, "notes", "a.txt")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file of the replaced cassette: %v, want it gone", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "mine.txt")); err != nil {
		t.Errorf("a file that is not the cassette's is gone: %v", err)
	}

	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cassette.Create(other, cassette.Meta{}, cassette.Options{Replace: true}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("Create in a folder with other files = %v", err)
	}
}

func TestFilesStayInside(t *testing.T) {
	r, dir := create(t)
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../../x", `a\b`, "cassette.json", "Calls/x", "calls", ".hidden", "a//b"} {
		if err := r.WriteFile(name, []byte("x")); err == nil {
			t.Errorf("WriteFile(%q) succeeded", name)
		}
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteFile("out/x", []byte("x")); err == nil {
		t.Error("WriteFile followed a link out of the folder")
	}
	closeRecorder(t, r)
	if _, err := open(t, dir).ReadFile("../x"); err == nil {
		t.Error("ReadFile(../x) succeeded")
	}
}
