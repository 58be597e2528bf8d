package workflow_test

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

func checkAgent(name string) error {
	if strings.HasPrefix(name, "ghost") {
		return fmt.Errorf("no agent is called %q", name)
	}
	return nil
}

var testOptions = workflow.Options{CheckAgent: checkAgent, AllowEnv: []string{"GITHUB_SHA"}, SlashCommand: slashCommand}

// slashCommand knows review.md, in which two arguments and a file are replaced.
func slashCommand(name string) (*workflow.SlashCommand, error) {
	if path.Base(name) != "review" && path.Base(name) != "review.md" {
		return nil, fmt.Errorf("there is no command %q; did you mean %q?", name, "review")
	}
	return &workflow.SlashCommand{Name: "review", Model: "opus", Notes: []string{"it asks for Bash"}, Body: []workflow.SlashCommandPart{
		{Text: "Review "}, {Text: "$0", Position: 1}, {Text: " for "}, {Text: "$1", Position: 2}, {Text: ", ${{ no.expression }}, see @"}, {Text: "$2", Position: 3}, {Text: "."},
	}, Files: [][]workflow.SlashCommandPart{{{Text: "docs/rules.md"}}, {{Text: "src/"}, {Text: "$0", Position: 1}}, {{Text: "$2", Position: 3}}}}, nil
}

func mustParse(tb testing.TB, src string) *workflow.Workflow {
	tb.Helper()
	w, err := workflow.Parse("w.yaml", []byte(src), testOptions)
	if err != nil {
		tb.Fatalf("Parse: %v\n%s", err, src)
	}
	if err := matchSchema(tb, src); err != nil {
		tb.Errorf("the schema refuses what Parse accepts: %v\n%s", err, src)
	}
	return w
}

