package mcpserver_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
)

// clients installs clients of others, and returns the folder of their programs.
func clients(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			citest.Missing(t, "%s is not installed", program)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", "clients", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		citest.Missing(t, "npm ci: %v\n%s", err, out)
	}
	return filepath.Join(dir, "node_modules", ".bin")
}

// TestClientsOfOthers has the protocol's inspector call tools, which compares what it gets
// with the schemas, and runs the scenarios of the protocol's conformance suite that need
// no tools of the suite's own.
func TestClientsOfOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages")
	}
	bin := clients(t)
	s := serve(t)
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	withoutKey := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { // they have no key to send
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.Out.Header.Set("Authorization", "Bearer "+s.key)
	}, Transport: http.DefaultTransport})
	defer withoutKey.Close()
	for tool, arguments := range map[string][]string{
		"list_agents": nil, "costs": {"days=0"}, "cache": nil, "plan": {"workflow=two.yaml"}, "start_run": {"workflow=two.yaml"},
		"execute": {"agent=python-expert", "task=Explain ants"},
	} {
		args := []string{filepath.Join(bin, "mcp-inspector"), "--cli", withoutKey.URL + "/mcp", "--method", "tools/call", "--tool-name", tool}
		for _, a := range arguments {
			args = append(args, "--tool-arg", a)
		}
		out, err := exec.CommandContext(t.Context(), "node", args...).CombinedOutput()
		var res struct {
			IsError           bool
			StructuredContent map[string]any
		}
		if err != nil || json.Unmarshal(out, &res) != nil || res.IsError || res.StructuredContent == nil {
			t.Errorf("%s: %v\n%.2000s", tool, err, out)
		}
	}

	for _, scenario := range []string{
		"server-initialize", "logging-set-level", "ping", "tools-list", "server-sse-multiple-streams", "resources-list", "prompts-list", "dns-rebinding-protection",
	} {
		cmd := exec.CommandContext(t.Context(), "node", filepath.Join(bin, "conformance"), "server", "--url", withoutKey.URL+"/mcp", "--scenario", scenario)
		cmd.Dir = t.TempDir() // it writes what it saw
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "FAILURE") {
			t.Errorf("%s: %v\n%.3000s", scenario, err, out)
		}
	}
}
