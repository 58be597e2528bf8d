package citest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// claudeCodeDir names the folder with the program, in the process without a network.
const claudeCodeDir = "TEST_CLAUDE_CODE_BIN"

// WithClaudeCode installs Claude Code from a folder with its manifests, and runs the
// calling test once more in a process of its own, whose network has the loopback interface
// alone, with an empty home and the program in PATH. It reports whether it was called in
// that process; in the other it returns when that process has ended. The test may have no
// subtests that call it.
func WithClaudeCode(t *testing.T, from string) bool {
	t.Helper()
	if dir := os.Getenv(claudeCodeDir); dir != "" {
		t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
		return true
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		Missing(t, "unshare is not installed")
	}
	dir := NPM(t, from)
	// The program is in a package for the machine, from where the installation links it.
	link := exec.CommandContext(t.Context(), "node", "install.cjs")
	link.Dir = filepath.Join(dir, "node_modules", "@anthropic-ai", "claude-code")
	if out, err := link.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), unshare, "-rn", "sh", "-c", `ip link set lo up && exec "$@"`, "sh", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	home := t.TempDir()
	cmd.Env = append(os.Environ(), claudeCodeDir+"="+filepath.Join(dir, "node_modules", ".bin"), "HOME="+home, "XDG_CONFIG_HOME="+home, "CLAUDE_CONFIG_DIR="+filepath.Join(home, "claude"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}
