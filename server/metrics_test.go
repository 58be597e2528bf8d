package server_test

import (
	"bytes"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
)

const oneApproval = "name: asks\nsteps:\n  - {id: ok, approval: \"Deploy?\"}\n"

// untilWaiting returns when a run waits for an approval.
func (s *service) untilWaiting(run string) {
	s.t.Helper()
	for status := ""; status != "waiting"; {
		var at struct{ Status string }
		s.want(http.StatusOK, &at, "GET", "/api/v1/runs/"+run, nil)
		status = at.Status
	}
}

// TestMetrics has Prometheus's own tool check what the server shows of itself.
func TestMetrics(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"asks.yaml": oneApproval})
	var run struct {
		ID string `json:"run_id"`
	}
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "asks.yaml"})
	s.untilWaiting(run.ID)
	s.send("GET", "/api/v1/nothing", nil)
	res, text := s.send("GET", "/metrics", nil)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", res.Status, text)
	}
	for _, want := range []string{
		`claude_force_open_runs{status="waiting"} 1`, `claude_force_open_runs{status="running"} 0`,
		`claude_force_http_requests_total{route="POST /api/v1/runs",status="202"} 1`, `claude_force_http_requests_total{route="none",status="404"} 1`,
		`claude_force_http_request_duration_seconds_count{route="POST /api/v1/runs"} 1`,
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if bytes.Contains(text, []byte(s.key)) {
		t.Error("the key is among the metrics")
	}
	tool, err := exec.LookPath("promtool")
	if err != nil {
		citest.Missing(t, "promtool is not installed (Debian package prometheus)")
	}
	check := exec.CommandContext(t.Context(), tool, "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
