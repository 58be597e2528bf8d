package sim_test

import (
	"net/http/httptest"
	"os"
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
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			citest.Missing(t, "%s is not installed", program)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "wire.mjs"} {
		data, err := os.ReadFile(filepath.Join("testdata", "ts", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		citest.Missing(t, "the TypeScript SDK cannot be installed: %v\n%s", err, out)
	}
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
