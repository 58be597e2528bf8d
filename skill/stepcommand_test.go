package skill_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/skill"
	"github.com/claude-force/claude-force/workflow"
)

func TestStepCommand(t *testing.T) {
	dir := t.TempDir()
	exists := func(path string) bool { return path == "docs/a.md" || path == "odd." }
	for name, c := range map[string]struct {
		text string
		want *workflow.SlashCommand
		err  string
	}{
		"placeholders": {text: "---\nmodel: opus\nallowed-tools: Bash(git log:*)\n---\n$ARGUMENTS \\$1 $1 $ARGUMENTS[0] $x $9a ${CLAUDE_SKILL_DIR}", want: &workflow.SlashCommand{
			Model: "opus",
			Body: []workflow.SlashCommandPart{
				{Text: "$ARGUMENTS", All: true}, {Text: " "}, {Text: "$1"}, {Text: " "}, {Text: "$1", Position: 2}, {Text: " "},
				{Text: "$ARGUMENTS[0]", Position: 1}, {Text: " $x $9a "}, {Text: filepath.ToSlash(dir)},
			},
			Notes: []string{
				"the command c asks for Bash(git log:*), which a workflow cannot grant; allow it when you run the workflow, or in your settings",
			},
		}},
		"files": {text: "See @docs/a.md, @docs/a.md. @odd. `@code` @src/$0! @ann", want: &workflow.SlashCommand{
			Body:  []workflow.SlashCommandPart{{Text: "See @docs/a.md, @docs/a.md. @odd. `@code` @src/"}, {Text: "$0", Position: 1}, {Text: "! @ann"}},
			Files: [][]workflow.SlashCommandPart{{{Text: "docs/a.md"}}, {{Text: "odd."}}, {{Text: "src/"}, {Text: "$0", Position: 1}}},
			Notes: []string{"the command c has @ann, and there is no such file in the project; it is given as text"},
		}},
		"fenced":  {text: "```\n!`ls`\n```\nDone.", want: &workflow.SlashCommand{Body: []workflow.SlashCommandPart{{Text: "```\n!`ls`\n```\nDone."}}}},
		"shell":   {text: "Now: !`ls $0`", err: "runs a command of a shell, !`ls $0`"},
		"session": {text: "${CLAUDE_SESSION_ID}", err: "no session"},
		"agents":  {text: "---\nuser-invocable: false\n---\nx", err: "for agents alone"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "c.md"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			k, err := skill.ReadCommand(dir, "c.md")
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.StepCommand(exists)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("%v, want %q", err, c.err)
				}
				return
			}
			c.want.Name = "c"
			if d := cmp.Diff(c.want, got); err != nil || d != "" {
				t.Errorf("%v\n%s", err, d)
			}
		})
	}
}

func TestReadCommand(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "project")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "out.md"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../out.md", filepath.Join(dir, "link.md")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link.md", "none.md", "no/folder.md"} {
		if k, err := skill.ReadCommand(dir, name); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}
