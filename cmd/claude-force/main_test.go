package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/workflow"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for want, errs := range map[int][]error{
		exitDone:   {nil},
		exitFailed: {errors.New("x"), errReported, llm.NewError(llm.CodeRateLimit, "busy", nil), llm.NewError(llm.CodeAuth, "wrong key", nil)},
		exitInput: {
			badInput("x"), inputError{errReported}, &claudeforce.InputError{Err: errors.New("x")}, fmt.Errorf("y: %w", &config.Error{}),
			workflow.Errors{{Message: "x"}}, claudeforce.ErrNoCredentials,
		},
		exitInterrupted: {errInterrupted, llm.NewError(llm.CodeCanceled, "x", nil), context.Canceled},
	} {
		for _, err := range errs {
			if got := exitCode(err); got != want {
				t.Errorf("exitCode(%v) = %d; want %d", err, got, want)
			}
		}
	}
}

// TestInterruptsExitWith130 stops commands by their first call. What one answer is for is
// given up, and a list of tasks is ended by the answers to those that were sent.
func TestInterruptsExitWith130(t *testing.T) {
	server := sim.New(sim.Options{})
	t.Setenv("ANTHROPIC_API_KEY", "sk-test")
	t.Setenv("CLAUDE_FORCE_HOME", t.TempDir())
	for _, test := range []struct {
		args   []string
		silent bool // whether the simulator keeps calls waiting
	}{
		{[]string{"execute", "linter", "one"}, true},
		{[]string{"execute", "linter", "two", "--json"}, true},
		{[]string{"execute", "--task", "linter=three", "--task", "linter=four"}, false},
	} {
		server.Reset()
		if test.silent {
			server.Inject(sim.Fault{Kind: sim.FaultSilence, After: 5})
		}
		stopping := make(chan struct{})
		stop := sync.OnceFunc(func() { close(stopping) })
		tcp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stop()
			server.ServeHTTP(w, r)
		}))
		t.Setenv("ANTHROPIC_BASE_URL", tcp.URL)
		var out, errs bytes.Buffer
		a := &app{stdin: io.NopCloser(strings.NewReader("")), stdout: &out, stderr: &errs, stopping: stopping}
		if code := a.run(t.Context(), test.args); code != exitInterrupted {
			t.Errorf("%q: exit code %d\n%s%s", test.args, code, &out, &errs)
		}
		tcp.Close()
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		dollars(nil): "cost unknown", dollars(new(0.1234)): "$0.1234",
		firstLine(" one\ntwo", 10): "one", firstLine("a long line", 7): "a long…", lastLine("a\nb\n"): "b",
		plural(0, "call"): "0 calls", plural(1, "call"): "1 call", plural(1000, "call"): "1,000 calls", plural(1, "retry"): "1 retry", plural(2, "retry"): "2 retries",
	} {
		if got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// TestEveryCommandHasExamples checks that commands which do something show how,
// and that those which print data can print it as JSON.
func TestEveryCommandHasExamples(t *testing.T) {
	t.Parallel()
	// These print JSON anyway, a drawing, a format of others, or something to be read by people only.
	noJSON := []string{"workflow schema", "workflow graph", "runs export", "runs report", "analytics export", "metrics", "demo", "simulate", "serve", "mcp serve"}
	script, err := os.ReadFile(filepath.Join("testdata", "script", "json_everywhere.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var visit func(cmd *cobra.Command, path string)
	visit = func(cmd *cobra.Command, path string) {
		for _, sub := range cmd.Commands() {
			visit(sub, strings.TrimSpace(path+" "+sub.Name()))
		}
		if cmd.HasSubCommands() {
			return
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", path)
		}
		if slices.Contains(noJSON, path) {
			return
		}
		if cmd.Flags().Lookup("json") == nil && cmd.InheritedFlags().Lookup("json") == nil {
			t.Errorf("%s has no --json", path)
		}
		// The benchmarks share the code that prints them.
		if !strings.HasPrefix(path, "bench ") && !regexp.MustCompile(`(?m)^(?:! )?exec claude-force `+path+`\b.* --json\b`).Match(script) {
			t.Errorf("json_everywhere.txtar does not run %s --json", path)
		}
	}
	visit((&app{}).command(), "")
}
