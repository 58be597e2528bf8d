package claudecode_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/claudecode"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	if filepath.Base(os.Args[0]) == "claude" {
		os.Exit(standIn(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// standIn does what the program does, and what it does only when it fails: the task says
// which.
func standIn(args []string) int {
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	session := after(args, "--session-id") + after(args, "--resume")
	say := func(format string, a ...any) { fmt.Printf(format+"\n", a...) }
	result := func(text string) {
		data, _ := json.Marshal(text)
		say(`{"type":"result","subtype":"success","is_error":false,"result":%s,"num_turns":1,"total_cost_usd":0.5,"stop_reason":"end_turn","session_id":%q}`, data, session)
	}
	does := func(name string) bool { return strings.Contains(line, "do: "+name) }
	if slices.Contains(args, "--resume") {
		say(`{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation found with session ID: %s"]}`, session)
		return 1
	}
	say(`{"type":"system","subtype":"init","session_id":%q,"claude_code_version":"9.9.9"}`, session)
	switch {
	case does("die"):
		fmt.Fprintln(os.Stderr, "segmentation fault")
		return 3
	case does("garbage"):
		say("<html>\x1b[31mno JSON")
		return 0
	case does("long line"):
		piece := strings.Repeat("x", 1<<20)
		for range 70 {
			fmt.Print(piece)
		}
		return 0
	case does("hang"):
		say(`{"type":"assistant","message":{"content":[{"type":"text","text":"working"}]}}`)
		select {}
	case does("environment"):
		result(ask() + strings.Join(os.Environ(), "\n"))
		return 0
	case does("nothing"):
		result("I know it by heart")
		return 0
	case does("tools"):
		var answers []string
		for _, use := range []string{`{"tool_name":"Bash","tool_input":{}}`, `{"tool_name":"Read","tool_input":{"file_path":"ok"}}`, `{"tool_name":"Read","tool_input":{"file_path":"no"}}`} {
			answers = append(answers, post("/permission", use))
		}
		result(ask() + strings.Join(answers, ""))
		return 0
	case does("turns"):
		say(`{"type":"result","subtype":"error_max_turns","is_error":true,"num_turns":7}`)
		return 1
	}
	answer := ask()
	if strings.Contains(answer, `"type":"error"`) {
		say(`{"type":"result","subtype":"success","is_error":true,"result":"API Error: 402"}`)
		return 1
	}
	if slices.Contains(args, "--json-schema") {
		say(`{"type":"result","subtype":"success","result":"","structured_output":{"n":1},"num_turns":2}`)
		return 0
	}
	result("done")
	if does("stay") {
		select {}
	}
	return 0
}

func after(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 {
		return args[i+1]
	}
	return ""
}

func ask() string {
	return post("/v1/messages", `{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`)
}

func post(path, body string) string {
	req, err := http.NewRequest(http.MethodPost, os.Getenv("ANTHROPIC_BASE_URL")+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("ANTHROPIC_AUTH_TOKEN"))
	req.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return string(data)
}

// world is what tasks run in: the stand-in, and the pipeline on a simulator.
type world struct {
	t      *testing.T
	runner *claudecode.Runner
}

func newWorld(t *testing.T, adjust func(*config.Config)) *world {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Sources{Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = t.TempDir()
	if adjust != nil {
		adjust(cfg)
	}
	calls, err := pipeline.New(t.Context(), cfg, pipeline.Options{Simulator: sim.New(sim.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := calls.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t, claudecode.New(claudecode.Options{Upstream: calls, Dir: t.TempDir(), Path: self, Grace: 50 * time.Millisecond})}
}

func conversation(does string) task.Conversation {
	return task.Conversation{
		Agent: &agent.Agent{Name: "a", Prompt: "You test."}, Session: "11111111-1111-4111-8111-111111111111",
		Request: &llm.Request{Agent: "a", Model: "claude-haiku-4-5", Messages: []llm.Message{llm.UserText("do: " + does)}},
	}
}

func TestAnswer(t *testing.T) {
	w := newWorld(t, nil)
	for _, does := range []string{"call", "stay"} {
		out, err := w.runner.Run(t.Context(), conversation(does))
		if err != nil || out.Output != "done" || out.Calls != 1 || out.CostUSD == nil || out.Turns != 1 {
			t.Fatalf("%s: %+v, %v", does, out, err)
		}
		if s := out.Session; s == nil || s.ID != "11111111-1111-4111-8111-111111111111" || s.Version != "9.9.9" || *s.CostUSD != 0.5 {
			t.Errorf("%s: session %+v", does, s)
		}
	}
	c := conversation("call")
	c.Task.Schema = json.RawMessage(`{"type":"object"}`)
	if out, err := w.runner.Run(t.Context(), c); err != nil || out.Output != `{"n":1}` {
		t.Errorf("with a schema: %+v, %v", out, err)
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t, nil)
	for _, test := range []struct {
		does, want string
		code       llm.Code
	}{
		{"die", "exit status 3); it said: segmentation fault", llm.CodeIncomplete},
		{"garbage", "it said: <html>", llm.CodeIncomplete},
		{"long line", "a line of more than 64 MB", llm.CodeIncomplete},
		{"nothing", "made no call through this program", llm.CodeInternal},
		{"turns", "not done after 7 turns", llm.CodeInternal},
	} {
		out, err := w.runner.Run(t.Context(), conversation(test.does))
		if err == nil || !strings.Contains(err.Error(), test.want) || llm.CodeOf(err) != test.code || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %q is not about %q", test.does, err, test.want)
		}
		if out.CostUSD == nil || *out.CostUSD != 0 {
			t.Errorf("%s: cost %v", test.does, out.CostUSD)
		}
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := conversation("hang")
	c.OnText = func(string) { cancel() }
	if _, err := w.runner.Run(ctx, c); llm.CodeOf(err) != llm.CodeCanceled {
		t.Errorf("canceled: %v", err)
	}
}

// TestEnvironment checks that no credential of ours reaches the program, beside the
// token of its task, and that this one is not good for longer.
func TestEnvironment(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-canary")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "canary")
	t.Setenv("HTTPS_PROXY", "http://canary.invalid")
	out, err := newWorld(t, nil).runner.Run(t.Context(), conversation("environment"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.Output, "canary") || !strings.Contains(out.Output, "ANTHROPIC_BASE_URL=http://127.0.0.1:") {
		t.Errorf("the environment is %s", out.Output)
	}
}

func TestPermission(t *testing.T) {
	env, err := tool.NewEnv(t.TempDir(), tool.Options{Gate: func(_ context.Context, _ *tool.Env, name string, input json.RawMessage) error {
		if strings.Contains(string(input), "ok") {
			return nil
		}
		return errors.New(name + " is not for you")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Close()
	c := conversation("tools")
	c.Env, c.Tools = env, []string{"Read"}
	out, err := newWorld(t, nil).runner.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the agent has no tool Bash", `"permissionDecision":"allow"`, "Read is not for you"} {
		if !strings.Contains(out.Output, want) {
			t.Errorf("%q is not in %s", want, out.Output)
		}
	}
}

func TestBudget(t *testing.T) {
	w := newWorld(t, func(cfg *config.Config) {
		limit := 0.0000001
		cfg.Budget.Call = &limit
	})
	if _, err := w.runner.Run(t.Context(), conversation("call")); err == nil || !strings.Contains(err.Error(), "budget") {
		t.Errorf("a call beyond the budget: %v", err)
	}
}

func TestResumeOfASessionThatWasNotKept(t *testing.T) {
	w := newWorld(t, nil)
	c := conversation("call")
	c.Resume = true
	if out, err := w.runner.Run(t.Context(), c); err != nil || out.Output != "done" {
		t.Errorf("%+v, %v", out, err)
	}
}
