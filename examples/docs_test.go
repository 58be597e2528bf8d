package examples

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mvdan.cc/sh/v3/shell"

	"github.com/claude-force/claude-force/internal/docexample"
)

// pages are those whose examples are run, with the least number of them.
var pages = map[string]int{
	"docs/workflows.md": 20,
	"docs/agents.md":    0,
	"docs/import.md":    0,
	"docs/models.md":    3,
	"docs/spending.md":  0,
	"docs/tools.md":     1,
	"README.md":         2,
}

// mostNotRun is how many examples in YAML a page may have that cannot be run, each with
// its reason.
const mostNotRun = 1

// TestDocs runs the examples of the documentation on the simulator, each as it
// stands there, in a project of its own, a copy of testdata/project. CONTRIBUTING.md
// says how an example tells what it needs. Commands are checked in cmd/claude-force.
func TestDocs(t *testing.T) {
	for page, least := range pages {
		data, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := docexample.Read(string(data))
		if err != nil {
			t.Fatalf("%s: %v", page, err)
		}
		count := 0
		var notRun []string
		for _, block := range blocks {
			switch {
			case block.NotRun != "" && block.Kind == "yaml":
				notRun = append(notRun, fmt.Sprintf("%s:%d: %s", page, block.Line, block.NotRun))
			case block.NotRun != "" || block.Kind == docexample.Indented:
			case block.Kind == "yaml":
				count++
				t.Run(fmt.Sprintf("%s:%d", page, block.Line), func(t *testing.T) {
					t.Parallel()
					runBlock(t, block)
				})
			case page == "docs/workflows.md":
				t.Errorf("%s:%d: no one knows how to run %q: write yaml, commands that are indented, or <!-- not run: REASON --> above it", page, block.Line, block.Kind)
			}
		}
		if len(notRun) > mostNotRun {
			t.Errorf("these are not run:\n%s\nwant %d or fewer", strings.Join(notRun, "\n"), mostNotRun)
		}
		if count < least {
			t.Errorf("%s has %d examples, want %d or more", page, count, least)
		}
	}
}

// runBlock runs an example, or checks the file that it is.
func runBlock(t *testing.T, block docexample.Block) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a question that no one answers
	defer cancel()
	home, dir := t.TempDir(), t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "project"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS("workflows")); err != nil { // for examples that run another file
		t.Fatal(err)
	}
	if git, err := exec.LookPath("git"); err == nil {
		for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=n", "-c", "user.email=n@example.com", "commit", "-q", "-m", "start"}} {
			cmd := exec.CommandContext(ctx, git, args...)
			cmd.Dir, cmd.Env = dir, []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, out)
			}
		}
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, claudeForce(t), args...)
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + home, "USER=ann", "PATH=" + os.Getenv("PATH")}
		return cmd
	}
	text, err := block.Workflow()
	if err != nil {
		t.Fatal(err)
	}
	name, args := "example.yaml", []string{"workflow", "validate", "example.yaml"}
	switch block.File {
	case "":
	case "settings":
		name, args = "claude-force.yaml", []string{"config", "show"}
	case "agent":
		name, args = ".claude/agents/example.md", []string{"agents", "lint", ".claude/agents/example.md"}
		text = "---\nname: example\ndescription: An example.\n" + text + "---\nWork.\n"
	case "rules":
		name, args = "rules.yaml", []string{"execute", "linter", "Lint.", "--model", "auto", "--simulate=instant"}
	default:
		t.Fatalf("<!-- file: %s -->: want settings, agent or rules", block.File)
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check := command(args...)
	if block.File == "rules" {
		check.Env = append(check.Env, "CLAUDE_FORCE_AUTO_SELECT_RULES="+path)
	}
	out, err := check.CombinedOutput()
	if block.Error != "" {
		if err == nil || !strings.Contains(string(out), block.Error) {
			t.Fatalf("validation says\n%s\nwant: %s", out, block.Error)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, text)
	}
	if block.File != "" {
		return
	}
	flags, err := shell.Fields(block.Flags, nil)
	if err != nil {
		t.Fatalf("<!-- flags: %s -->: %v", block.Flags, err)
	}
	run := command(append([]string{"run", name, "--simulate=instant"}, flags...)...)
	var output bytes.Buffer
	run.Stdout, run.Stderr = &output, &output
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var answering sync.WaitGroup
	answering.Go(func() { answer(t, command, block.Answers, done) })
	err = run.Wait()
	close(done)
	answering.Wait()
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(block.Exit); strconv.Itoa(code) != want && (want != "" || code != 0) {
		t.Errorf("exit code %d, want %q\n%s\n%s", code, want, &output, text)
	}
}

// answer answers the questions of the run that is going on, until it has ended.
func answer(t *testing.T, command func(...string) *exec.Cmd, answers []string, done <-chan struct{}) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for _, line := range answers {
		args, err := shell.Fields(line, nil)
		if err != nil {
			t.Errorf("<!-- answer: %s -->: %v", line, err)
			return
		}
		for command(append([]string{"runs", "approve", "latest"}, args...)...).Run() != nil { // it does not ask yet
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	}
}

// claudeForce returns the path of the command, which is built once.
func claudeForce(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// binaries is the folder of what the tests build.
var binaries string

var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "claude-force")
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/claude-force").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "claude" { // see claudeCode
		if err := standIn(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if binaries, err = os.MkdirTemp("", "claude-force-examples"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(binaries)
	return m.Run()
}
