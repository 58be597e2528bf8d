package citest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NPM installs the npm packages of a folder, which has their package.json and
// package-lock.json, and returns the temporary folder that they are in, with the named
// other files beside them. Without npm the test is skipped by [Missing].
func NPM(t testing.TB, from string, files ...string) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			Missing(t, "%s is not installed", program)
		}
	}
	dir := t.TempDir()
	for _, name := range append([]string{"package.json", "package-lock.json"}, files...) {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		Missing(t, "npm ci in a copy of %s: %v\n%s", from, err, out)
	}
	return dir
}
