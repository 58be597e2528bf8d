package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/sim"
)

// toolNames are the tools of our MCP server.
var toolNames = []string{
	"approve", "cache", "cancel_run", "costs", "execute", "list_agents", "list_workflows", "plan", "resume_run", "run_result", "run_status", "start_run",
}

// servedProject is a project whose MCP server is used by the clients of others, over both
// transports.
type servedProject struct {
	dir, url, key string
	env           []string
}

// serveProject starts a server of a project of one workflow, with more variables.
func serveProject(t *testing.T, flags []string, more ...string) *servedProject {
	t.Helper()
	dir := t.TempDir()
	p := &servedProject{dir: dir, env: append(append(os.Environ(), "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME="), more...)}
	if err := os.WriteFile(filepath.Join(dir, "one.yaml"), []byte("name: one\nsteps:\n  - {id: ask, agent: linter, task: Look}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	owner := &commandLine{t, dir, p.env}
	p.key = strings.TrimSpace(owner.must("keys", "token"))
	p.url = startServer(t, dir, p.env, flags...).url
	return p
}

// TestInspector has the protocol's inspector list and call tools, on stdio and over HTTP.
// It compares results with the schemas of the tools.
func TestInspector(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages")
	}
	inspector := filepath.Join(citest.NPM(t, filepath.Join("testdata", "inspector")), "node_modules", ".bin", "mcp-inspector")
	program, err := exec.LookPath("claude-force")
	if err != nil {
		t.Fatal(err)
	}
	p := serveProject(t, []string{"--simulate=instant"}, "ANTHROPIC_API_KEY=")
	for transport, target := range map[string][]string{
		"stdio": {"-e", "CLAUDE_FORCE_HOME=" + filepath.Join(p.dir, "data"), program, "mcp", "serve", "--simulate=instant"},
		"http":  {p.url + "/mcp", "--header", "Authorization: Bearer " + p.key},
	} {
		ask := func(to any, args ...string) {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), "node", append(append([]string{inspector, "--cli"}, target...), args...)...)
			var messages bytes.Buffer
			cmd.Dir, cmd.Env, cmd.Stderr = p.dir, p.env, &messages
			out, err := cmd.Output()
			if err != nil || json.Unmarshal(out, to) != nil {
				t.Errorf("%s, %q: %v\n%.2000s%.2000s", transport, args, err, out, &messages)
			}
		}
		var list struct{ Tools []struct{ Name string } }
		ask(&list, "--method", "tools/list")
		var names []string
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
		}
		if strings.Join(names, " ") != strings.Join(toolNames, " ") {
			t.Errorf("%s lists the tools %q", transport, names)
		}
		for _, call := range [][]string{
			{"list_agents"}, {"list_workflows"}, {"costs", "days=0"}, {"cache"}, {"plan", "workflow=one.yaml"}, {"start_run", "workflow=one.yaml"},
			{"execute", "agent=python-expert", "task=Explain ants"}, {"run_result", "run=latest"},
		} {
			tool, arguments := call[0], call[1:]
			args := []string{"--method", "tools/call", "--tool-name", tool}
			for _, a := range arguments {
				args = append(args, "--tool-arg", a)
			}
			var res struct {
				IsError           bool
				StructuredContent map[string]any
			}
			ask(&res, args...)
			if res.IsError || res.StructuredContent == nil {
				t.Errorf("%s: %s came to %+v", transport, tool, res)
			}
		}
	}
}

// clientScript plays the model of Claude Code, which calls two of our tools, and the model
// of our agent.
const clientScript = `
strict: true
rules:
  - when: {task: Ask the agents of force}
    turns:
      - tools: [{name: mcp__force__list_agents, input: {}}]
      - tools: [{name: mcp__force__execute, input: {agent: linter, task: "Count the ants"}}]
      - text: The linter counted them.
  - when: {task: Count the ants}
    text: There are 47114 ants.
`

// TestClaudeCodeAsClient has Claude Code itself call our tools, on stdio and over HTTP. The
// simulator answers for its model and for that of our agent, and sees what each is sent.
func TestClaudeCodeAsClient(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages")
	}
	if !citest.WithClaudeCode(t, filepath.Join("..", "..", "claudecode", "testdata")) {
		return
	}
	script, err := sim.ParseScript("script", []byte(clientScript))
	if err != nil {
		t.Fatal(err)
	}
	simulator := sim.New(sim.Options{Script: script})
	var mu sync.Mutex // guards seen
	var seen [][]byte // bodies of requests for messages
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		if strings.HasSuffix(r.URL.Path, "/v1/messages") {
			mu.Lock()
			seen = append(seen, body)
			mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		simulator.ServeHTTP(w, r)
	}))
	defer service.Close()
	p := serveProject(t, []string{"--no-cache"}, "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
		"MCP_TIMEOUT=600000", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "IS_SANDBOX=1")
	for transport, server := range map[string]any{
		"stdio": map[string]any{"command": "claude-force", "args": []string{"mcp", "--no-cache"}},
		"http":  map[string]any{"type": "http", "url": p.url + "/mcp", "headers": map[string]string{"Authorization": "Bearer " + p.key}},
	} {
		mu.Lock()
		seen = nil
		mu.Unlock()
		config, err := json.Marshal(map[string]any{"mcpServers": map[string]any{"force": server}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "mcp.json")
		if err := os.WriteFile(file, config, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "claude", "-p", "Ask the agents of force", "--output-format", "json", "--mcp-config", file, "--strict-mcp-config",
			"--allowedTools", "mcp__force__list_agents,mcp__force__execute")
		cmd.Dir, cmd.Env = p.dir, p.env
		out, err := cmd.Output()
		var result struct {
			Result  string
			IsError bool `json:"is_error"`
		}
		if err != nil || json.Unmarshal(out, &result) != nil || result.IsError || result.Result != "The linter counted them." {
			t.Errorf("%s: %v\n%s", transport, err, out)
		}
		var agents, answers, asked int // results of tools, and calls of our agent
		mu.Lock()
		bodies := slices.Clone(seen)
		mu.Unlock()
		for _, body := range bodies {
			var req struct {
				Messages []struct {
					Content json.RawMessage
				}
			}
			if err := json.Unmarshal(body, &req); err != nil || len(req.Messages) == 0 {
				t.Fatalf("a request is %s: %v", body, err)
			}
			last := string(req.Messages[len(req.Messages)-1].Content)
			switch {
			case strings.Contains(last, `"tool_result"`) && strings.Contains(last, "python-expert"):
				agents++
			case strings.Contains(last, `"tool_result"`) && strings.Contains(last, "There are 47114 ants."):
				answers++
			case strings.Contains(last, "Count the ants"):
				asked++
			}
		}
		if agents != 1 || answers != 1 || asked != 1 {
			t.Errorf("%s: of %d requests, %d have the list of agents, %d the answer of ours, and it was asked %d times", transport, len(bodies), agents, answers, asked)
		}
	}
}
