package claudeforce_test

import (
	"encoding/json"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sim"
)

// TestOutputsAreRepaired asks for texts that the simulator, which quotes its task,
// gives at once, when it is asked to mend, or never.
func TestOutputsAreRepaired(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern string
		once    bool
		calls   int
		failed  bool
	}{
		{pattern: "Describe", calls: 1},
		{pattern: "Write this as JSON", calls: 2},
		{pattern: "Write this as JSON", once: true, calls: 1, failed: true},
		{pattern: "no such text", calls: 2, failed: true},
	} {
		dir := t.TempDir()
		cfg, err := config.Load(config.Sources{Dir: dir, Home: dir})
		if err != nil {
			t.Fatal(err)
		}
		server := sim.New(sim.Options{})
		orch, err := claudeforce.New(t.Context(), claudeforce.Options{Dir: dir, Config: cfg, Simulator: server})
		if err != nil {
			t.Fatal(err)
		}
		schema := `{"type":"object","required":["note"],"properties":{"note":{"type":"string","pattern":"` + c.pattern + `"}}}`
		res, err := orch.Execute(t.Context(), claudeforce.Task{Agent: "linter", Prompt: "Describe it", Schema: json.RawMessage(schema), NoRetry: c.once}, nil)
		if got := server.Stats().Requests; got != c.calls || res.Calls != c.calls {
			t.Errorf("%+v: %d calls, %d in the result", c, got, res.Calls)
		}
		if (llm.CodeOf(err) == llm.CodeOutput) != c.failed || err != nil && !c.failed || !json.Valid([]byte(res.Output)) || !c.failed && !strings.Contains(res.Output, c.pattern) {
			t.Errorf("%+v: %q, %v", c, res.Output, err)
		}
		if err := orch.Close(); err != nil {
			t.Error(err)
		}
	}
}
