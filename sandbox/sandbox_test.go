package sandbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main()
	if len(os.Args) > 1 && os.Args[1] == "attack" {
		os.Exit(attack(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// A policy that is off still has an environment of its own, a deadline and a
// bound on output, on every system.
func TestOff(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-test")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(p Policy, args ...string) (string, Result) {
		t.Helper()
		var out bytes.Buffer
		r, err := Run(t.Context(), p, Command{
			Args: append([]string{self, "attack"}, args...), Dir: t.TempDir(), Env: Environ(nil), Output: &out,
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.String(), r
	}
	if out, r := run(Policy{Off: true}, "environ"); strings.Contains(out, "sk-test") || !strings.Contains(out, "PATH=") || r.ExitCode != 0 {
		t.Errorf("environment %q, %+v", out, r)
	}
	if _, r := run(Policy{Off: true}, "exit", "3"); r.ExitCode != 3 {
		t.Errorf("exit 3: %+v", r)
	}
	if out, r := run(Policy{Off: true, Limits: Limits{Output: 1 << 20}}, "output", "2097152"); len(out) != 1<<20 || r.Cause != TooMuchOutput {
		t.Errorf("%d bytes, %+v", len(out), r)
	}
	if _, r := run(Policy{Off: true, Limits: Limits{Time: 50 * time.Millisecond}}, "wait"); r.Cause != Deadline {
		t.Errorf("wait: %+v", r)
	}
}

func TestUnavailable(t *testing.T) {
	report := Report{Guards: guards([]Layer{{Name: layerNamespaces, Reason: "no"}, {Name: layerLandlock, Holds: true}})}
	var names []string
	for _, g := range report.Missing() {
		names = append(names, g.Name)
	}
	if got := strings.Join(names, ","); got != "network,unix sockets,kernel calls,signals,processes,memory,survivors" {
		t.Errorf("missing %s", got)
	}
	if err := (&UnavailableError{report.Missing()}); !strings.Contains(err.Error(), "network: namespaces: no") {
		t.Errorf("error %q", err)
	}
	if runtime.GOOS == "linux" {
		return
	}
	_, err := Run(t.Context(), Policy{}, Command{Args: []string{"x"}})
	if _, ok := errors.AsType[*UnavailableError](err); !ok {
		t.Errorf("error %v", err)
	}
}

func TestSecret(t *testing.T) {
	for variable, want := range map[string]bool{
		"PATH=/bin":                       false,
		"EDITOR=vi":                       false,
		"JAVA_HOME=/opt/java":             false,
		"HOMEPAGE=https://example.com/@a": false,
		"ANTHROPIC_API_KEY=x":             true,
		"GITHUB_TOKEN=x":                  true,
		"DB=postgres://u:p@host/db":       true,
		"NAME=ghp_abc":                    true,
		"aws_profile=x":                   true,
	} {
		name, value, _ := strings.Cut(variable, "=")
		if got := Secret(name, value); got != want {
			t.Errorf("Secret(%s) = %v", variable, got)
		}
	}
}

func TestEnviron(t *testing.T) {
	t.Setenv("PLAIN", "1")
	t.Setenv("OTHER", "1")
	t.Setenv("MY_TOKEN", "1")
	env := strings.Join(Environ([]string{"PLAIN", "MY_TOKEN"}, "HOME=/x", "SET=2"), "\n") + "\n"
	for line, want := range map[string]bool{"PLAIN=1\n": true, "OTHER=": false, "MY_TOKEN": false, "HOME=/x\n": true, "SET=2\n": true} {
		if strings.Contains(env, line) != want {
			t.Errorf("%q in %q: want %v", line, env, want)
		}
	}
	if strings.Count(env, "HOME=") != 1 {
		t.Errorf("environment %q", env)
	}
}

func TestCancel(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p, err := Start(ctx, Policy{Off: true}, Command{Args: []string{self, "attack", "wait"}, Dir: t.TempDir(), Env: Environ(nil)})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if r, err := p.Wait(); r.Cause != Cancelled || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	p.End() // after the end: nothing
}
