package importer_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/claude-force/claude-force/workflow"
	"github.com/claude-force/claude-force/workflow/importer"
)

var update = flag.Bool("update", false, "write what Import returns into the archives")

// fixtures returns the files that are imported in tests, by name.
func fixtures(t testing.TB) map[string]*txtar.Archive {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	all := map[string]*txtar.Archive{}
	for _, path := range paths {
		ar, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = ar
	}
	return all
}

func section(ar *txtar.Archive, name string) []byte {
	for _, f := range ar.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// TestImport compares what files become with what stands in the archives, and checks
// that it is valid and that every note stands in it.
func TestImport(t *testing.T) {
	for path, ar := range fixtures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			opts := importer.Options{Workflow: strings.TrimSpace(string(section(ar, "options")))}
			r, err := importer.Import("in", section(ar, "in"), opts)
			var got []byte
			if err != nil {
				got = fmt.Appendf(nil, "error: %v\n", err)
			} else {
				got = r.YAML
				checkResult(t, r)
			}
			if *update {
				for i := range ar.Files {
					if ar.Files[i].Name == "out" {
						ar.Files[i].Data = got
					}
				}
				if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := section(ar, "out"); !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// checkResult checks what holds for every result.
func checkResult(t *testing.T, r *importer.Result) {
	t.Helper()
	if _, err := workflow.Parse("out.yaml", r.YAML, workflow.Options{}); err != nil {
		t.Errorf("the result is not valid: %v\n%s", err, r.YAML)
	}
	for _, n := range r.Notes {
		if !bytes.Contains(r.YAML, []byte(n.Message)) {
			t.Errorf("no comment says: %s", n.Message)
		}
		if n.Message == "" || strings.ContainsFunc(n.Message, func(r rune) bool { return r < ' ' }) {
			t.Errorf("note %q is not one line", n.Message)
		}
	}
}

func manyAgents(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{name: c%d}, ", i)
	}
	return b.String()
}

// TestErrors checks that what cannot be imported gives one error that says why.
func TestErrors(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("title: x\nprompt: y\na0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "empty"},
		{"binary", "title: \x00\x01", "not a text in UTF-8"},
		{"not utf-8", "title: \xff\xfe", "not a text in UTF-8"},
		{"a list", "- a\n", "not a mapping"},
		{"broken", "title: [", "in:"},
		{"twice", "title: a\ntitle: b\nprompt: c\n", "twice"},
		{"ours", "steps:\n  - {id: a, agent: b, task: c}\n", "no format"},
		{"alias bomb", bomb.String(), "more than 50000 values"},
		{"alias of itself", "title: x\nprompt: y\nz: &z [*z]\n", "nested"},
		{"deep", "title: x\nprompt: y\nz: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), "in:"},
		{"huge", "title: x\nprompt: " + strings.Repeat("y", importer.MaxBytes), "more than 1048576 bytes"},
		{"several workflows", `{"agents": {"a": {}}, "workflows": {"x": ["a"], "y": ["a"]}}`, "say which one: x, y"},
		{"entry", "workflow: {name: a, entry_point: b}\nagents: [{name: c, prompt: d}]\n", "entry_point names"},
		{"route", "workflow: {name: a, entry_point: c}\nagents: [{name: c, prompt: d, routes: [{to: e}]}]\n", "leads to"},
		{"name twice", "workflow: {name: a, entry_point: c}\nagents: [{name: c}, {name: c}]\n", "given twice"},
		{"too many agents", "workflow: {name: a, entry_point: c}\nagents: [" + manyAgents(501) + "]\n", "more than 500"},
		{"depends on itself", "steps:\n  - {id: a, run: x, depends: b}\n  - {id: b, run: x, depends: a}\n", "depends on itself"},
		{"depends on nothing", "steps:\n  - {id: a, run: x, depends: b}\n", "does not have"},
		{"no agents", `{"agents": {"a": {}}, "workflows": {"x": []}}`, "not a list of agents"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := importer.Import("in", []byte(tc.in), importer.Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "in:") {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			if err != nil && (len(err.Error()) > 1000 || strings.Contains(err.Error(), "\n")) {
				t.Errorf("the error is not one short line: %v", err)
			}
		})
	}
}

// TestBrokenExpressions checks that expressions which end too early are left as texts.
func TestBrokenExpressions(t *testing.T) {
	for _, s := range []string{"-", "- x - -", "(", "", "not", "x |", "x.", "x[", "a if", "~ x", "x is", "x | join("} {
		for _, format := range []string{"{{%s}}", "{%% if %s %%}a{%% endif %%}", "{%% if x %%}a{%% elif %s %%}b{%% endif %%}"} {
			template := fmt.Sprintf(format, s)
			in := "title: a\nparameters: [{key: x, requirement: required}]\nprompt: \"Say " + template + "\"\n"
			r, err := importer.Import("in", []byte(in), importer.Options{})
			if err != nil {
				t.Errorf("%s: %v", template, err)
				continue
			}
			checkResult(t, r)
			if len(r.Notes) == 0 {
				t.Errorf("%s: no note", template)
			}
		}
	}
}

// FuzzImport checks that any file is imported as a valid workflow or gives one error.
func FuzzImport(f *testing.F) {
	for _, ar := range fixtures(f) {
		f.Add(section(ar, "in"), strings.TrimSpace(string(section(ar, "options"))))
	}
	f.Fuzz(func(t *testing.T, in []byte, which string) {
		for _, from := range append([]importer.Format{""}, importer.Formats...) {
			r, err := importer.Import("in", in, importer.Options{From: from, Workflow: which})
			switch {
			case err == nil:
				checkResult(t, r)
			case !strings.HasPrefix(err.Error(), "in:"):
				t.Errorf("error without the name of the file: %v", err)
			}
		}
	})
}
