package workflow_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/claude-force/claude-force/workflow"
)

func checkXML(t *testing.T, svg []byte) {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := dec.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("SVG is not valid XML: %v\n%s", err, svg)
		}
	}
}

// Whatever the file is, Parse ends with a sound workflow or with errors that
// have positions inside of the file; everything works on a sound workflow.
func FuzzParse(f *testing.F) {
	f.Add([]byte(seedJSON))
	for _, glob := range []string{"testdata/errors/*.txtar", "testdata/draw/*.yaml", "../examples/workflows/*.yaml"} {
		paths, _ := filepath.Glob(glob)
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			_, sections := archive("-- x --\n" + string(data))
			for _, s := range sections {
				f.Add([]byte(s.text))
			}
		}
	}
	for _, expr := range []string{"params.n + 1", "join(map(steps.lint.json.items ?? [], .t), ', ')", "let a = 1..9; reduce(a, #acc + #, 0)",
		"item.name ?? loop.index", "loop.previous.in.json?.x ?? loop . previous . type-check . output",
		"filter(params.tags, # matches 'x')[0:1]", `{"a": [1, 'x', nil, true]}`, "steps.type-check.json?.a?.b ?? `x`", "-params.a ** 2 % 3 // c"} {
		f.Add(fmt.Appendf(nil, renderSrc, "\"${{ "+strings.ReplaceAll(expr, `"`, `\"`)+" }}\""))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		opts := testOptions
		opts.Load = func(path string) ([]byte, error) {
			switch path {
			case "part.yaml":
				return []byte("params: {a: 1}\nsteps: [{id: part, agent: x, task: '${{ env.USER }}'}]\noutput: ${{ steps.part.output }}"), nil
			case "missing.yaml":
				return nil, errors.New("missing")
			}
			return data, nil
		}
		w, err := workflow.Parse("w", data, opts)
		if err != nil {
			all, ok := errors.AsType[workflow.Errors](err)
			if !ok || len(all) == 0 || w != nil {
				t.Fatalf("not a list of errors: %v", err)
			}
			lines := 1 + strings.Count(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n") + strings.Count(string(data), "\r") +
				strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029")
			for _, e := range all {
				if e.Line < 0 || e.Line > lines || (e.Line == 0) != (e.Column == 0) || e.Message == "" || strings.ContainsAny(e.Message, "\r\n") {
					t.Fatalf("bad error %+v of %d lines", e, lines)
				}
			}
			return
		}
		if len(w.Steps) == 0 {
			t.Fatal("a workflow without steps")
		}
		rest := w.RemainingPath(nil)
		path, total := w.CriticalPath(nil)
		if len(path) == 0 || rest[path[0]] != total {
			t.Fatalf("critical path %v of %v, remaining %v", path, total, rest)
		}
		for i, drawing := range []string{w.Text(), w.Mermaid(), string(w.SVG())} {
			if !utf8.ValidString(drawing) || strings.ContainsFunc(drawing, func(r rune) bool { return r < ' ' && r != '\n' }) {
				t.Fatalf("drawing %d holds what it must not: %q", i, drawing)
			}
		}
		checkXML(t, w.SVG())
		params, err := w.BindParams(nil)
		if err != nil {
			params = map[string]any{}
		}
		result := workflow.StepResult{Output: "[1,2]", Status: "completed", JSON: []any{1.0, "x", map[string]any{"t": "y"}}}
		env := workflow.Env{Params: params, Run: map[string]any{"id": "r"}, Steps: map[string]workflow.StepResult{}, Item: result.JSON,
			Loop: &workflow.LoopEnv{Index: 2, Previous: map[string]workflow.StepResult{"a": result}}}
		for _, sub := range w.All() {
			results(t, sub, result, env.Steps)
			seen, _ := sub.WithVars(env) // those before one that fails
			use(t, sub, seen)
			if _, err := workflow.Parse("w", sub.Source, opts); err != nil {
				t.Fatalf("a file of a sound workflow is not sound: %v", err)
			}
		}
	})
}

