package claudeforce_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
)

// A step with tools is run again if what it saw differs, and says what that was: it
// read 30 of 200 files.
func TestReviewIsReusedWhileWhatItReadIsUnchanged(t *testing.T) {
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	var reads strings.Builder
	for n := range 200 {
		put(t, dir, fmt.Sprintf("src/f%03d.go", n), fmt.Sprintf("package f // %d\n", n))
		if n < 30 {
			fmt.Fprintf(&reads, "      - {name: Read, input: {file_path: src/f%03d.go}}\n", n)
		}
	}
	script := "strict: true\nrules:\n" +
		"  - {when: {task: Review, turn: 1}, tools: [{name: Glob, input: {pattern: \"src/f00*.go\"}}, {name: Read, input: {file_path: missing.go}}]}\n" +
		"  - when: {task: Review, turn: 2}\n    tools:\n" + reads.String() +
		"  - {when: {task: Review}, text: Fine.}\n"
	run := func(what, want string) {
		t.Helper()
		o := acting(t, dir, data, script)
		wf, err := o.ParseWorkflow("review.yaml", []byte("name: review\nsteps:\n  - {id: review, agent: editor, task: Review}\n"))
		if err != nil {
			t.Fatal(err)
		}
		var got claudeforce.Explanation
		_, err = o.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{OnExplain: func(_ context.Context, x claudeforce.Explanation) { got = x }})
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprintf("%v: %s", got.Reused, got.Reason); !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s", what, text, want)
		}
	}
	run("the first run", "false: no earlier run")
	run("nothing changed", "true: nothing has changed")
	put(t, dir, "src/f150.go", "package other\n")
	run("a file that was not read", "true: nothing has changed")
	put(t, dir, "src/f017.go", "package other\n")
	run("a file that was read", "false: file src/f017.go, which it read, changed")
	run("again", "true: nothing has changed")
	put(t, dir, "src/f00new.go", "package f\n")
	run("a new file that the glob lists", "false: the files that match src/f00*.go changed")
	put(t, dir, "missing.go", "package f\n")
	run("a file that was missing", "false: file missing.go, which it read, changed")
	run("again", "true: nothing has changed")
}
