package sim_test

import (
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/sim"
)

// TestTypeScriptSDK tests the simulator with the official TypeScript SDK, which
// shares no code with this project.
func TestTypeScriptSDK(t *testing.T) {
	t.Parallel()
	dir := citest.NPM(t, filepath.Join("testdata", "ts"), "wire.mjs")
	server := httptest.NewServer(sim.New(sim.Options{}))
	defer server.Close()
	cmd := exec.CommandContext(t.Context(), "node", "wire.mjs", server.URL)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(out), "ok a cut stream") {
		t.Error("the script did not reach the check of cut streams")
	}
}
