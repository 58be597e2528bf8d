package claudeforce_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

// world is a project whose workflow is run again and again, each time by another
// orchestrator.
type world struct {
	t         *testing.T
	dir, data string
	script    string
	workflow  string
	change    func(*claudeforce.Options)
	run       func(*claudeforce.RunOptions)
}

// outcome is what came of a run of the step named last.
type outcome struct {
	claudeforce.Explanation
	output          string
	requests, calls int32 // of the service, and of tools
}

func (w *world) again() outcome {
	w.t.Helper()
	rules, err := sim.ParseScript("script.yaml", []byte(w.script))
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, err := config.Load(config.Sources{Dir: w.dir, Home: w.dir, Getenv: func(string) string { return "" }})
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.DataDir = w.data
	var out outcome
	var calls atomic.Int32
	opts := claudeforce.Options{
		Dir: w.dir, Config: cfg, Simulator: sim.New(sim.Options{Script: rules}),
		Agents:  []*agent.Agent{{Name: "editor", Description: "edits", AllTools: true, Model: "haiku"}},
		Toolset: &toolset.Options{Policy: permission.Policy{Mode: permission.ModeAcceptEdits}},
		OnTool: func(_ context.Context, ev task.ToolEvent) {
			if !ev.Done {
				calls.Add(1)
			}
		},
	}
	if w.change != nil {
		w.change(&opts)
	}
	o, err := claudeforce.New(w.t.Context(), opts)
	if err != nil {
		w.t.Fatal(err)
	}
	defer o.Close()
	wf, err := o.ParseWorkflow("review.yaml", []byte(w.workflow))
	if err != nil {
		w.t.Fatal(err)
	}
	run := claudeforce.RunOptions{OnExplain: func(_ context.Context, x claudeforce.Explanation) { out.Explanation = x }}
	if w.run != nil {
		w.run(&run)
	}
	planned, err := o.Plan(w.t.Context(), wf, run)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := o.RunWorkflow(w.t.Context(), wf, run)
	if err != nil {
		w.t.Fatal(err)
	}
	out.output, out.calls = res.Steps["review"].Output, calls.Load()
	if res.Steps["review"].Source == llm.SourceLive {
		out.requests = int32(res.Steps["review"].Calls)
	}
	if foreseen := planned.Steps[0].Source == plan.SourceCached; foreseen != (out.Reused && out.calls == 0) {
		w.t.Errorf("the plan says %s, and the run: %v, %d calls of tools", planned.Steps[0].Source, out.Reason, out.calls)
	}
	return out
}

// expect runs the workflow and compares what came of it. A step that is reused makes no
// requests and calls no tool.
func (w *world) expect(what, want string) outcome {
	w.t.Helper()
	got := w.again()
	if text := fmt.Sprintf("%v: %s", got.Reused, got.Reason); !strings.Contains(text, want) {
		w.t.Errorf("%s: %s, want %s", what, text, want)
	}
	if reused := strings.HasPrefix(want, "true"); reused && (got.requests != 0 || got.calls != 0) || !reused && got.calls == 0 {
		w.t.Errorf("%s: %d requests and %d calls of tools", what, got.requests, got.calls)
	}
	return got
}

const (
	reviewed = "name: review\nsteps:\n  - {id: review, agent: editor, task: Review}\n"
	same     = "true: nothing has changed, nor has anything that it saw"
)

