// Package examples holds small programs that use claude-force, each in a folder
// of its own, and the test that runs them all against the simulator.
package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
)

func TestExamples(t *testing.T) {
	// What each prints; time and text differ between machines and models.
	want := map[string]string{
		"sequential": `^Completed 3 tasks in [\d.]+s\n$`,
		"parallel":   `^Completed 3 tasks in [\d.]+s\nThroughput: [\d.]+ tasks/second\n$`,
		"multiple":   `(?s)simulat.*Task 0: .*\nTask 1: .*\nTask 2: `,
		"cache":      `(?s)^First call \(live, .*Second call \(cache, .*Cache hit rate: 0.50\n$`,
		"review":     `(?s)^Running parallel checks...\n  Parallel checks completed in .*simulat.*Workflow completed in `,
		"workflow":   `(?s)linter.*type-check.*Completed in [\d.]+s\nExecution order: linter, type-check, review\n$`,
		"limits":     `^100 done, 0 failed\nmost calls in flight: (?:[1-9]|10)\n$`,
	}
	folders, err := filepath.Glob("*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) != len(want) {
		t.Errorf("there are %d examples and %d expectations", len(folders), len(want))
	}
	for _, main := range folders {
		name := filepath.Dir(main)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			binary := filepath.Join(t.TempDir(), name)
			if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./"+name).CombinedOutput(); err != nil {
				t.Fatalf("building: %v\n%s", err, out)
			}
			home := t.TempDir()
			cmd := exec.CommandContext(t.Context(), binary)
			cmd.Dir = home
			cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !regexp.MustCompile(want[name]).Match(out) {
				t.Errorf("printed\n%s\nwant %s", out, want[name])
			}
		})
	}
}

func TestWorkflowFiles(t *testing.T) {
	files, err := filepath.Glob("workflows/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		if _, err := claudeforce.LoadWorkflow("", file); err != nil {
			t.Error(err)
		}
	}
}
