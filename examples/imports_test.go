package examples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// imports is how the results of importing files of other tools are tried.
var imports = map[string]port{
	"goose": {
		args: []string{"-p", "version=2.0", "-p", "style_guide=guide.md", "--allow", "Bash"},
		setup: func(t *testing.T, dir string) {
			put(t, dir, "guide.md", "Short.\n")
			put(t, dir, "NOTES.md", "2.0\n")
		},
		script: `  - {when: {task: "Part: changes"}, text: Two.}
  - {when: {task: "/Write the notes of 2.0 in a PLAIN tone, at most 10 entries.\nNothing breaks.\nThe guide/"}, text: '{"notes": "Two changes.", "count": 2}'}
`,
		output: `"notes": "Two changes."`, calls: map[string]int{"changes": 1, "retry": 1},
	},
	"conductor": {
		args: []string{"-p", "topic=tea", "--allow", "Bash"},
		script: `  - {when: {task: Plan an article about tea of 500 words}, text: '{"points": ["hot", "cold"], "hard": false}'}
  - {when: {task: Your last draft had 4 of 10}, text: '{"text": "Second."}'}
  - {when: {task: Write about tea}, text: '{"text": "First."}'}
  - {when: {task: "/(?s)Judge:.*First/"}, text: '{"score": 4, "notes": ["dull", "short"]}'}
  - {when: {task: "/(?s)Judge:.*Second/"}, text: '{"score": 9, "notes": []}'}
  - {when: {task: "/(?s)Are the facts of .*Second/"}, text: They are.}
  - {when: {task: "/(?s)Is the style of .*Second/"}, text: '{"verdict": "good"}'}
  - {when: {task: "/(?s)Expand .*hot.*They are/"}, text: '{"text": "Hot tea."}'}
  - {when: {task: "/(?s)Expand .*cold.*They are/"}, text: '{"text": "Cold tea."}'}
  - {when: {task: "/(?s)What is to be done about .*more/"}, text: More.}
`,
		answers: [][]string{{"decide", "--field", "selected=again", "--field", "why=more"}},
		output:  `^{"title":"TEA","score":9,"texts":"2 points, Hot tea.; Cold tea.","rounds":2,"why":"more"}$`,
		calls:   map[string]int{"loop-draft": 4, "reviews": 2, "points": 2, "outline2": 1},
	},
	"dagu": {
		args:    []string{"--allow", "Bash"},
		script:  "  - {when: {task: Explain queues}, text: They wait.}\n",
		answers: [][]string{{"review", "--field", "grade=A"}, {"image"}},
		output:  `queues it is`, calls: map[string]int{"research": 1},
	},
	"claude-json": {
		args: []string{"-p", "task=the release"},
		setup: func(t *testing.T, dir string) {
			put(t, dir, ".claude/agents/release-manager.md", "---\nname: release-manager\ndescription: releases\n---\nYou release.\n")
		},
		script: "  - {when: {task: the release}, text: Done.}\n",
		output: "^Done.$", calls: map[string]int{"code-reviewer": 1, "doc-writer": 1, "release-manager": 1, "code-reviewer-2": 1},
	},
}

// TestImportsRun runs what the importer makes of its fixtures.
func TestImportsRun(t *testing.T) {
	t.Parallel()
	binary := claudeForce(t)
	archives, err := filepath.Glob("../workflow/importer/testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, path := range archives {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, ok := imports[name]
			if !ok {
				t.Fatal("it is not tried")
			}
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "workflow.yaml")
			for _, section := range ar.Files {
				if section.Name != "out" {
					continue
				}
				if err := os.WriteFile(file, section.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			p.try(t, binary, file)
		})
	}
}