// results puts a result of every step into to, and checks what is always so.
func results(t *testing.T, w *workflow.Workflow, result workflow.StepResult, to map[string]workflow.StepResult) {
	for _, s := range w.Steps {
		kinds := 0
		for _, is := range []bool{s.Agent != "" && s.Task != nil, s.Approval != nil, s.Action() != nil, s.Body != nil} {
			if is {
				kinds++
			}
		}
		if s.ID == "" || kinds != 1 || w.Step(s.ID) != s || s.Foreach != nil && s.Loop != nil || s.Join > len(s.Dependencies) {
			t.Fatalf("bad step %+v", s)
		}
		for _, d := range s.Dependencies {
			if w.Step(d) == nil || d == s.ID {
				t.Fatalf("bad dependency %q of %q", d, s.ID)
			}
		}
		if (s.OnFailure == workflow.OnFailureFallback) != (s.Fallback != "") || s.Fallback != "" && w.Step(s.Fallback) == nil {
			t.Fatalf("bad fallback of %+v", s)
		}
		s.Unmentioned()
		to[s.ID] = result
		if s.Body != nil && s.Workflow == "" {
			results(t, s.Body, result, to)
		}
	}
}

// use evaluates whatever a workflow holds.
func use(t *testing.T, w *workflow.Workflow, env workflow.Env) {
	texts, values := []*workflow.Template{w.Output}, []*workflow.Value{}
	for _, s := range w.Steps {
		texts, values = append(texts, s.Task, s.Output), append(values, s.Files...)
		if s.Save != nil {
			_, _ = s.Save.Name(env)
		}
		values = append(values, slices.Collect(maps.Values(s.With))...)
		if s.When != nil {
			values = append(values, s.When)
		}
		if s.Loop != nil && s.Loop.Until != nil {
			values = append(values, s.Loop.Until)
		}
		if s.Loop != nil {
			for _, state := range s.Loop.State {
				values = append(values, state.Initial, state.Next)
			}
		}
		if s.Foreach != nil {
			texts = append(texts, s.Foreach.Glob...)
			if (s.Foreach.Items == nil) == (s.Foreach.Glob == nil) {
				t.Fatalf("bad foreach %+v", s.Foreach)
			}
			if s.Foreach.Items != nil {
				values = append(values, s.Foreach.Items)
			}
		}
		if s.Approval != nil {
			texts = append(texts, s.Approval.Message)
		}
		if action := s.Action(); action != nil {
			_, _ = action.Fill(env)
			action.Source()
			action.Identity()
		}
		if s.Schema != nil && !json.Valid(s.Schema) {
			t.Fatalf("bad schema %s", s.Schema)
		}
		if s.Value != nil {
			_, _ = s.Value.Text(env)
		}
		if s.Body != nil && s.Workflow == "" {
			use(t, s.Body, env)
		}
	}
	for _, text := range texts {
		_, _ = text.Render(env)
	}
	for _, v := range values {
		_, _ = v.Eval(env)
		v.Source()
		v.Steps()
	}
}

// A workflow of n steps in layers, where every step but the first ones uses the
// output of another one and every tenth has an expression of its own.
func bigWorkflow(n int) []byte {
	var b bytes.Buffer
	b.WriteString("name: big\nparams: {path: .}\ndefaults: {timeout: 5m}\nsteps:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - id: step-%d\n    agent: agent-%d\n", i, i%7)
		switch {
		case i < 10:
			b.WriteString("    task: look at ${{ params.path }}\n")
		case i%10 == 0:
			fmt.Fprintf(&b, "    task: upper ${{ upper(steps.step-%d.output) }}\n", i-10)
		default:
			fmt.Fprintf(&b, "    task: use ${{ steps.step-%d.output }} in ${{ params.path }}\n    dependencies: [step-%d, step-%d]\n", i-10, i-10, i-i%10-1)
		}
	}
	return b.Bytes()
}

func BenchmarkParse10000(b *testing.B) {
	data := bigWorkflow(10_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := workflow.Parse("big.yaml", data, workflow.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDraw10000(b *testing.B) {
	w, err := workflow.Parse("big.yaml", bigWorkflow(10_000), workflow.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for name, draw := range map[string]func(){
		"text": func() { w.Text() }, "mermaid": func() { w.Mermaid() }, "svg": func() { w.SVG() },
		"path": func() { w.CriticalPath(nil) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				draw()
			}
		})
	}
}

func BenchmarkCompileExpression(b *testing.B) {
	data := fmt.Appendf(nil, renderSrc, "\"${{ join(map(steps.type-check.json.items, '- ' + .t), ', ') }}\"")
	for b.Loop() {
		if _, err := workflow.Parse("w.yaml", data, workflow.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
