package mcpserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/mcpserver"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/sim"
)

const (
	twoSteps = `name: two
params: {topic: {default: bees}}
steps:
  - {id: draft, agent: python-expert, task: "Write about ${{ params.topic }}"}
  - {id: review, agent: code-reviewer, task: "Review ${{ steps.draft.output }}"}
`
	asks = `name: asks
steps:
  - {id: ok, approval: "Deploy?"}
  - {id: after, value: "deployed", dependencies: [ok]}
`
	wide = `name: wide
params: {text: {}}
steps:
  - {id: big, value: "${{ params.text }}"}
`
)

// service is a server over the wire, with its key.
type service struct {
	url, key string
}

// TestArgumentsAreReadAsTheyAre sends arguments that a reader of JSON may take for others:
// they are refused, and the run that they name is not started.
func TestArgumentsAreReadAsTheyAre(t *testing.T) {
	s := serve(t)
	for _, args := range []string{`{"workflow": "two.yaml", "workflow": "asks.yaml"}`, `{"workflow": "two.yaml", "params": {"topic": "a", "topic": "b"}}`, `{"workflow": "two.yaml", "params": {"topic": "\ud800"}}`} {
		body := `{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "start_run", "arguments": ` + args + `}}`
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/mcp", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if text := string(data); !strings.Contains(text, "the arguments cannot be read") || strings.Contains(text, "run_id") {
			t.Errorf("%s: %s: %s", args, res.Status, text)
		}
	}
}

// serve serves a project over HTTP, answered by the simulator.
func serve(t *testing.T) service {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"two.yaml": twoSteps, "asks.yaml": asks, "wide.yaml": wide, "broken.yaml": "name: broken\nsteps:\n  - {id: x, agent: nobody-we-know, task: hi}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(dir, "data")
	key := keys.New()
	srv, err := server.New(t.Context(), server.Options{
		Dir: dir, Config: cfg, Key: key, Hosts: []string{"force.example.com"}, Version: "test", Settings: runs.Settings{Approvals: "durable"},
		Open: func(ctx context.Context, dir string, _ runs.Settings) (*claudeforce.Orchestrator, error) {
			return claudeforce.New(ctx, claudeforce.Options{Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{})})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mcpserver.Mount(srv, "test")
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		web.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return service{web.URL, key}
}

// withKey sends the key with each request, and a name of the host.
type withKey struct{ key, host string }

func (k withKey) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+k.key)
	req.Host = k.host
	return http.DefaultTransport.RoundTrip(req)
}

// client is a session of the official client.
type client struct {
	*mcp.ClientSession
	t        *testing.T
	progress chan string // messages of notifications
}

func (s service) connect(t *testing.T, host string) *client {
	t.Helper()
	c := &client{t: t, progress: make(chan string, 100)}
	m := mcp.NewClient(&mcp.Implementation{Name: "tester", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, n *mcp.ProgressNotificationClientRequest) {
			c.progress <- n.Params.Message
		},
	})
	session, err := m.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: s.url + "/mcp", HTTPClient: &http.Client{Transport: withKey{s.key, host}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() }) // the server may have gone
	c.ClientSession = session
	return c
}

// call calls a tool and reads its result; an error of the tool is returned.
func (c *client) call(tool string, arguments map[string]any, to any) string {
	c.t.Helper()
	p := &mcp.CallToolParams{Name: tool, Arguments: arguments}
	p.SetProgressToken(tool)
	res, err := c.CallTool(c.t.Context(), p)
	if err != nil {
		c.t.Fatalf("%s: %v", tool, err)
	}
	text := res.Content[0].(*mcp.TextContent).Text
	if res.IsError {
		return text
	}
	data, err := json.Marshal(res.StructuredContent)
	if err != nil {
		c.t.Fatal(err)
	}
	if !json.Valid([]byte(text)) {
		c.t.Errorf("%s: the text is not the structured content: %.200s", tool, text)
	}
	if err := json.Unmarshal(data, to); err != nil {
		c.t.Fatalf("%s: %v\n%s", tool, err, data)
	}
	return ""
}

// result is what tools give of a run.
type result struct {
	ID        string `json:"run_id"`
	Status    string
	Output    any
	Truncated bool
	Resource  string
	Approvals []struct {
		Step string
		Ask  struct{ Message string }
	}
	Failures []struct{ Step string }
}

