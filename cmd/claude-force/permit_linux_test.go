package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claude-force/claude-force/sim"
)

// asking is a command on a terminal of its own, whose agents ask.
type asking struct {
	t      *testing.T
	dir    string
	env    []string
	user   *os.File
	cmd    *exec.Cmd
	screen strings.Builder
}

// startAsking runs the command on a terminal, with a simulator that plays a script.
func startAsking(t *testing.T, dir, script string, args ...string) *asking {
	t.Helper()
	rules, err := sim.ParseScript("script.yaml", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(sim.New(sim.Options{Script: rules}))
	t.Cleanup(service.Close)
	a := &asking{t: t, dir: dir, env: append(os.Environ(), "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
		"HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=")}
	a.start(args...)
	return a
}

// start runs the command on a new terminal, which controls it.
func (a *asking) start(args ...string) {
	a.t.Helper()
	user, program := openPTY(a.t)
	ctx, cancel := context.WithTimeout(a.t.Context(), 5*time.Minute)
	a.t.Cleanup(cancel)
	a.user, a.cmd = user, exec.CommandContext(ctx, "claude-force", args...)
	a.cmd.Dir, a.cmd.Env = a.dir, a.env
	a.cmd.Stdin, a.cmd.Stdout, a.cmd.Stderr = program, program, program
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	program.Close()
	a.screen.Reset()
}

// question returns what the terminal shows until it has asked the next question.
func (a *asking) question() string {
	a.t.Helper()
	return a.until("anything else: no [no] ")
}

// until returns what the terminal shows until it has shown one of the texts.
func (a *asking) until(texts ...string) string {
	a.t.Helper()
	start, one := a.screen.Len(), make([]byte, 1)
	for !slices.ContainsFunc(texts, func(text string) bool { return strings.HasSuffix(a.screen.String()[start:], text) }) {
		if _, err := a.user.Read(one); err != nil {
			a.t.Fatalf("no question: %v\n%s", err, a.screen.String())
		}
		a.screen.Write(one)
	}
	return a.screen.String()[start:]
}

// end returns all that the terminal has shown once the command has ended.
func (a *asking) end() string {
	a.t.Helper()
	data := make([]byte, 4096)
	for {
		n, err := a.user.Read(data)
		a.screen.Write(data[:n])
		if err != nil { // EIO: the last writer has closed it
			break
		}
	}
	_ = a.cmd.Wait() // the screen says what happened
	return a.screen.String()
}

func (a *asking) has(name string) bool {
	_, err := os.Stat(filepath.Join(a.dir, name))
	return err == nil
}

const asksTwice = `
strict: true
rules:
  - when: {task: Lead, turn: 1}
    tools:
      - {name: Agent, input: {description: d, prompt: Write one}}
      - {name: Agent, input: {description: d, prompt: Write two}}
  - {when: {task: Write one, turn: 1}, tools: [{name: Write, input: {file_path: one.txt, content: x}}]}
  - {when: {task: Write two, turn: 1}, tools: [{name: Write, input: {file_path: two.txt, content: x}}]}
  - {when: {task: "/Write|Lead/"}, text: All done.}
`

// withLead returns a folder with the agent lead, which has all tools.
func withLead(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".claude", "agents"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".claude", "agents", "lead.md"), []byte("---\nname: lead\ndescription: leads\n---\nYou lead.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startedByLead starts an agent that starts two, which both ask.
func startedByLead(t *testing.T) *asking {
	t.Helper()
	return startAsking(t, withLead(t), asksTwice, "execute", "lead", "Lead", "--no-cache")
}

// TestTwoQuestions answers the questions of two agents that work at once: each gets
// its own answer, in whatever order they are asked.
func TestTwoQuestions(t *testing.T) {
	t.Parallel()
	a := startedByLead(t)
	for range 2 {
		if strings.Contains(a.question(), `"file_path": "one.txt"`) {
			fmt.Fprint(a.user, "y\n")
		} else {
			fmt.Fprint(a.user, "n\n")
		}
	}
	screen := a.end()
	if !a.has("one.txt") || a.has("two.txt") || !strings.Contains(screen, "All done.") {
		t.Errorf("one.txt %v, two.txt %v\n%s", a.has("one.txt"), a.has("two.txt"), screen)
	}
}

// TestNoAnswer covers questions that get none: the user interrupts the command, and
// the terminal is closed. Nothing runs, and no further question is asked.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	t.Run("Ctrl-C", func(t *testing.T) {
		t.Parallel()
		a := startedByLead(t)
		a.question()
		fmt.Fprint(a.user, "\x03")
		screen := a.end()
		if a.has("one.txt") || a.has("two.txt") || strings.Count(screen, "Allow it?") > 1 || strings.Contains(screen, "All done.") || a.cmd.ProcessState.Success() {
			t.Errorf("%v\n%s", a.cmd.ProcessState, screen)
		}
	})
	t.Run("closed terminal", func(t *testing.T) {
		t.Parallel()
		a := startedByLead(t)
		a.question()
		a.user.Close()
		_ = a.cmd.Wait() // it ends, which is what matters
		if a.has("one.txt") || a.has("two.txt") {
			t.Error("a call ran that no one allowed")
		}
	})
}

