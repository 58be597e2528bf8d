package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
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

// remoteMachines returns the command line of the machine of a server of a project with a
// file, and one of another machine, which uses the server. Variables are for the server.
func remoteMachines(t *testing.T, file, text string, variables ...string) (at, away *commandLine, server *serverProcess) {
	t.Helper()
	env := func(home string, more ...string) []string {
		return append(append(os.Environ(), "HOME="+home, "CLAUDE_FORCE_HOME="+filepath.Join(home, "data"), "XDG_CONFIG_HOME=", "ANTHROPIC_API_KEY="), more...)
	}
	there, here := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(there, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at = &commandLine{t, there, env(there, variables...)}
	key := strings.TrimSpace(at.must("keys", "token"))
	server = startServer(t, there, at.env, "--simulate=instant")
	return at, &commandLine{t, here, env(here, "CLAUDE_FORCE_SERVER="+server.url, "CLAUDE_FORCE_SERVER_KEY="+key)}, server
}

// same has both command lines run commands, which must print the same.
func same(t *testing.T, at, away *commandLine, commands ...[]string) {
	t.Helper()
	for _, args := range commands {
		out, messages, code := away.run(args...)
		wantOut, wantMessages, wantCode := at.run(args...)
		if ages(out) != ages(wantOut) || code != wantCode || code == 0 && messages != wantMessages || code != 0 && (messages == "" || firstWords(messages) != firstWords(wantMessages)) {
			t.Errorf("%s: exit code %d\n%s%s\nwant %d\n%s%s", strings.Join(args, " "), code, out, messages, wantCode, wantOut, wantMessages)
		}
	}
}

var (
	timeAgo = regexp.MustCompile(`[^ \n]+( [^ \n]+)* ago`)
	blanks  = regexp.MustCompile(` +`)
)

// ages returns a table with what says how long ago something was, which may have changed
// from one command to the next, left out. A text without it is returned as it is.
func ages(table string) string {
	if !timeAgo.MatchString(table) {
		return table
	}
	return blanks.ReplaceAllString(timeAgo.ReplaceAllString(table, "AGE"), " ")
}

// firstWords returns the beginning of what a command says went wrong; what to type next
// may differ.
func firstWords(messages string) string {
	words := strings.Fields(messages)
	return strings.Join(words[:min(len(words), 5)], " ")
}

// TestRemoteKeys manages the keys of a server from another machine.
func TestRemoteKeys(t *testing.T) {
	t.Parallel()
	at, away, server := remoteMachines(t, "wide.yaml", remoteWorkflow)
	secret := strings.TrimSpace(away.must("keys", "create", "--name", "ops", "--role", "admin", "--expires", "90d"))
	away.must("keys", "create", "--name", "ci", "--team", "web", "--budget", "5/day", "--rpm", "60", "--models", "haiku,sonnet")
	at.must("keys", "create", "--name", "old")
	ops := &commandLine{t, away.dir, append(away.env, "CLAUDE_FORCE_SERVER_KEY="+secret)}
	ops.must("keys", "budget", "--team", "web", "50/30d")
	ops.must("keys", "budget", "--all", "100/30d")
	ops.must("keys", "budget", "--all", "none")
	ops.must("keys", "revoke", "old")
	rotated := strings.TrimSpace(away.must("keys", "rotate", "ops", "--grace", "0s"))
	if _, messages, code := ops.run("keys", "list"); code != exitInput || !strings.Contains(messages, "does not accept the key") {
		t.Errorf("the old secret: exit code %d, %s", code, messages)
	}
	ops.env = append(away.env, "CLAUDE_FORCE_SERVER_KEY="+rotated)
	for _, reader := range []*commandLine{away, ops} {
		same(
			t, at, reader, []string{"keys", "list"}, []string{"keys", "list", "--json"}, []string{"keys", "audit"}, []string{"keys", "audit", "--json", "--limit", "3"},
			[]string{"keys", "budget"}, []string{"keys", "budget", "--json"}, []string{"keys", "budget", "--team", "web", "--json"},
			[]string{"keys", "revoke", "none"}, []string{"keys", "rotate", "none"}, []string{"keys", "create", "--name", "ci"}, []string{"keys", "create", "--name", "A b"},
			[]string{"keys", "create", "--name", "x", "--role", "king"}, []string{"keys", "create", "--name", "x", "--budget", "5"},
			[]string{"keys", "budget", "--key", "none", "5/day"}, []string{"keys", "budget", "--all", "5"}, []string{"keys", "budget", "--all", ""},
		)
	}
	if audit := at.must("keys", "audit"); !strings.Contains(audit, "ops") || strings.Contains(audit, secret) || strings.Contains(audit, rotated) {
		t.Errorf("the audit log:\n%s", audit)
	}
	if _, messages, code := away.run("keys", "token", "--server", server.url); code != exitInput || !strings.Contains(messages, "this machine alone") {
		t.Errorf("the owner's key of a server: exit code %d, %s", code, messages)
	}
	if list := (&commandLine{t, away.dir, append(away.env, "CLAUDE_FORCE_SERVER=")}).must("keys", "list", "--json"); strings.TrimSpace(list) != "[]" {
		t.Errorf("the machine has keys of its own: %s", list)
	}
}

// TestRemoteSchedules manages the schedules of a server from another machine, and starts
// runs of one.
func TestRemoteSchedules(t *testing.T) {
	t.Parallel()
	at, away, server := remoteMachines(t, "plain.yaml", "name: plain\nparams: {about: {}}\nsteps:\n  - {id: a, value: \"On ${{ params.about }}\"}\n")
	away.must("schedules", "add", "nightly", "plain.yaml", "--cron", "30 2 29 2 *", "--param", "about=ants", "--budget", "0.5", "--window", "12h")
	lists := [][]string{{"schedules", "list"}, {"schedules", "list", "--json"}}
	same(t, at, away, lists...)
	away.must("schedules", "pause", "nightly")
	same(t, at, away, append(
		lists, []string{"schedules", "pause", "none"}, []string{"schedules", "remove", "none"}, []string{"schedules", "run", "none"},
		[]string{"schedules", "add", "nightly", "plain.yaml", "--cron", "@daily", "--param", "about=x"}, []string{"schedules", "add", "x", "plain.yaml", "--cron", "61 * * * *"},
		[]string{"schedules", "run", "nightly", "--budget", "1"},
	)...)
	for _, c := range []*commandLine{at, away} { // although it is paused
		id := strings.TrimSpace(c.must("schedules", "run", "nightly"))
		if out, messages, code := c.run("runs", "watch", id); code != 0 {
			t.Errorf("watching: exit code %d\n%s%s", code, out, messages)
		}
		if out := at.must("runs", "output", id); !strings.Contains(out, "On ants") {
			t.Errorf("the run's output is %q", out)
		}
	}
	if _, messages, code := away.run("schedules", "run", "nightly", "--simulate"); code != exitInput || !strings.Contains(messages, "runs on this machine") {
		t.Errorf("flags of this machine at %s: exit code %d, %s", server.url, code, messages)
	}
	away.must("schedules", "resume", "nightly")
	same(t, at, away, lists...)
	away.must("schedules", "remove", "nightly")
	same(t, at, away, lists[1])
}

// TestRemoteEngine starts runs of servers for the workers of an engine: one server has a
// database that they share, the other has not.
func TestRemoteEngine(t *testing.T) {
	t.Parallel()
	const text = "name: plain\nsteps:\n  - {id: a, value: x}\n"
	at, away, _ := remoteMachines(t, "plain.yaml", text, "CLAUDE_FORCE_STORE="+postgrestest.URL(t))
	id := strings.TrimSpace(away.must("run", "plain.yaml", "--engine", "temporal", "--detach"))
	if show := away.must("runs", "show", id, "--json"); !strings.Contains(show, `"engine": "temporal"`) {
		t.Errorf("the run is not for the engine:\n%s", show)
	}
	if show := away.must("runs", "show", id); !strings.Contains(show, "the workers of temporal") {
		t.Errorf("the run is not for the engine:\n%s", show)
	}
	for _, machine := range []*commandLine{at, away} {
		if _, messages, code := machine.run("runs", "cancel", id); code != 0 || !strings.Contains(messages, "the workers of temporal were signaled") {
			t.Errorf("cancelling it: exit code %d, %s", code, messages)
		}
	}
	_, away, _ = remoteMachines(t, "plain.yaml", text)
	if _, messages, code := away.run("run", "plain.yaml", "--engine", "temporal"); code != exitInput || !strings.Contains(messages, "needs a store that its workers share") {
		t.Errorf("a server without a database: exit code %d, %s", code, messages)
	}
	if _, messages, code := away.run("run", "plain.yaml", "--engine", "airflow"); code != exitInput || !strings.Contains(messages, "it must be temporal") {
		t.Errorf("an engine that there is not: exit code %d, %s", code, messages)
	}
}

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
		if ages(out) != ages(wantOut) || code != wantCode || code == 0 && messages != wantMessages {
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
