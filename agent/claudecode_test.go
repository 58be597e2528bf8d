package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/agent"
)

// TestAsClaudeCode checks what was seen of Claude Code: which of two files of one name
// counts, how tools are listed, what a description keeps, which names are none.
func TestAsClaudeCode(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, ".claude", "agents", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.md", "---\nname: twin\ndescription: first\n---\n1\n")
	write("b/a.md", "---\nname: twin\ndescription: second\n---\n2\n")
	write("c.md", "---\nname: twin\ndescription: last\n---\n3\n")
	write("d.md", "---\nname: block\ndescription: |\n  one\n  two\ntools: Read Write Bash(git log:*),Grep\n---\nP\n")
	write("e.md", "---\nname: plugin:agent\ndescription: d\n---\nP\n")
	write("f.md", "---\nname: "+strings.Repeat("n", 3000)+"\ndescription: d\n---\nP\n")
	write("g.md", "\xff\xfe-\x00-\x00")
	set, warnings, err := agent.Discover(agent.DiscoverOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range set.All() {
		names = append(names, a.Name)
	}
	if d := cmp.Diff([]string{"block", "twin"}, names); d != "" {
		t.Error(d)
	}
	twin, err := set.Lookup("twin")
	if err != nil || twin.Description != "last" {
		t.Errorf("got %+v, %v", twin, err)
	}
	found, _, err := agent.Find(agent.DiscoverOptions{Dir: dir}, "twin")
	if err != nil || found.Description != "last" {
		t.Errorf("Find returns %+v, %v", found, err)
	}
	block, err := set.Lookup("block")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"Read", "Write", "Bash(git log:*)", "Grep"}, block.Tools); d != "" || block.Description != "one\ntwo\n" {
		t.Error(d, block.Description)
	}
	var all strings.Builder
	for _, w := range warnings {
		all.WriteString(w.String() + "\n")
	}
	for _, want := range []string{"a.md: the agent \"twin\" is defined again", "holds a colon", "longer than 256 bytes", "UTF-16"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no warning %q in\n%s", want, all.String())
		}
	}
	files, scanned := agent.Scan(filepath.Join(dir, ".claude", "agents"))
	if len(files) != 7 || len(scanned) != len(warnings) {
		t.Errorf("Scan finds %d files and %d problems, Discover %d problems", len(files), len(scanned), len(warnings))
	}
}
