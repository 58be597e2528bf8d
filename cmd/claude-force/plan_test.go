package main

import (
	"bytes"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/sim"
)

// TestPlansAreAskedAboutOnTerminals runs a workflow with --plan and types an
// answer.
func TestPlansAreAskedAboutOnTerminals(t *testing.T) {
	server := sim.New(sim.Options{})
	tcp := httptest.NewServer(server)
	defer tcp.Close()
	t.Setenv("ANTHROPIC_API_KEY", "sk-test")
	t.Setenv("ANTHROPIC_BASE_URL", tcp.URL)
	t.Setenv("CLAUDE_FORCE_HOME", t.TempDir())
	file := filepath.Join(t.TempDir(), "w.yaml")
	if err := os.WriteFile(file, []byte("steps:\n- {id: a, agent: linter, task: t}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typed    string
		requests int
	}{{"n\n", 0}, {"\n", 0}, {"", 0}, {"Yes\n", 1}} {
		var out, errs bytes.Buffer
		a := &app{stdin: io.NopCloser(strings.NewReader(c.typed)), stdout: &out, stderr: &errs, terminal: true, typed: true}
		if code := a.run(t.Context(), []string{"run", file, "--plan"}); code != exitDone {
			t.Errorf("%q: exit code %d\n%s", c.typed, code, &errs)
		}
		if n := server.Stats().Requests; n != c.requests {
			t.Errorf("%q: %d requests; want %d", c.typed, n, c.requests)
		}
		if !strings.Contains(errs.String(), "Expected: $") || (out.Len() > 0) != (c.requests > 0) {
			t.Errorf("%q: printed %q and %q", c.typed, &out, &errs)
		}
	}
}
