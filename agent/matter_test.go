package agent_test

import (
	"reflect"
	"testing"

	"github.com/claude-force/claude-force/agent"
)

func TestParseDocument(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       agent.Document
		warnings   int
	}{
		{"no frontmatter", "a\r\nb", agent.Document{Body: "a\nb"}, 0},
		{"values", "---\nversion: 1.10\non: true\nn: [a, \"b c\"]\nnone:\n---\nbody\n", agent.Document{Values: map[string]any{
			"version": "1.10", "on": true, "n": []any{"a", "b c"}, "none": nil,
		}, Body: "body\n"}, 0},
		{"a colon in a value", "---\ndescription: use it: now\n---\n", agent.Document{Values: map[string]any{"description": "use it: now"}}, 0},
		{"open", "---\na: b\n", agent.Document{Body: "---\na: b\n"}, 1},
		{"not YAML", "---\na: \"x\n  b: [\n---\nbody", agent.Document{Values: map[string]any{}, Body: "body"}, 1},
		{"UTF-16", "\xff\xfea\x00", agent.Document{}, 1},
	}
	for _, test := range tests {
		got, warnings := agent.ParseDocument("f.md", []byte(test.text))
		if !reflect.DeepEqual(got, test.want) || len(warnings) != test.warnings {
			t.Errorf("%s: %#v, %v", test.name, got, warnings)
		}
	}
	d := agent.Document{Values: map[string]any{"tools": "Bash(git add:*), Read Write", "list": []any{"a, b", " c "}, "off": "no"}}
	if got := d.List("tools"); !reflect.DeepEqual(got, []string{"Bash(git add:*)", "Read", "Write"}) {
		t.Errorf("%q", got)
	}
	if got := d.List("list"); !reflect.DeepEqual(got, []string{"a, b", "c"}) {
		t.Errorf("%q", got)
	}
	if d.Bool("off", true) || !d.Bool("none", true) || d.Text("list") != "" {
		t.Error("texts and booleans")
	}
}
