package examples

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/citest"
)

// answers are those to the questions of an example, by its file.
var answers = map[string][][]string{
	"approval.yaml": {nil},
	"choices.yaml":  {{"where", "--choice", "staging"}, {"details", "--field", "version=1.2", "--field", "urgent=true"}},
}

func TestExamples(t *testing.T) {
	// What each prints; time and text differ between machines and models.
	want := map[string]string{
		"sequential": `^Completed 3 tasks in [\d.]+s\n$`,
		"parallel":   `^Completed 3 tasks in [\d.]+s\nThroughput: [\d.]+ tasks/second\n$`,
		"multiple":   `(?s)simulat.*Task 0: .*\nTask 1: .*\nTask 2: `,
		"cache":      `(?s)^First call \(live, .*Second call \(cache, .*Cache hit rate: 0.50\n$`,
		"review":     `(?s)^Running parallel checks...\n  Parallel checks completed in .*simulat.*Workflow completed in `,
		"workflow":   `(?s)linter.*type-check.*Completed in [\d.]+s\nExecution order: linter, type-check, review\n$`,
		"progress":   `(?s)^ 1/10 .*: [\d.]+s, \$0\.\d{4}, .*\n10/10 .* so far\n$`,
		"typed":      `^\d+ days, \d+ risks, by claude-haiku-`,
		// The first process may print what came of the run after the second has resumed it.
		"control": `second process: canceling after design\n(?s)(first process: the run is cancelled \(run run_\w+ .*\)\n.*second process: the run is completed\n|second process: the run is completed\n.*first process: the run is cancelled \(run run_\w+ .*\)\n)$`,
		"tools":   `^We have 3 lamps. \(2 turns, 1 tool calls\)\n$`,
		"limits":  `^100 done, 0 failed\nmost calls in flight: (?:[1-9]|10)\n$`,
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
			code, err := os.ReadFile(main)
			if err != nil {
				t.Fatal(err)
			}
			if lines := bytes.Count(code, []byte("\n")); lines >= 60 {
				t.Errorf("%s has %d lines; an example is shorter than 60", main, lines)
			}
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

// TestWorkflowFilesRun runs every workflow file on the simulator, by the command
// and from the project's folder, as the files say. What asks a person is answered
// from a second process.
func TestWorkflowFilesRun(t *testing.T) {
	binary := claudeForce(t)
	files, err := filepath.Glob("workflows/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %v, %v", files, err)
	}
	params := map[string][]string{ // of those that do not run without
		"review-folder.yaml":     {"--param", "path=examples/limits"},
		"sub-workflow-part.yaml": {"--param", "topic=caching"},
		"read-only-review.yaml":  {"--script", "examples/simulated/acting.yaml", "--allow", "Edit"},
		"fix-in-worktree.yaml":   {"--allow", "Edit"},
		"files.yaml":             {"--allow", "Edit(reports/**)"},
		"requests.yaml":          {"--param", "api=" + issues(t), "--allow", "WebFetch(domain:127.0.0.1)"},
		"save.yaml":              {"--allow", "Edit(reports/**)"},
	}
	turns := map[string]map[string]int{ // of steps whose agents act
		"read-only-review.yaml": {"review": 2},
		"fix-in-worktree.yaml":  {"fix": 3, "review": 1},
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			home, path := t.TempDir(), os.Getenv("PATH")
			if filepath.Base(file) == "claude-code.yaml" {
				path = claudeCode(t) + string(filepath.ListSeparator) + path
			}
			command := func(args ...string) *exec.Cmd {
				cmd := exec.CommandContext(t.Context(), binary, args...)
				cmd.Dir, cmd.Env = "..", []string{"HOME=" + home, "PATH=" + path}
				return cmd
			}
			args := append([]string{"run", "examples/" + filepath.ToSlash(file), "--simulate=instant", "--json"}, params[filepath.Base(file)]...)
			run := command(args...)
			repository := ""
			if filepath.Base(file) == "fix-in-worktree.yaml" {
				repository = brokenProject(t)
				run.Args[2] = filepath.Join(here(t), run.Args[2])
				run.Args = append(run.Args, "--script", filepath.Join(here(t), "examples", "simulated", "acting.yaml"))
				run.Dir = repository
			}
			if filepath.Base(file) == "changed-files.yaml" {
				run.Args[2], run.Dir = filepath.Join(here(t), run.Args[2]), brokenProject(t)
				if err := os.WriteFile(filepath.Join(run.Dir, "new.go"), []byte("package sum\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if name := filepath.Base(file); name == "files.yaml" || name == "save.yaml" { // they write
				run.Args[2] = filepath.Join(here(t), run.Args[2])
				run.Dir = t.TempDir()
				if err := os.CopyFS(filepath.Join(run.Dir, "docs"), os.DirFS(filepath.Join("testdata", "pages"))); err != nil {
					t.Fatal(err)
				}
			}
			var out, errs bytes.Buffer
			run.Stdout, run.Stderr = &out, &errs
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			stop := answering(command, answers[filepath.Base(file)])
			err := run.Wait()
			stop()
			if err != nil {
				t.Fatalf("%v\n%s%s", err, &out, &errs)
			}
			var res engine.Result
			if err := json.Unmarshal(out.Bytes(), &res); err != nil || res.Status != engine.StatusCompleted {
				t.Errorf("%v, status %q\n%s", err, res.Status, &errs)
			}
			if filepath.Base(file) == "claude-code.yaml" {
				step := res.Steps["explore"]
				if step == nil || step.Session == nil || step.Session.Version != "9.9.9" || step.Calls != 1 || step.CostUSD == nil || *step.CostUSD <= 0 {
					t.Errorf("Claude Code did not run the step: %+v", step)
				}
			}
			for step, want := range turns[filepath.Base(file)] {
				if r := res.Steps[step]; r == nil || r.Turns != want {
					t.Errorf("step %s took other turns than %d:\n%s", step, want, &out)
				}
			}
			if repository == "" {
				return
			}
			data, err := os.ReadFile(filepath.Join(repository, "sum.go"))
			if err != nil || !bytes.Contains(data, []byte("a - b")) {
				t.Errorf("the project was changed: %v\n%s", err, data)
			}
			patch := command("runs", "diff", "latest", "fix")
			patch.Dir = repository
			if text, err := patch.CombinedOutput(); err != nil || !bytes.Contains(text, []byte("+func Sum(a, b int) int { return a + b }")) {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

// answering answers the questions of the latest run from a second process, one after the
// other, until stop is called.
func answering(command func(args ...string) *exec.Cmd, answers [][]string) (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for _, answer := range answers {
			for command(append([]string{"runs", "approve", "latest"}, answer...)...).Run() != nil { // it does not ask yet
				select {
				case <-ticker.C:
				case <-done:
					return
				}
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

// issues returns the URL of a server that has issues and takes one report.
func issues(t *testing.T) string {
	t.Helper()
	var reports atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("GET /issues", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("state") == "open" {
			_, _ = io.WriteString(w, `[{"title":"a"},{"title":"b"}]`)
		}
	})
	mux.HandleFunc("POST /reports", func(w http.ResponseWriter, r *http.Request) {
		var report struct{ Teams []string }
		err := json.NewDecoder(r.Body).Decode(&report)
		if reports.Add(1) > 1 || err != nil || len(report.Teams) != 2 || r.Header.Get("Idempotency-Key") == "" {
			http.Error(w, "no report", http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// brokenProject returns a repository with a mistake in it.
func brokenProject(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		citest.Missing(t, "git is missing: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sum.go"), []byte("package sum\n\nfunc Sum(a, b int) int { return a - b }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=n", "-c", "user.email=n@example.com", "commit", "-q", "-m", "start"}} {
		git := exec.CommandContext(t.Context(), "git", args...)
		git.Dir = dir
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

// here returns the project's folder.
func here(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
