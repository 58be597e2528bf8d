package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// commandLine runs commands as a user with an environment would.
type commandLine struct {
	t   *testing.T
	dir string
	env []string
}

// run returns what a command printed, and its exit code.
func (c *commandLine) run(args ...string) (stdout, stderr string, code int) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "claude-force", args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		c.t.Fatal(err)
	}
	return out.String(), messages.String(), cmd.ProcessState.ExitCode()
}

// must returns what a command printed that must succeed.
func (c *commandLine) must(args ...string) string {
	c.t.Helper()
	out, messages, code := c.run(args...)
	if code != 0 {
		c.t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, messages)
	}
	return out
}

const remoteWorkflow = `name: wide
params: {about: {default: bees}}
steps:
  - {id: each, agent: linter, foreach: [a, b, c], task: "Item ${{ item }} on ${{ params.about }}"}
  - {id: broken, agent: linter, task: "Break", on_failure: continue, schema: {type: object, required: [x]}}
  - {id: go, approval: Go on?, dependencies: [each]}
  - {id: last, value: "${{ steps.go.status }}"}
`

// TestRemoteCommands runs a workflow at a server from a machine with stores of its own, and
// has each command that reads runs print there what it prints at the server.
func TestRemoteCommands(t *testing.T) {
	t.Parallel()
	env := func(home string, more ...string) []string {
		return append(append(os.Environ(), "HOME="+home, "CLAUDE_FORCE_HOME="+filepath.Join(home, "data"), "XDG_CONFIG_HOME=", "ANTHROPIC_API_KEY="), more...)
	}
	there, here := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(there, "wide.yaml"), []byte(remoteWorkflow), 0o600); err != nil {
		t.Fatal(err)
	}
	at := &commandLine{t, there, env(there)}
	key := strings.TrimSpace(at.must("keys", "token"))
	server := startServer(t, there, at.env, "--simulate=instant")
	away := &commandLine{t, here, env(here, "CLAUDE_FORCE_SERVER="+server.url, "CLAUDE_FORCE_SERVER_KEY="+key)}

	id := strings.TrimSpace(away.must("run", "wide.yaml", "--param", "about=ants", "--detach"))
	for tries := 0; strings.TrimSpace(away.must("runs", "approve", id, "--list", "--json")) == "[]"; tries++ {
		if tries == 400 {
			t.Fatal("the run asks nothing")
		}
	}
	away.must("runs", "approve", id, "go", "--comment", "by hand")
	if out, messages, code := away.run("runs", "watch", id); code != 0 || !strings.Contains(out, "run completed") {
		t.Errorf("watching: exit code %d\n%s%s", code, out, messages)
	}
	for _, args := range [][]string{
		{"runs", "list", "--json"},
		{"runs", "show", id, "--json"},
		{"runs", "show", id, "--items"},
		{"runs", "show", id[:8]},
		{"runs", "logs", id, "--json"},
		{"runs", "output", id, "--all", "--json"},
		{"runs", "output", id, "--step", "each", "--format", "csv"},
		{"runs", "failed", id, "--json"},
		{"runs", "diff", id, id, "--json"},
		{"runs", "export", id},
		{"runs", "report", id, "--report", "md=-"},
		{"runs", "show", "run_none"},
		{"runs", "approve", id, "go"},
		{"runs", "resume", id},
	} {
		out, messages, code := away.run(args...)
		wantOut, wantMessages, wantCode := at.run(args...)
		if out != wantOut || code != wantCode || code == 0 && messages != wantMessages {
			t.Errorf("%s: exit code %d\n%s%s\nwant %d\n%s%s", strings.Join(args, " "), code, out, messages, wantCode, wantOut, wantMessages)
		}
	}
	// What a run prints that is followed is what one on this machine prints.
	approve := strings.Replace(remoteWorkflow, "  - {id: go, approval: Go on?, dependencies: [each]}\n", "", 1)
	approve = strings.Replace(approve, "steps.go.status", "params.about", 1)
	for _, dir := range []string{there, here} {
		if err := os.WriteFile(filepath.Join(dir, "plain.yaml"), []byte(approve), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alone := &commandLine{t, here, env(here)}
	if out, want := away.must("run", "plain.yaml", "--all"), alone.must("run", "plain.yaml", "--all", "--simulate=instant"); out != want {
		t.Errorf("the run printed\n%s\nwant\n%s", out, want)
	}
	away.must("runs", "rm", id)
	for _, c := range []*commandLine{at, away} {
		if _, _, code := c.run("runs", "show", id); code != exitInput {
			t.Errorf("a run that was removed: exit code %d", code)
		}
	}
	// The data folder has the key of a server of this machine.
	local := &commandLine{t, here, env(there)}
	local.must("--server", server.url, "runs", "list")
	for want, args := range map[string][]string{
		"needs a key":         {"--server", "https://force.invalid", "runs", "list"},
		"in the clear":        {"--server", "http://force.invalid", "runs", "list"},
		"this machine alone":  {"--server", server.url, "execute", "linter", "x"},
		"--simulate is for":   {"--server", server.url, "run", "plain.yaml", "--simulate"},
		"no server answers":   {"--server", "http://127.0.0.1:1", "runs", "list"},
		"give the path":       {"--server", server.url, "run", "-"},
		"no address":          {"--server", "force", "runs", "list"},
		"this machine alone.": {"--server", server.url, "runs", "apply", "latest", "each"},
	} {
		c := local
		if strings.Contains(want, "clear") {
			c = &commandLine{t, here, env(here, "CLAUDE_FORCE_SERVER_KEY="+key)}
		}
		if _, messages, code := c.run(args...); code == 0 || !strings.Contains(messages, strings.TrimSuffix(want, ".")) || strings.Contains(messages, key) {
			t.Errorf("%s: exit code %d, %s; want %q", strings.Join(args, " "), code, messages, want)
		}
	}
	wrong := &commandLine{t, here, env(here, "CLAUDE_FORCE_SERVER_KEY="+strings.Replace(key, "cf_", "cf_X", 1))}
	if _, messages, code := wrong.run("--server", server.url, "runs", "list"); code != exitInput || !strings.Contains(messages, "does not accept the key") {
		t.Errorf("a wrong key: exit code %d, %s", code, messages)
	}
}
