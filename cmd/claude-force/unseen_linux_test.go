package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/sim"
)

// TestAnswersThatBreakOffAreRetriedUnlessSeen breaks the first answer off in
// several ways. Only a terminal has shown words of it by then.
func TestAnswersThatBreakOffAreRetriedUnlessSeen(t *testing.T) {
	t.Parallel()
	const early, late = 2, 9 // events: before and after the first words
	for _, fault := range []sim.Fault{
		{Kind: sim.FaultDrop},
		{Kind: sim.FaultCutStream, After: early},
		{Kind: sim.FaultCutStream, After: late},
		{Kind: sim.FaultEndStream, After: late},
		{Kind: sim.FaultStreamError, After: late, ErrorType: "overloaded_error"},
		{Kind: sim.FaultStreamError, After: late, ErrorType: "api_error"},
	} {
		t.Run(fmt.Sprintf("%s %s %d", fault.Kind, fault.ErrorType, fault.After), func(t *testing.T) {
			t.Parallel()
			server := sim.New(sim.Options{})
			service := httptest.NewServer(server)
			defer service.Close()
			dir := t.TempDir()
			env := append(os.Environ(), "ANTHROPIC_API_KEY=sk-ant-test-0123456789abcdef", "ANTHROPIC_BASE_URL="+service.URL,
				"HOME="+dir, "CLAUDE_FORCE_HOME="+filepath.Join(dir, "data"), "XDG_CONFIG_HOME=")
			fault.Times = 1
			for _, args := range [][]string{
				{"execute", "linter", "one"},
				{"execute", "--task", "linter=two", "--task", "linter=three"},
			} {
				server.Inject(fault)
				cmd := exec.CommandContext(t.Context(), "claude-force", args...)
				cmd.Dir, cmd.Env = dir, env
				if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "simulated") {
					t.Errorf("claude-force %q: %v\n%s", args, err, out)
				}
			}
			server.Inject(fault)
			screen := onTerminal(t, dir, env, "execute", "linter", "four")
			if notWhole := strings.Contains(screen, "not whole"); notWhole != (fault.After == late) {
				t.Errorf("on a terminal: not whole %t\n%s", notWhole, screen)
			}
		})
	}
}