// Each archive holds files named as the case (with the extension of the format)
// and, in a file called "want" after it, the errors that must come of it.
func TestParseErrors(t *testing.T) {
	archives, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			comment, files := archive(string(data))
			for i := 0; i+1 < len(files); i += 2 {
				f := files[i]
				w, err := workflow.Parse(f.name, []byte(f.text), testOptions)
				got := "ok\n"
				checkPositions(t, f.text, err)
				if err != nil {
					got = err.Error() + "\n"
					if w != nil {
						t.Error("a workflow beside an error")
					}
				}
				if os.Getenv("UPDATE_GOLDEN") != "" {
					files[i+1].text = got
					continue
				}
				if d := cmp.Diff(files[i+1].text, got); d != "" {
					t.Errorf("%s (-want +got):\n%s", f.name, d)
				}
			}
			if os.Getenv("UPDATE_GOLDEN") != "" {
				for _, f := range files {
					comment += "-- " + f.name + " --\n" + f.text
				}
				if err := os.WriteFile(path, []byte(comment), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Where a message names something unknown, that must stand at the position.
func checkPositions(t *testing.T, src string, err error) {
	lines := strings.Split(src, "\n")
	all, _ := errors.AsType[workflow.Errors](err)
	for _, e := range all {
		if _, name, ok := strings.Cut(e.Message, "unknown "); ok && e.Line > 0 {
			_, name, _ = strings.Cut(name, `"`)
			name, _, _ = strings.Cut(name, `"`)
			rest := string([]rune(lines[e.Line-1])[e.Column-1:])
			if !strings.HasPrefix(strings.TrimLeft(rest, `"'*`), name) {
				t.Errorf("%v: %q stands there", e, rest)
			}
		}
	}
}

type section struct{ name, text string }

// archive splits the txtar format: sections that begin with "-- name --".
func archive(s string) (comment string, sections []section) {
	for line := range strings.Lines(s) {
		name, ok := strings.CutPrefix(strings.TrimSuffix(line, " --\n"), "-- ")
		switch {
		case ok && strings.HasSuffix(line, " --\n"):
			sections = append(sections, section{name: name})
		case len(sections) == 0:
			comment += line
		default:
			sections[len(sections)-1].text += line
		}
	}
	return comment, sections
}

const seedJSON = `{
	"name": "Code Quality Check",
	"steps": [
		{
			"id": "linter",
			"agent": "linter",
			"task": "Check code style",
			"dependencies": []
		},
		{
			"id": "type-check",
			"agent": "type-checker",
			"task": "Check types",
			"dependencies": []
		},
		{
			"id": "review",
			"agent": "code-reviewer",
			"task": "Final review",
			"dependencies": ["linter", "type-check"]
		}
	]
}
`

func TestSeed(t *testing.T) {
	// The same document as JSON, as a Python literal and as YAML.
	sources := map[string]string{
		"json":   seedJSON,
		"python": strings.ReplaceAll(strings.ReplaceAll(seedJSON, `"`, `'`), "]\n}", "],\n}"),
		"yaml": `
name: Code Quality Check
steps:
  - {id: linter, agent: linter, task: Check code style, dependencies: []}
  - {id: type-check, agent: type-checker, task: Check types}
  - {id: review, agent: code-reviewer, task: Final review, dependencies: [linter, type-check]}
`,
	}
	for name, src := range sources {
		t.Run(name, func(t *testing.T) {
			w := mustParse(t, src)
			if w.Name != "Code Quality Check" || len(w.Steps) != 3 {
				t.Fatalf("got %q with %d steps", w.Name, len(w.Steps))
			}
			review := w.Step("review")
			if d := cmp.Diff([]string{"linter", "type-check"}, review.Unmentioned()); d != "" {
				t.Error(d)
			}
			if review.Agent != "code-reviewer" || review.Task.Source() != "Final review" {
				t.Errorf("got %+v", review)
			}
			if w.Step("nobody") != nil {
				t.Error("a step that is not there")
			}
		})
	}
}

func TestStrictJSON(t *testing.T) {
	w := mustParse(t, "\ufeff\r\n\t{\t\"steps\"\t:\t[ {\"id\":\"a\",\r\n\"agent\":\"x\\/y\",\"timeout\":1.5,\"retries\":2,\"task\":\"\\ud83d\\ude00 \\u00e9 \\/ \\t \\\"q\\\" caf\u00e9\"} ] }\n")
	s := w.Steps[0]
	if got, want := s.Task.Source(), "😀 é / \t \"q\" café"; got != want {
		t.Errorf("task %q, want %q", got, want)
	}
	if s.Agent != "x/y" || s.Timeout != 1500*time.Millisecond || s.Retry.Max != 2 || s.Line != 2 || s.Column != 16 {
		t.Errorf("got %+v", s)
	}
}

func TestEverything(t *testing.T) {
	w := mustParse(t, `
name: all
description: of it
params:
  path: .
  count: 3
  ratio: {default: 2, type: number, description: how much}
  must: {description: needed}
  bare:
  tags: {default: [a, {b: 1}]}
  day: 2024-01-02
  on: true
defaults: {model: haiku, timeout: 5m, retries: 2, max_tokens: 1000}
max_parallel: 10
steps:
  - id: one
    agent: x
    task: hello
  - id: two
    agent: y
    model: opus
    timeout: 90
    retries: 0
    max_tokens: 0x10
    task: "use ${{ steps.three.output }} and ${{ steps.one.status }}"
    files: ["${{ params.path }}/**/*.go", plain.txt]
    dependencies: [one, one]
  - {id: three, agent: z, task: "${{ env.USER }} ${{ env.GITHUB_SHA + env.USER }}"}
`)
	wantParams := []workflow.Param{
		{Name: "path", Default: ".", HasDefault: true, Type: "string"},
		{Name: "count", Default: 3, HasDefault: true, Type: "integer"},
		{Name: "ratio", Default: 2.0, HasDefault: true, Type: "number", Description: "how much"},
		{Name: "must", Type: "string", Description: "needed"},
		{Name: "bare", Type: "string"},
		{Name: "tags", Default: []any{"a", map[string]any{"b": 1}}, HasDefault: true, Type: "array"},
		{Name: "day", Default: "2024-01-02", HasDefault: true, Type: "string"},
		{Name: "on", Default: true, HasDefault: true, Type: "boolean"},
	}
	for i := range w.Params {
		w.Params[i].Default = workflow.Plain(w.Params[i].Default)
	}
	if d := cmp.Diff(wantParams, w.Params); d != "" {
		t.Error(d)
	}
	one, two := w.Step("one"), w.Step("two")
	if one.Model != "haiku" || one.Timeout != 5*time.Minute || one.Retry.Max != 2 || one.MaxTokens != 1000 || one.Line != 16 || one.Column != 5 {
		t.Errorf("defaults were not applied: %+v", one)
	}
	if two.Model != "opus" || two.Timeout != 90*time.Second || two.Retry.Max != 0 || two.MaxTokens != 16 || w.MaxParallel != 10 {
		t.Errorf("settings of the step were lost: %+v", two)
	}
	if d := cmp.Diff([]string{"one", "three"}, two.Dependencies); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"one"}, two.Unmentioned()); d != "" {
		t.Error("a status is not an output:", d)
	}
	if d := cmp.Diff([]string{"three", "one"}, two.Task.Steps()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"GITHUB_SHA", "USER"}, w.EnvNames()); d != "" {
		t.Error(d)
	}
}

