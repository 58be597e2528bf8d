package claudeforce_test

import (
	"errors"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/claudeforcetest"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
)

func TestInvalidAgentsInCodeAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		agents []*agent.Agent
		want   string
	}{
		"nil":       {[]*agent.Agent{nil}, "Options.Agents[0]: the agent is nil"},
		"no name":   {[]*agent.Agent{{Prompt: "p"}}, "no name"},
		"two":       {[]*agent.Agent{{Name: "a"}, {Name: "a"}}, `Options.Agents[1]: there are two agents "a"`},
		"no effort": {[]*agent.Agent{{Name: "a", Effort: "much"}}, `no effort "much"`},
	} {
		cfg, err := config.Load(config.Sources{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = claudeforce.New(t.Context(), claudeforce.Options{Config: cfg, Model: claudeforcetest.NewModel(t), Agents: c.agents})
		if _, input := errors.AsType[*claudeforce.InputError](err); !input || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want an input error with %q", name, err, c.want)
		}
	}
}

// TestRunsOfAgentsInCodeAreResumed fails a run, and resumes it by orchestrators
// with other agents: those without the agent, and with a changed one, refuse.
func TestRunsOfAgentsInCodeAreResumed(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Sources{Dir: t.TempDir(), Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	with := func(prompt string, answer claudeforcetest.Answer) *claudeforce.Orchestrator {
		opts := claudeforce.Options{Config: cfg, Model: claudeforcetest.NewModel(t, answer)}
		if prompt != "" {
			opts.Agents = []*agent.Agent{{Name: "mine", Prompt: prompt}}
		}
		return claudeforcetest.New(t, opts)
	}
	first := with("You add.", claudeforcetest.Answer{Err: llm.NewError(llm.CodeAuth, "no", nil)})
	wf, err := first.ParseWorkflow("add.yaml", []byte("steps:\n- {id: add, agent: mine, task: 1+1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := first.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	checkRunError(t, engine.StatusFailed, err)
	_, err = with("", claudeforcetest.Answer{}).ResumeRun(t.Context(), res.RunID, claudeforce.ResumeOptions{})
	if err == nil || !strings.Contains(err.Error(), `there is no agent "mine"`) {
		t.Errorf("without the agent: %v", err)
	}
	_, err = with("You multiply.", claudeforcetest.Answer{}).ResumeRun(t.Context(), res.RunID, claudeforce.ResumeOptions{})
	if _, changed := errors.AsType[*claudeforce.ChangedError](err); !changed {
		t.Errorf("with a changed agent: %v", err)
	}
	res, err = with("You add.", claudeforcetest.Answer{Text: "2"}).ResumeRun(t.Context(), res.RunID, claudeforce.ResumeOptions{})
	if err != nil || res.Status != engine.StatusCompleted || res.Output != "2" {
		t.Errorf("with the agent: %+v, %v", res, err)
	}
}
