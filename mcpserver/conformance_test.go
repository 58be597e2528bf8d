package mcpserver_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
)

// Why a scenario of the conformance suite does not apply.
const (
	ownTools     = "calls a tool of the suite's own, which our tests call by the tools that we have"
	ownResources = "reads a resource of the suite's own"
	ownPrompts   = "gets a prompt of the suite's own; the server has none"
	asksClient   = "calls a tool of the suite's own that asks its client; our tools ask nothing of clients, so that a run outlasts them"
	noStates     = "subscribes to a resource; an output is there when its run has ended, and does not change"
	noCompletion = "completes arguments of prompts; the server has none"
	noSessions   = "uses the streams of a session; the server keeps none, and a run is found by its id"
)

// scenarios are those of the conformance suite for servers, with the reason why one does
// not apply; empty for those that do.
var scenarios = map[string]string{
	"server-initialize":             "",
	"logging-set-level":             "",
	"ping":                          "",
	"completion-complete":           noCompletion,
	"tools-list":                    "",
	"tools-call-simple-text":        ownTools,
	"tools-call-image":              ownTools,
	"tools-call-audio":              ownTools,
	"tools-call-embedded-resource":  ownTools,
	"tools-call-mixed-content":      ownTools,
	"tools-call-with-logging":       ownTools,
	"tools-call-error":              ownTools,
	"tools-call-with-progress":      ownTools,
	"tools-call-sampling":           asksClient,
	"tools-call-elicitation":        asksClient,
	"json-schema-2020-12":           ownTools,
	"elicitation-sep1034-defaults":  asksClient,
	"server-sse-polling":            noSessions,
	"server-sse-multiple-streams":   noSessions,
	"elicitation-sep1330-enums":     asksClient,
	"resources-list":                "",
	"resources-read-text":           ownResources,
	"resources-read-binary":         ownResources,
	"resources-templates-read":      ownResources,
	"resources-subscribe":           noStates,
	"resources-unsubscribe":         noStates,
	"prompts-list":                  "",
	"prompts-get-simple":            ownPrompts,
	"prompts-get-with-args":         ownPrompts,
	"prompts-get-embedded-resource": ownPrompts,
	"prompts-get-with-image":        ownPrompts,
	"dns-rebinding-protection":      "",
}

// TestConformance runs the scenarios of the protocol's conformance suite that apply, and
// checks that each scenario of the suite is one that applies or has a reason not to.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages")
	}
	suite := filepath.Join(citest.NPM(t, filepath.Join("testdata", "conformance")), "node_modules", ".bin", "conformance")
	s := serve(t)
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	withoutKey := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { // it has no key to send
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.Out.Header.Set("Authorization", "Bearer "+s.key)
	}, Transport: http.DefaultTransport})
	defer withoutKey.Close()
	list, err := exec.CommandContext(t.Context(), "node", suite, "list", "--server").Output()
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, m := range regexp.MustCompile(`(?m)^  - (\S+)$`).FindAllStringSubmatch(string(list), -1) {
		known++
		if _, ok := scenarios[m[1]]; !ok {
			t.Errorf("the suite has a scenario %s that is neither run nor has a reason not to be", m[1])
		}
	}
	if known != len(scenarios) {
		t.Errorf("the suite has %d scenarios; %d are listed:\n%s", known, len(scenarios), list)
	}
	for scenario, reason := range scenarios {
		if reason != "" {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "node", suite, "server", "--url", withoutKey.URL+"/mcp", "--scenario", scenario)
		cmd.Dir = t.TempDir() // it writes what it saw
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "FAILURE") || !strings.Contains(string(out), "SUCCESS") {
			t.Errorf("%s: %v\n%.3000s", scenario, err, out)
		}
	}
}