// TestTools lists the tools: each has a description, schemas, and says whether it only
// reads.
func TestTools(t *testing.T) {
	c := serve(t).connect(t, "")
	reads := map[string]bool{
		"list_agents": true, "list_workflows": true, "plan": true, "costs": true, "cache": true, "run_status": true, "run_result": true,
		"execute": false, "start_run": false, "resume_run": false, "cancel_run": false, "approve": false,
	}
	var names []string
	for tool, err := range c.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, tool.Name)
		only, known := reads[tool.Name]
		a := tool.Annotations
		if !known || a.ReadOnlyHint != only || a.DestructiveHint == nil || *a.DestructiveHint == only || tool.Description == "" || tool.Title == "" {
			t.Errorf("%s: %+v", tool.Name, a)
		}
		for name, schema := range map[string]any{"input": tool.InputSchema, "output": tool.OutputSchema} {
			if s, ok := schema.(map[string]any); !ok || s["type"] != "object" {
				t.Errorf("%s: the %s schema is %v", tool.Name, name, schema)
			}
		}
	}
	if len(names) != len(reads) {
		t.Errorf("the tools are %v", names)
	}
	for _, name := range []string{"list_agents", "list_workflows", "costs", "cache"} {
		var any map[string]any
		if text := c.call(name, nil, &any); text != "" {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestRun runs a workflow and a task, reads their outputs as resources, and starts
// nothing twice.
func TestRun(t *testing.T) {
	c := serve(t).connect(t, "")
	var p struct{ Steps []any }
	if text := c.call("plan", map[string]any{"workflow": "two.yaml"}, &p); text != "" || len(p.Steps) != 2 {
		t.Errorf("the plan is %+v: %s", p, text)
	}
	var run, same result
	start := map[string]any{"workflow": "two.yaml", "params": map[string]string{"topic": "wasps"}, "request_id": "one", "wait_seconds": 600}
	if text := c.call("start_run", start, &run); text != "" || run.Status != "completed" || run.Output == "" {
		t.Fatalf("the run is %+v: %s", run, text)
	}
	for last := ""; last != "step review finished; 2 done"; {
		last = <-c.progress
	}
	if c.call("start_run", start, &same); same.ID != run.ID {
		t.Errorf("the request again started %s beside %s", same.ID, run.ID)
	}
	read, err := c.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: run.Resource})
	if err != nil || read.Contents[0].Text != run.Output {
		t.Errorf("the resource is %+v, %v", read, err)
	}
	var step result
	c.call("run_result", map[string]any{"run": run.ID, "step": "draft"}, &step)
	read, err = c.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: step.Resource})
	if err != nil || !strings.Contains(read.Contents[0].Text, "wasps") || read.Contents[0].Text != step.Output {
		t.Errorf("the resource of a step is %+v, %v", read, err)
	}
	if _, err := c.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "run://run_none/output"}); err == nil {
		t.Error("the output of no run was read")
	}
	var task result
	if text := c.call("execute", map[string]any{"agent": "python-expert", "task": "Explain ants", "wait_seconds": 600}, &task); text != "" || task.Status != "completed" || !strings.Contains(task.Output.(string), "ants") {
		t.Errorf("the task is %+v: %s", task, text)
	}
	var at result
	if c.call("start_run", map[string]any{"workflow": "two.yaml", "wait_seconds": 0}, &at); at.ID == "" {
		t.Errorf("without a wait: %+v", at)
	}
	if c.call("run_result", map[string]any{"run": at.ID, "wait_seconds": 600}, &at); at.Status != "completed" {
		t.Errorf("waited for: %+v", at)
	}
	var big result
	if text := c.call("start_run", map[string]any{"workflow": "wide.yaml", "params": map[string]string{"text": strings.Repeat("é", 60_000)}, "wait_seconds": 600}, &big); text != "" {
		t.Fatal(text)
	}
	read, err = c.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: big.Resource})
	if err != nil || !big.Truncated || !strings.HasPrefix(read.Contents[0].Text, big.Output.(string)) || len(read.Contents[0].Text) != 120_000 {
		t.Errorf("a long output: truncated %t, %v", big.Truncated, err)
	}
}

