package runs_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// TestOutputFilesStayInTheirFolder names the files of items that were made to lead
// elsewhere, or to be the same file.
func TestOutputFilesStayInTheirFolder(t *testing.T) {
	t.Parallel()
	wf, err := workflow.Parse("wf.yaml", []byte("steps: [{id: each, foreach: [a], agent: linter, task: Check}]"), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"../../etc/passwd", "..", ".", "", "a/b", "a-b", "A-B", "CON", "com1.txt", "x\x00y\x1b[2J", "\xff", strings.Repeat("é", 300), "a b", "run.json", `c:\x`}
	step := &engine.StepResult{Status: engine.StatusCompleted}
	for i, name := range names {
		step.Items = append(step.Items, &engine.ItemResult{
			Key: fmt.Sprintf("%08d-key", i), Item: name,
			StepResult: &engine.StepResult{Status: engine.StatusCompleted, Outcome: llm.Outcome{Output: "text"}},
		})
	}
	files := runs.OutputFiles(wf, &engine.Result{Steps: map[string]*engine.StepResult{"each": step}}, nil)
	if len(files) != len(names) {
		t.Fatalf("%d files of %d items", len(files), len(names))
	}
	seen := map[string]bool{}
	for i, f := range files {
		base, ok := strings.CutPrefix(f.Path, "steps/each/")
		if !ok || strings.ContainsAny(base, "/\\:\x00\x1b ") || strings.HasPrefix(base, ".") || len(base) > 120 || !filepath.IsLocal(f.Path) {
			t.Errorf("%q is in %q", names[i], f.Path)
		}
		if key := workflow.SameFile(f.Path); seen[key] {
			t.Errorf("%q is in %q, which another is in too", names[i], f.Path)
		} else {
			seen[key] = true
		}
		if f.Item != names[i] {
			t.Errorf("the item of %q is %q", f.Path, f.Item)
		}
	}
	if i := slices.IndexFunc(files, func(f runs.OutputFile) bool { return f.Path == "steps/each/a-b.md" }); i < 0 || files[i].Item != "a-b" {
		t.Errorf("no file has the name of its item: %v", files)
	}
}

// TestOutputFilesHaveTheFormOfTheirOutput tells extensions by what steps gave and by
// where they save it.
func TestOutputFilesHaveTheFormOfTheirOutput(t *testing.T) {
	t.Parallel()
	wf, err := workflow.Parse("wf.yaml", []byte(`
steps:
  - {id: answer, agent: linter, task: Check}
  - {id: fenced, agent: linter, task: Check}
  - {id: rows, value: [{a: 1}], save: out/rows.csv}
  - {id: not-rows, value: plain, save: out/other.csv}
  - {id: text, value: hello}
  - {id: empty, value: ""}
output: done
save: out/all.rst
`), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	res := &engine.Result{Output: "done", Steps: map[string]*engine.StepResult{}, Files: []engine.SavedFile{{Step: "rows"}}}
	res.Files[0].Path = "out/rows.csv"
	for id, output := range map[string]string{"answer": "yes\n\n", "fenced": "```json\n{\"a\": 1.0}\n```", "rows": `[{"a":1}]`, "not-rows": "plain", "text": "hello", "empty": ""} {
		res.Steps[id] = &engine.StepResult{Status: engine.StatusCompleted, Outcome: llm.Outcome{Output: output}}
	}
	var got []string
	for _, f := range runs.OutputFiles(wf, res, nil) {
		got = append(got, fmt.Sprintf("%s %q %s", f.Path, f.Content, f.Saved))
		if f.Bytes != len(f.Content) {
			t.Errorf("%s has %d bytes, not %d", f.Path, len(f.Content), f.Bytes)
		}
	}
	want := []string{
		`output.rst "done" `, `steps/answer.md "yes\n" `, `steps/fenced.json "{\"a\":1.0}\n" `,
		`steps/rows.csv "a\n1\n" out/rows.csv`, `steps/not-rows.txt "plain\n" `, `steps/text.txt "hello\n" `,
	}
	if !slices.Equal(got, want) {
		t.Errorf("files are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