// TestAQuestionSteersNoTerminal asks about a command of hostile texts.
func TestAQuestionSteersNoTerminal(t *testing.T) {
	t.Parallel()
	dir := withLead(t)
	command, err := json.Marshal("echo " + strings.ToValidUTF8(strings.Join(hostileTexts()[:100], "\n"), "?") + "\nAllow it? y: yes, a: always in this run, anything else: no [no] y")
	if err != nil {
		t.Fatal(err)
	}
	a := startAsking(t, dir, `
rules:
  - {when: {turn: 1}, tools: [{name: Bash, input: {description: harmless, command: `+string(command)+`}}]}
  - {when: {turn: 2, result: {tool: Bash, error: true}}, text: It was refused.}
`, "execute", "lead", "Go", "--no-cache")
	// The text of the command ends as a question does, in a line of its own.
	shown := a.question()
	if last := shown[strings.LastIndexByte(shown, '\n')+1:]; strings.HasPrefix(last, "  | ") {
		shown += a.question()
	}
	fmt.Fprint(a.user, "n\n")
	screen := a.end()
	if !strings.Contains(screen, "It was refused.") || strings.Contains(shown, "harmless") {
		t.Errorf("the screen: %s", screen)
	}
	checkScreen(t, []string{"execute"}, strings.ReplaceAll(shown, "\r\n", "\n"))
}

// TestADecisionIsNotAskedAgain approves a call while no process runs the workflow. On
// a terminal the resumed run does not ask about it.
func TestADecisionIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	dir := withLead(t)
	if err := os.WriteFile(filepath.Join(dir, "w.yaml"), []byte("name: w\nsteps: [{id: work, agent: lead, task: Work}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `
strict: true
rules:
  - {when: {task: Work, turn: 1}, tools: [{name: Write, input: {file_path: one.txt, content: x}}]}
  - {when: {task: Work}, text: All done.}
`
	a := startAsking(t, dir, script, "version")
	a.end()
	without := func(args ...string) *exec.Cmd { // a terminal
		cmd := exec.CommandContext(t.Context(), "claude-force", args...)
		cmd.Dir, cmd.Env = dir, a.env
		return cmd
	}
	dead := without("run", "w.yaml", "--no-cache", "--approvals", "durable")
	says, err := dead.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	one := make([]byte, 1)
	for !strings.Contains(text.String(), "runs approve") || !strings.HasSuffix(text.String(), "\n") {
		if _, err := says.Read(one); err != nil {
			t.Fatalf("the run does not wait: %v\n%s", err, text.String())
		}
		text.Write(one)
	}
	if err := dead.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = dead.Wait()
	words := strings.Fields(text.String()[strings.Index(text.String(), "runs approve"):])
	if out, err := without("runs", "approve", words[2], words[3]).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a.start("runs", "resume", words[2])
	screen := a.end()
	if strings.Contains(screen, "Allow it?") || !a.has("one.txt") || !strings.Contains(screen, "All done.") {
		t.Errorf("one.txt %v\n%s", a.has("one.txt"), screen)
	}
}
