package workflow_test

import (
	"encoding/json"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/workflow"
)

// TestSavedPathsStayInTheirFolder fills hostile values into paths: what comes out is a
// path below the folder that the path begins with, or an error.
func TestSavedPathsStayInTheirFolder(t *testing.T) {
	w := mustParse(t, `{params: {v: {type: string}}, steps: [{id: a, agent: x, task: t, save: "out/pages/${{ params.v }}.md"}, {id: b, agent: x, task: t, save: "out/${{ params.v }}"}]}`)
	part := rapid.OneOf(rapid.SampledFrom([]string{"..", ".", "/", "a", "A", "\\", "\x00", "\n", "out", "pages", "~", "é", "$HOME", "", "*", strings.Repeat("x", 300)}), rapid.String())
	fine, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		value := strings.Join(rapid.SliceOfN(part, 0, 6).Draw(rt, "parts"), rapid.SampledFrom([]string{"", "/", "\\"}).Draw(rt, "between"))
		for id, folder := range map[string]string{"a": "out/pages/", "b": "out/"} {
			name, err := w.Step(id).Save.Name(workflow.Env{Params: map[string]any{"v": value}})
			if err != nil {
				refused++
				continue
			}
			fine++
			if !strings.HasPrefix(name, folder) || name != path.Clean(name) || strings.ContainsAny(name, "\x00\n") || len(path.Base(name)) > 255 {
				rt.Errorf("%q gives %q", value, name)
			}
		}
	})
	if fine == 0 || refused == 0 {
		t.Errorf("%d were fine, %d were refused", fine, refused)
	}
}

func TestSavedContent(t *testing.T) {
	for name, tt := range map[string]struct{ save, output, want, err string }{
		"text":         {"a.md", " as it is ", " as it is ", ""},
		"json":         {"a.JSON", `{"b": 1.50, "a": "<"}`, `{"b":1.50,"a":"<"}` + "\n", ""},
		"a text":       {"a.json", `"x"`, `"x"` + "\n", ""},
		"csv":          {"a.csv", `[{"b": "x,y", "a": null}, {"c": [1], "a": true}]`, "b,a,c\n\"x,y\",,\n,true,[1]\n", ""},
		"empty csv":    {"a.csv", `[]`, "", ""},
		"jsonl":        {"a.ndjson", `[{"b": 1}, null, "x"]`, "{\"b\":1}\nnull\n\"x\"\n", ""},
		"given":        {"{path: a.csv, format: text}", `[]`, "[]", ""},
		"no JSON":      {"{path: a.csv, format: json}", `x`, "", "the output is not JSON"},
		"no list":      {"a.jsonl", `{}`, "", `the output is not a list, which jsonl needs; the extension of "a.jsonl" asks for it`},
		"no objects":   {"a.csv", `[{"a": 1}, 2]`, "", "element 2 of the output is not an object"},
		"by extension": {"a.json", `x`, "", "write save: {path: ..., format: text}"},
	} {
		t.Run(name, func(t *testing.T) {
			w := mustParse(t, `{steps: [{id: a, agent: x, task: t, save: `+tt.save+`}]}`)
			s := w.Step("a").Save
			path, err := s.Name(workflow.Env{})
			if err != nil {
				t.Fatal(err)
			}
			v, _ := workflow.ParseJSON(tt.output) // nil for none
			got, err := s.Content(path, tt.output, v)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("the error is %v; want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSavedRowsAreReadBack saves rows as CSV and JSON lines: what a read step makes of
// the file is what was saved.
func TestSavedRowsAreReadBack(t *testing.T) {
	cell := rapid.OneOf(rapid.Just[any](true), rapid.Map(rapid.IntRange(-5, 5), func(n int) any { return json.Number(mustJSON(n)) }),
		rapid.Map(rapid.StringMatching(`[a-z,";=+ \n]{1,6}x`), func(s string) any { return s }))
	for _, format := range []workflow.RunOutput{workflow.OutputCSV, workflow.OutputJSONLines} {
		rapid.Check(t, func(rt *rapid.T) {
			rows := make([]any, rapid.IntRange(1, 4).Draw(rt, "rows"))
			for i := range rows {
				rows[i] = map[string]any{"a": cell.Draw(rt, "a"), "b, \"c\"": cell.Draw(rt, "b")}
			}
			s := &workflow.Save{Path: workflow.Literal("rows"), Format: format}
			text, err := s.Content("rows", "", rows)
			if err != nil {
				rt.Fatal(err)
			}
			back, err := workflow.Decode(format, text)
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(string(mustJSON(rows)), string(mustJSON(workflow.Plain(back)))); diff != "" {
				rt.Errorf("%s\n%s", diff, text)
			}
		})
	}
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