// A step with tools is reused while what it saw is unchanged, without a request and a
// call of a tool, and otherwise says what differs: it read 30 of 200 files.
func TestReviewIsReusedWhileWhatItReadIsUnchanged(t *testing.T) {
	dir := t.TempDir()
	var reads strings.Builder
	for n := range 200 {
		put(t, dir, fmt.Sprintf("src/f%03d.go", n), fmt.Sprintf("package f // %d\n", n))
		if n < 30 {
			fmt.Fprintf(&reads, "      - {name: Read, input: {file_path: src/f%03d.go}}\n", n)
		}
	}
	w := &world{t: t, dir: dir, data: filepath.Join(t.TempDir(), "data"), workflow: reviewed, script: "strict: true\nrules:\n" +
		"  - {when: {task: Review, turn: 1}, tools: [{name: Glob, input: {pattern: \"src/f0*.go\", path: .}}, {name: Grep, input: {pattern: \"f // 1$\"}}, {name: Read, input: {file_path: missing.go}}]}\n" +
		"  - when: {task: Review, turn: 2}\n    tools:\n" + reads.String() +
		"  - {when: {task: Review}, text: Fine.}\n"}
	w.expect("the first run", "false: no earlier run")
	w.expect("nothing changed", same)
	put(t, dir, "src/f150.go", "package other\n")
	w.expect("a file that was not read", same)
	put(t, dir, "src/f050.go", "package other\n")
	w.expect("a file that was listed and not read", same)
	put(t, dir, "src/f017.go", "package other\n")
	w.expect("a file that was read", "false: file src/f017.go, which it read, changed")
	w.expect("again", same)
	if err := os.Remove(filepath.Join(dir, "src/f180.go")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "src/f180.go", "package f // 180\n")
	w.expect("a file that is new and the same", same)
	put(t, dir, "src/f0new.go", "package f\n")
	w.expect("a new file that the glob lists", "false: the files that match src/f0*.go changed")
	put(t, dir, "missing.go", "package f\n")
	w.expect("a file that was missing", "false: file missing.go, which it read, changed")
	put(t, dir, "src/f160.go", "package f // 1\n")
	w.expect("a file that the search finds", "false: what a search for f // 1$ found changed")
	w.expect("again", same)
	w.workflow = strings.Replace(reviewed, "task: Review", "task: Review it", 1)
	w.expect("another task", "false: task")
	w.expect("again", same)
	w.change = func(o *claudeforce.Options) { o.Toolset.Policy.Mode = permission.ModeDefault }
	if got := w.again(); got.calls == 0 { // the answers are in the cache, the tools are called
		t.Errorf("with other permissions no tool was called: %s", got.Reason)
	}
	w.expect("again", same)
	w.run = func(o *claudeforce.RunOptions) { o.Policy = llm.PolicyRefresh }
	w.expect("a re-run that was asked for", "false: re-run, as requested")
}

// Steps that may not be reused make their calls.
func TestWhatIsNotReused(t *testing.T) {
	for _, c := range []struct {
		name, step, tools string
		edit              func(dir string) error
		calls             bool // made in the second run
		reason            string
	}{
		{"a file that it wrote", "", `{name: Write, input: {file_path: out.txt, content: x}}`, nil, false, ""},
		{"a file that it wrote and is gone", "", `{name: Write, input: {file_path: out.txt, content: x}}`,
			func(dir string) error { return os.Remove(filepath.Join(dir, "out.txt")) }, true, ""},
		{"a file that it wrote and another changed", "", `{name: Write, input: {file_path: out.txt, content: x}}`,
			func(dir string) error { return os.WriteFile(filepath.Join(dir, "out.txt"), []byte("y"), 0o600) }, true, ""},
		{"a file that it edited", "", `{name: Edit, input: {file_path: a.txt, old_string: one, new_string: two}}`, nil, true, "it changed file a.txt, which it had read"},
		{"effects", "effects: idempotent, ", `{name: Read, input: {file_path: a.txt}}`, nil, true, "it has effects"},
		{"the web", "", `{name: WebFetch, input: {url: "https://127.0.0.1:1/", prompt: x}}`, nil, true, ""},
		{"a denied call", "", `{name: Read, input: {file_path: ../a.txt}}`, nil, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "a.txt", "one\n")
			w := &world{t: t, dir: dir, data: filepath.Join(t.TempDir(), "data"),
				workflow: strings.Replace(reviewed, "agent:", c.step+"agent:", 1),
				script:   "rules:\n  - {when: {task: Review, turn: 1}, tools: [" + c.tools + "]}\n  - {when: {task: Review}, text: Fine.}\n"}
			w.expect("the first run", "false: ")
			if c.edit != nil {
				if err := c.edit(dir); err != nil {
					t.Fatal(err)
				}
			}
			got := w.again()
			if (got.calls > 0) != c.calls || !strings.Contains(got.Reason, c.reason) || got.output != "Fine." {
				t.Errorf("%d calls of tools, %q, %q", got.calls, got.Reason, got.output)
			}
			if data, err := os.ReadFile(filepath.Join(dir, "out.txt")); strings.Contains(c.tools, "out.txt") && (err != nil || string(data) != "x") {
				t.Errorf("the file has %q, %v", data, err)
			}
		})
	}
}

