package claudecode_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/toolset"
)

// TestClaudeCode has Claude Code itself run a step against the simulator, in a network
// that has the loopback interface alone.
func TestClaudeCode(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages")
	}
	if citest.WithClaudeCode(t, "testdata") {
		runWithClient(t)
	}
}

const script = `
rules:
  - when: {task: Look at}
    turns:
      - tools: [{name: Read, input: {file_path: a.txt}}]
      - tools: [{name: Bash, input: {command: touch yes.txt}}]
      - tools: [{name: Bash, input: {command: touch no.txt}}]
      - text: It says hello.
  - when: {task: was stopped before}
    text: It says hello, after all.
`

// client is an orchestrator whose agents are run by Claude Code.
type client struct {
	*claudeforce.Orchestrator
	calls  atomic.Int32
	onTool func(task.ToolEvent)
}

func newClient(t *testing.T, dir string) *client {
	t.Helper()
	answers, err := sim.ParseScript("script", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(dir, "data")
	allow, err := permission.ParseRules("Bash(touch yes.txt)")
	if err != nil {
		t.Fatal(err)
	}
	c := &client{}
	c.Orchestrator, err = claudeforce.New(t.Context(), claudeforce.Options{
		Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{Script: answers}),
		Toolset: &toolset.Options{Policy: permission.Policy{Allow: allow}},
		OnCall:  func(context.Context, record.Call) { c.calls.Add(1) },
		OnTool: func(_ context.Context, ev task.ToolEvent) {
			if c.onTool != nil {
				c.onTool(ev)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) close(t *testing.T) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

const file = `
name: look
agents:
  looker: {description: looks, prompt: You look., tools: [Read, Bash]}
steps:
  - {id: look, agent: looker, task: Look at the file., runner: claude-code}
`

func runWithClient(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := newClient(t, dir)
	wf, err := first.ParseWorkflow("look.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	res, err := first.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	step := res.Steps["look"]
	if step.Output != "It says hello." || step.ToolCalls != 3 || step.Session == nil || step.Session.Version != "2.1.332" || step.CostUSD == nil || *step.CostUSD <= 0 || first.calls.Load() != 4 {
		t.Errorf("the step came to %+v after %d calls", step, first.calls.Load())
	}
	if _, err := os.Stat(filepath.Join(dir, "yes.txt")); err != nil {
		t.Errorf("an allowed command did not run: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "no.txt")); err == nil {
		t.Error("a command ran that no rule allows")
	}
	first.close(t)
	resumeWithClient(t, dir)
}

// resumeWithClient stops a run while Claude Code works, and resumes it.
func resumeWithClient(t *testing.T, dir string) {
	stopped := newClient(t, dir)
	wf, err := stopped.ParseWorkflow("look.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped.onTool = func(ev task.ToolEvent) {
		if ev.Done && ev.Tool == "Read" {
			cancel()
		}
	}
	res, err := stopped.RunWorkflow(ctx, wf, claudeforce.RunOptions{})
	if err == nil {
		t.Fatalf("the run was not stopped: %+v", res.Steps["look"])
	}
	session := res.Steps["look"].Session
	stopped.close(t)
	second := newClient(t, dir)
	defer second.close(t)
	res, err = second.ResumeRun(t.Context(), "latest", claudeforce.ResumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	step := res.Steps["look"]
	// It depends on where the program was stopped whether the model sees a new task or the
	// rest of the old one; in both cases the first calls are not made again.
	calls := second.calls.Load()
	if !strings.HasPrefix(step.Output, "It says hello") || step.Session == nil || session == nil || step.Session.ID != session.ID || calls < 1 || calls > 3 {
		t.Errorf("the resumed step came to %+v of session %v after %d calls, before %+v", step, step.Session, calls, session)
	}
}
