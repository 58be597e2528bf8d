package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// mcpProcess is a session with an MCP server in a process of its own.
type mcpProcess struct {
	*mcp.ClientSession
	cmd *exec.Cmd
}

// startMCP starts a server as clients do, and connects to it.
func startMCP(t *testing.T, dir string, env []string, args ...string) *mcpProcess {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "claude-force", append([]string{"mcp"}, args...)...)
	cmd.Dir, cmd.Env = dir, env
	client := mcp.NewClient(&mcp.Implementation{Name: "tester", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() }) // it may have been killed
	return &mcpProcess{session, cmd}
}

// call calls a tool that must work.
func (p *mcpProcess) call(t *testing.T, tool string, arguments map[string]any) (run struct {
	ID     string `json:"run_id"`
	Status string
	Output any
},
) {
	t.Helper()
	res, err := p.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	data, err := json.Marshal(res.StructuredContent)
	if err != nil || res.IsError || json.Unmarshal(data, &run) != nil {
		t.Fatalf("%s: %v: %+v", tool, err, res.Content[0])
	}
	return run
}

// TestKilledMCPServerLeavesRuns kills an MCP server while a run that it started waits for
// the service. The run continues, and the next server finds it and its output.
func TestKilledMCPServerLeavesRuns(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- struct{}{}
		<-answer
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		serveAnswer(w, r, "The answer.")
	}))
	defer service.Close()
	dir := t.TempDir()
	env := append(os.Environ(), "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
		"HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=")
	text := "name: one\nsteps:\n  - {id: ask, agent: linter, task: Look}\n"
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	first := startMCP(t, dir, env)
	run := first.call(t, "start_run", map[string]any{"workflow": "one.yaml", "wait_seconds": 0})
	<-asked
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second := startMCP(t, dir, env, "serve")
	if at := second.call(t, "run_status", map[string]any{"run": run.ID}); at.Status != "running" {
		t.Errorf("after the kill the run is %s", at.Status)
	}
	close(answer)
	end := second.call(t, "run_result", map[string]any{"run": run.ID, "wait_seconds": 600})
	if end.Status != "completed" || end.Output != "The answer." {
		t.Errorf("the run ended as %+v", end)
	}
	if len(asked) > 0 {
		t.Error("the service got a second request")
	}
	if err := second.Close(); err != nil { // the end of its input ends it
		t.Errorf("closing the server: %v", err)
	}
}

// TestMCPServerEnds ends an MCP server while a run that it started works and a request
// waits for the run: the server exits with 0, and the run continues to its end.
func TestMCPServerEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(cmd *exec.Cmd, in io.Closer) error{
		"end of input": func(_ *exec.Cmd, in io.Closer) error { return in.Close() },
		"SIGTERM":      func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Signal(syscall.SIGTERM) },
		"SIGINT":       func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Signal(syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, answer := make(chan struct{}, 10), make(chan struct{})
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asked <- struct{}{}
				<-answer
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				serveAnswer(w, r, "The answer.")
			}))
			defer service.Close()
			defer sync.OnceFunc(func() { close(answer) })()
			dir := t.TempDir()
			at := &commandLine{t, dir, append(os.Environ(), "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
				"HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=")}
			text := "name: one\nsteps:\n  - {id: ask, agent: linter, task: Look}\n"
			if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "claude-force", "mcp")
			cmd.Dir, cmd.Env = at.dir, at.env
			var messages bytes.Buffer
			cmd.Stderr = &messages
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, childOut, err := os.Pipe() // Wait is not to close it while it is read
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd.Stdout = childOut
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if err := childOut.Close(); err != nil {
				t.Fatal(err)
			}
			waits := make(chan struct{}, 10)
			session, err := mcp.NewClient(&mcp.Implementation{Name: "tester", Version: "1"}, &mcp.ClientOptions{
				ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { waits <- struct{}{} },
			}).Connect(t.Context(), &mcp.IOTransport{Reader: out, Writer: in}, nil)
			if err != nil {
				t.Fatal(err)
			}
			run := (&mcpProcess{session, cmd}).call(t, "start_run", map[string]any{"workflow": "one.yaml", "wait_seconds": 0})
			<-asked
			waited := make(chan error, 1)
			go func() {
				p := &mcp.CallToolParams{Name: "run_result", Arguments: map[string]any{"run": run.ID, "wait_seconds": 600}}
				p.SetProgressToken("wait")
				_, err := session.CallTool(t.Context(), p)
				waited <- err
			}()
			<-waits
			if err := end(cmd, in); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil || messages.Len() > 0 {
				t.Errorf("the server ended with %v and said %q", err, &messages)
			}
			if err := <-waited; err == nil {
				t.Error("the request that waited was answered before the run had ended")
			}
			answer <- struct{}{}
			if out, _, code := at.run("runs", "watch", run.ID); code != 0 || !strings.Contains(out, "completed") {
				t.Errorf("the run ended with code %d:\n%s", code, out)
			}
			if len(asked) > 0 {
				t.Error("the service was asked again")
			}
		})
	}
}