func TestErrorsMatch(t *testing.T) {
	_, err := workflow.Parse("w.yaml", []byte(`
steps:
  - {id: a, agent: ghost, task: "${{ nope }}", dependencies: [b, zzz]}
  - {id: b, agent: x, task: t, dependencies: [a]}
  - {id: b, workflow: other.yaml}
`), testOptions)
	for _, want := range []error{workflow.ErrCycle, workflow.ErrUnknownAgent, workflow.ErrUnknownDependency,
		workflow.ErrDuplicateID, workflow.ErrExpression, workflow.ErrNotSupported} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not matched by\n%v", want, err)
		}
	}
	all, ok := errors.AsType[workflow.Errors](err)
	if !ok || len(all) != 6 || all[0].File != "w.yaml" || all[0].Line != 3 {
		t.Errorf("got %#v", all)
	}
	if one, ok := errors.AsType[*workflow.Error](err); !ok || one != all[0] {
		t.Error("the first problem is not found as *Error")
	}
}

func TestLimits(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'j'; c++ {
		p := string(c - 1)
		bomb += fmt.Sprintf("%c: &%c [*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s]\n", c, c, p, p, p, p, p, p, p, p, p, p)
	}
	for name, src := range map[string]string{
		"bomb":      bomb,
		"recursive": "steps: &s [*s]\n",
		"deep":      "steps: " + strings.Repeat("[", 500) + strings.Repeat("]", 500),
		"deep json": `{"steps": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}",
		"large":     "name: " + strings.Repeat("x", 9<<20),
	} {
		_, err := workflow.Parse("w.yaml", []byte(src), workflow.Options{})
		if !errors.Is(err, workflow.ErrTooLarge) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Mistakes by the thousand must not cost more than linear time, hints included.
func TestManyMistakes(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"steps":[`)
	const n = 5000
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"id":"step-%d","agent":"x","task":"${{ steps.stp-%d.output }}","dependencies":["stepp-%d"]}`, i, i, i)
	}
	b.WriteString("]}")
	_, err := workflow.Parse("w.json", []byte(b.String()), workflow.Options{})
	if all, _ := errors.AsType[workflow.Errors](err); len(all) != 1001 || all[1000].Message != "9000 more problems not shown" {
		t.Fatalf("got %d errors: %v", len(all), all[len(all)-1])
	}
}

// Nor may those of the new keys: each of these would take minutes if every
// mistake looked at every other.
func TestManyMistakesWithin(t *testing.T) {
	const n = 20_000
	repeat := func(head, each string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := range n {
			fmt.Fprintf(&b, each+"\n", i)
		}
		return b.String()
	}
	part := "steps: [{id: a, agent: x, task: t}]\n" + repeat("params:\n", "  p%[1]d:")
	for name, src := range map[string]string{
		"previous": repeat("steps:\n- id: g\n  loop: {max: 2}\n  steps:\n", "  - {id: s%[1]d, agent: x, task: '${{ loop.previous.q-%[1]d.output }}'}"),
		"with":     repeat("steps:\n- id: w\n  workflow: part.yaml\n  with:\n", "    q%[1]d: 1"),
		"fallback": repeat("steps:\n- {id: a, agent: x, task: t}\n", "- {id: s%[1]d, agent: x, task: t, on_failure: {fallback: a}, dependencies: [a]}"),
		"inside":   repeat("steps:\n- {id: o, agent: x, task: t, dependencies: [s1]}\n- id: g\n  steps:\n", "  - {id: s%[1]d, agent: x, task: '${{ steps.g.output }}', dependencies: [o]}"),
	} {
		opts := workflow.Options{Load: files{"part.yaml": part}.load}
		_, err := workflow.Parse("w.yaml", []byte(src), opts)
		if all, _ := errors.AsType[workflow.Errors](err); len(all) != 1001 {
			t.Errorf("%s: %d errors", name, len(all))
		}
	}
}

func TestSharedSteps(t *testing.T) {
	w := mustParse(t, `
steps:
  - &base {id: a, agent: &agent x, task: &task "say ${{ run.id }}"}
  - {id: b, agent: *agent, task: *task}
`)
	if got := w.Step("b").Task.Source(); got != "say ${{ run.id }}" {
		t.Errorf("got %q", got)
	}
}
