package workflow_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

func TestSlashCommand(t *testing.T) {
	w := mustParse(t, `
params: {who: {default: [a b, "'c"]}}
steps:
  - {id: facts, agent: x, task: t}
  - {id: text, agent: x, command: /review, arguments: 'list.go "two words" ${{ params.who[0] }}'}
  - {id: list, agent: x, command: review, arguments: [12, "${{ steps.facts.output }}"], files: a.md, model: haiku}
  - {id: items, agent: x, foreach: "${{ params.who }}", command: review, arguments: "${{ item }} don't"}
  - {id: none, prompt: You., command: review}
  - {id: which, agent: {from: "${{ params.who[0] }}", among: [x, linter]}, command: review}
`)
	env := workflow.Env{
		Params: map[string]any{"who": []any{"a b", "'c"}}, Item: "x y",
		Steps: map[string]workflow.StepResult{"facts": {Output: "<b>"}},
	}
	const rest = ", ${{ no.expression }}, see @"
	tasks := map[string]string{
		"text":  "Review list.go for two words" + rest + "a b.",
		"list":  "Review 12 for [<b>]" + rest + "$2.",
		"items": "Review x y for don't" + rest + "$2.",
		"none":  "Review $0 for $1" + rest + "$2.",
		"which": "Review $0 for $1" + rest + "$2.",
	}
	files := map[string][]string{
		"text":  {"docs/rules.md", "src/list.go", "a b"},
		"list":  {"a.md", "docs/rules.md", "src/12"},
		"items": {"docs/rules.md", "src/x y"},
		"none":  {"docs/rules.md"},
		"which": {"docs/rules.md"},
	}
	for id, want := range tasks {
		s := w.Step(id)
		got, err := s.Task.RenderPrompt(env, func(_, text string) string { return "[" + text + "]" })
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", id, got, err, want)
		}
		var given []string
		for _, f := range s.Files {
			texts, err := f.Texts(env)
			if err != nil {
				t.Error(err)
			}
			given = append(given, texts...)
		}
		if d := cmp.Diff(files[id], given); d != "" {
			t.Errorf("files of %s: %s", id, d)
		}
		if s.Command != "review" || !strings.HasSuffix(s.Summary(), " /review") {
			t.Errorf("%s has the command %q and is shown as %q", id, s.Command, s.Summary())
		}
		for _, v := range s.Variants() {
			if want := map[bool]string{true: "haiku", false: "opus"}[id == "list"]; v.Model != want {
				t.Errorf("%s asks %s, not %s", id, v.Model, want)
			}
		}
	}
	if d := cmp.Diff([]string{"facts"}, w.Step("list").Dependencies); d != "" {
		t.Error("an argument implies a dependency:", d)
	}
	if len(w.Step("list").Unmentioned()) != 0 {
		t.Error("an argument shows an output")
	}
	if d := cmp.Diff([]string{"review"}, slices.Collect(keys(w.SlashCommands()))); d != "" {
		t.Error(d)
	}
	var notes []string
	for _, n := range w.Notes {
		notes = append(notes, n.Error())
	}
	if text := strings.Join(notes, "\n"); !strings.Contains(text, "it asks for Bash") || !strings.Contains(text, `command "review" has $2, for which there is no argument`) {
		t.Errorf("notes: %s", text)
	}
}

// What quotes and backslashes keep is one argument, and so is what an expression gives.
func TestSlashCommandWords(t *testing.T) {
	for arguments, want := range map[string]string{
		`a b  c`:                   "a|b|c",
		`"a b" 'c d'`:              "a b|c d|$2",
		`a\ b "c\"d" '\'`:          `a b|c"d|\`,
		`it's one`:                 "it's|one|$2",
		`"`:                        `"|$1|$2`,
		`x${{ params.v }}y z`:      "x1 2y|z|$2",
		`"${{ params.v }} z" '' k`: "1 2 z||k",
	} {
		src := "params: {v: 1 2}\nsteps: [{id: a, agent: x, command: words, arguments: " + yamlQuote(arguments) + "}]"
		opts := testOptions
		opts.SlashCommand = func(string) (*workflow.SlashCommand, error) {
			return &workflow.SlashCommand{Name: "words", Body: []workflow.SlashCommandPart{
				{Text: "$0", Position: 1}, {Text: "|"}, {Text: "$1", Position: 2}, {Text: "|"}, {Text: "$2", Position: 3},
			}}, nil
		}
		w, err := workflow.Parse("w.yaml", []byte(src), opts)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, err := w.Step("a").Task.Render(workflow.Env{Params: map[string]any{"v": "1 2"}}); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", arguments, got, err, want)
		}
	}
}

// A body that names no arguments gets them at its end.
func TestSlashCommandWithoutPlaceholder(t *testing.T) {
	opts := testOptions
	opts.SlashCommand = func(string) (*workflow.SlashCommand, error) {
		return &workflow.SlashCommand{Name: "plain", Body: []workflow.SlashCommandPart{{Text: "Look."}}}, nil
	}
	w, err := workflow.Parse("w.yaml", []byte("steps: [{id: a, agent: x, command: plain, arguments: at this}, {id: b, agent: x, command: plain}]"), opts)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"a": "Look.\n\nARGUMENTS: at this", "b": "Look."} {
		if got := w.Step(id).Task.Source(); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}

func yamlQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