// TestApproval answers what a run waits for, and cancels another.
func TestApproval(t *testing.T) {
	c := serve(t).connect(t, "")
	var run, end result
	if c.call("start_run", map[string]any{"workflow": "asks.yaml", "wait_seconds": 600}, &run); run.Status != "waiting" || len(run.Approvals) != 1 || run.Approvals[0].Step != "ok" {
		t.Fatalf("the run is %+v", run)
	}
	var answered struct{ Step string }
	if text := c.call("approve", map[string]any{"run": run.ID, "approved": true}, &answered); text != "" || answered.Step != "ok" {
		t.Errorf("answered %+v: %s", answered, text)
	}
	if c.call("run_result", map[string]any{"run": run.ID, "wait_seconds": 600}, &end); end.Status != "completed" || end.Output != "deployed" {
		t.Errorf("the run ended as %+v", end)
	}
	if text := c.call("approve", map[string]any{"run": run.ID, "approved": true}, &answered); !strings.Contains(text, "run_status") || !strings.Contains(text, "by owner by MCP client tester") {
		t.Errorf("answered again: %s", text)
	}
	c.call("start_run", map[string]any{"workflow": "asks.yaml"}, &run)
	var stopped struct{ Cancelled bool }
	if text := c.call("cancel_run", map[string]any{"run": run.ID}, &stopped); text != "" || !stopped.Cancelled {
		t.Errorf("cancelled %+v: %s", stopped, text)
	}
}

// TestErrors calls tools with what is wrong: the model reads what, and what to do.
func TestErrors(t *testing.T) {
	c := serve(t).connect(t, "")
	for name, test := range map[string]struct {
		tool      string
		arguments map[string]any
		want      string
	}{
		"no such run":       {"run_status", map[string]any{"run": "run_none"}, "not_found: "},
		"no run":            {"run_status", map[string]any{}, "run"},
		"no such agent":     {"execute", map[string]any{"agent": "missing", "task": "hi"}, "list_agents lists"},
		"no such file":      {"start_run", map[string]any{"workflow": "three.yaml"}, "list_workflows lists"},
		"engine":            {"start_run", map[string]any{"workflow": "two.yaml", "engine": "temporal"}, "needs a store that its workers share"},
		"outside":           {"start_run", map[string]any{"workflow": "../two.yaml"}, "within the project"},
		"absolute":          {"start_run", map[string]any{"workflow": "/etc/passwd"}, "within the project"},
		"broken workflow":   {"start_run", map[string]any{"workflow": "broken.yaml"}, "broken.yaml:3:"},
		"unknown field":     {"start_run", map[string]any{"workflow": "two.yaml", "command": "rm"}, "command"},
		"wait too long":     {"run_result", map[string]any{"run": "latest", "wait_seconds": 601}, "601"},
		"negative budget":   {"execute", map[string]any{"agent": "python-expert", "task": "hi", "budget_usd": -1}, "-1"},
		"file of elsewhere": {"execute", map[string]any{"agent": "python-expert", "task": "hi", "files": []string{"../*"}, "wait_seconds": 600}, ""},
	} {
		var out result
		text := c.call(test.tool, test.arguments, &out)
		if text == "" && len(out.Failures) == 0 || !strings.Contains(text, test.want) {
			t.Errorf("%s: %q, %+v", name, text, out)
		}
	}
}

// TestGuard reaches nothing without the key, and everything under a name of the server.
func TestGuard(t *testing.T) {
	s := serve(t)
	for name, test := range map[string]struct {
		status  int
		headers map[string]string
	}{
		"without a key":  {http.StatusUnauthorized, nil},
		"foreign host":   {http.StatusMisdirectedRequest, map[string]string{"Host": "evil.example.com", "Authorization": "Bearer " + s.key}},
		"foreign origin": {http.StatusForbidden, map[string]string{"Origin": "https://evil.example.com", "Authorization": "Bearer " + s.key}},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range test.headers {
			req.Header.Set(k, v)
		}
		if host := test.headers["Host"]; host != "" {
			req.Host = host
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != test.status {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	c := s.connect(t, "force.example.com")
	var st map[string]any
	if text := c.call("cache", nil, &st); text != "" {
		t.Error(text)
	}
}
