package docexample_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/internal/docexample"
)

func TestRead(t *testing.T) {
	page := strings.ReplaceAll(`# A page

<!-- generated -->

<!-- flags: --allow 'Edit(a/**)' -->
<!-- answer: ok -->
<!-- answer: where --choice staging -->
~yaml
steps: []
~

Text.

    claude-force run a.yaml
    claude-force plan a.yaml

- an item
  with a second line
<!-- not run: it is a drawing -->

    * a ──
<!-- error: no step -->
~yaml
a: b
~
`, "~", "```")
	got, err := docexample.Read(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []docexample.Block{
		{Line: 9, Kind: "yaml", Text: "steps: []\n", Flags: "--allow 'Edit(a/**)'", Answers: []string{"ok", "where --choice staging"}},
		{Line: 14, Kind: docexample.Indented, Text: "claude-force run a.yaml\nclaude-force plan a.yaml\n"},
		{Line: 21, Kind: docexample.Indented, Text: "* a ──\n", NotRun: "it is a drawing"},
		{Line: 24, Kind: "yaml", Text: "a: b\n", Error: "no step"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for page, want := range map[string]string{
		"```yaml\na: b\n":                            "line 1: the block has no end",
		"\n<!-- flags: -q -->\nText.\n":              "line 2: the comment stands before no block",
		"<!-- flags: -q -->\n":                       "line 1: the comment stands before no block",
		"<!-- flag: -q -->\n":                        `line 1: "flag" is none of answer, error,`,
		"<!-- exit: 1 -->\n<!-- exit: 2 -->\n":       `line 2: "exit" stands there twice`,
		"<!-- exit: 1 -->\n\n\n    a\n<!-- x: y -->": `line 5: "x" is none of`,
	} {
		if _, err := docexample.Read(page); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Read(%q) returned %v, want %s", page, err, want)
		}
	}
}

func TestWorkflow(t *testing.T) {
	const hello = "steps: [{id: hello, agent: creative-writer, task: Say hello.}]\n"
	for text, want := range map[string]string{
		"steps: []\n":      "steps: []\n",
		"- {id: a}\n":      "steps:\n- {id: a}\n",
		"id: a\ntask: b\n": `{"steps":[{"id":"a","task":"b"}]}`,
		"params: {}\n":     "params: {}\n" + hello,
	} {
		block := docexample.Block{Text: text}
		if got, err := block.Workflow(); err != nil || got != want {
			t.Errorf("Workflow of %q returned %q, %v, want %q", text, got, err, want)
		}
	}
	for _, block := range []docexample.Block{{Text: "a: b\n", File: "settings"}, {Text: "steps: }\n", Error: "bad"}} {
		if got, err := block.Workflow(); err != nil || got != block.Text {
			t.Errorf("Workflow of %q returned %q, %v", block.Text, got, err)
		}
	}
	bad := docexample.Block{Text: "a: }\n", Line: 7}
	if _, err := bad.Workflow(); err == nil || !strings.HasPrefix(err.Error(), "line 7: ") {
		t.Errorf("Workflow of what is no YAML returned %v", err)
	}
}