// What the cache would not keep, or no longer has, is not reused.
func TestReuseIsBoundedAsTheCacheIs(t *testing.T) {
	for name, change := range map[string]func(o *claudeforce.Options){
		"setting for all":       func(o *claudeforce.Options) { o.Config.Cache.TTL = 1 },
		"setting for the agent": func(o *claudeforce.Options) { o.Config.Cache.AgentTTL = map[string]time.Duration{"editor": 1} },
		"nothing of the agent":  func(o *claudeforce.Options) { o.Config.Cache.AgentTTL = map[string]time.Duration{"editor": 0} },
		"the agent's file":      func(o *claudeforce.Options) { o.Agents[0].CacheTTL = 1 },
		"excluded":              func(o *claudeforce.Options) { o.Config.Cache.ExcludeAgents = []string{"editor"} },
		"off":                   func(o *claudeforce.Options) { o.Config.Cache.Enabled = false },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "a.txt", "one\n")
			w := &world{t: t, dir: dir, data: filepath.Join(t.TempDir(), "data"), workflow: reviewed,
				script: "rules:\n  - {when: {task: Review, turn: 1}, tools: [{name: Read, input: {file_path: a.txt}}]}\n  - {when: {task: Review}, text: Fine.}\n"}
			w.expect("the first run", "false: ")
			w.expect("nothing changed", same)
			w.change = change
			if got := w.again(); got.calls != 1 {
				t.Errorf("%d calls of tools; want 1: %s", got.calls, got.Reason)
			}
		})
	}
}

// A command depends on all files, or those that the step names.
func TestStepWithACommandIsReused(t *testing.T) {
	if missing := sandbox.Probe().Missing(); len(missing) > 0 {
		citest.Missing(t, "no isolation: %v", missing)
	}
	dir := t.TempDir()
	put(t, dir, "src/a.go", "package a\n")
	put(t, dir, "notes.md", "one\n")
	rule, err := permission.ParseRule("Bash(wc *)")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, data: filepath.Join(t.TempDir(), "data"), workflow: reviewed,
		change: func(o *claudeforce.Options) { o.Toolset.Policy.Allow = []permission.Rule{rule} },
		script: "rules:\n  - {when: {task: Review, turn: 1}, tools: [{name: Bash, input: {command: wc -l src/a.go}}]}\n  - {when: {task: Review}, text: Fine.}\n"}
	w.expect("the first run", "false: ")
	w.expect("nothing changed", same)
	put(t, dir, "notes.md", "two\n")
	if got := w.again(); got.calls != 1 {
		t.Errorf("a file changed, and the command ran %d times: %s", got.calls, got.Reason)
	}
	w.workflow = strings.Replace(reviewed, "agent:", "reads: src/**, agent:", 1)
	if got := w.again(); got.calls != 1 {
		t.Errorf("other files count, and the command ran %d times: %s", got.calls, got.Reason)
	}
	put(t, dir, "notes.md", "three\n")
	w.expect("a file that does not count", same)
	awaitFileClock(t)
	put(t, dir, "src/a.go", "package a\n\n")
	w.expect("a file that counts", "false: file src/a.go, which a command that it ran may have read, changed")
	w.workflow, w.script = reviewed, strings.Replace(w.script, "wc -l src/a.go", "wc -l notes.md src/*", 1)
	put(t, dir, "src/b.go", "package a\n")
	w.again()
	for name, where := range map[string]string{"notes.md": "the working folder", "src/b.go": "folder src"} {
		awaitFileClock(t)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		w.expect(name+" is gone", "false: files were added to "+where+" or removed from it, which a command that it ran may have read")
	}
}

// awaitFileClock returns once the clock by which the system dates files has passed the
// present time. It advances in steps of some milliseconds, so that a file that is changed
// now could be dated before now.
func awaitFileClock(t *testing.T) {
	t.Helper()
	now, probe := time.Now(), filepath.Join(t.TempDir(), "probe")
	for range 1_000_000 {
		if err := os.WriteFile(probe, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(probe); err != nil || info.ModTime().After(now) {
			return
		}
		if err := os.Remove(probe); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the clock of files stands still")
}
