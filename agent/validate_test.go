package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/agent"
)

func TestAgentsInCodeComeBeforeFiles(t *testing.T) {
	t.Parallel()
	opts := places(t)
	mine := &agent.Agent{Name: "linter", Prompt: "mine"}
	opts.Agents = []*agent.Agent{mine, {Name: "security-auditor"}}
	set, _, err := agent.Discover(opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := set.Lookup("linter"); got != mine || err != nil {
		t.Errorf("Discover: %+v, %v", got, err)
	}
	if got, _, err := agent.Find(opts, "linter"); got != mine || err != nil {
		t.Errorf("Find: %+v, %v", got, err)
	}
	if _, _, err := agent.Find(opts, "security-auditr"); err == nil || !strings.Contains(err.Error(), `did you mean "security-auditor"`) {
		t.Errorf("a name that is nearly one in code: %v", err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		agent *agent.Agent
		want  string // empty for none
	}{
		"valid":      {&agent.Agent{Name: "a", Effort: "max", MaxTokens: 5, CacheTTL: time.Hour}, ""},
		"only named": {&agent.Agent{Name: "a"}, ""},
		"nil":        {nil, "nil"},
		"no name":    {&agent.Agent{Prompt: "p"}, "no name"},
		"effort":     {&agent.Agent{Name: "a", Effort: "much"}, `no effort "much"`},
		"max tokens": {&agent.Agent{Name: "a", MaxTokens: -1}, "MaxTokens is -1"},
		"cache TTL":  {&agent.Agent{Name: "a", CacheTTL: -time.Hour}, "CacheTTL is -1h0m0s"},
	} {
		err := c.agent.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}
