package proxy_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/server/proxy"
	"github.com/claude-force/claude-force/sim"
)

// TestTypeScriptSDK has the official TypeScript SDK ask the simulator through the proxy:
// all that the simulator is tested with, errors and cut streams too, and then which
// answers are shared.
func TestTypeScriptSDK(t *testing.T) {
	if testing.Short() {
		t.Skip("installs packages")
	}
	dir := citest.NPM(t, filepath.Join("..", "..", "sim", "testdata", "ts"), "wire.mjs")
	script, err := os.ReadFile(filepath.Join("testdata", "shared.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "shared.mjs"), script, 0o600); err != nil {
		t.Fatal(err)
	}
	simulator := httptest.NewServer(sim.New(sim.Options{}))
	t.Cleanup(simulator.Close)
	s := serve(t, simulator.URL, proxy.ModeDeterministic)
	for _, run := range []struct {
		args []string
		last string // what it prints of its last check
	}{
		{[]string{"wire.mjs", simulator.URL, s.url, s.key}, "ok token counting and models"},
		{[]string{"shared.mjs", s.url, s.key}, "ok identical calls at once share one"},
	} {
		cmd := exec.CommandContext(t.Context(), "node", run.args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Errorf("%s: %v", run.args[0], err)
		}
		if !strings.Contains(string(out), run.last) {
			t.Errorf("%s did not reach %q", run.args[0], run.last)
		}
	}
	if strings.Contains(s.log.String(), s.key) || strings.Contains(s.log.String(), operatorKey) {
		t.Error("a key is in the log")
	}
}
