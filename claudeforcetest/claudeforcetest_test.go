package claudeforcetest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/claudeforcetest"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/llmtest"
)

func TestModelKeepsTheContract(t *testing.T) {
	llmtest.SuiteModel(t, func(t *testing.T) llm.Model {
		return claudeforcetest.NewModel(t, claudeforcetest.Answer{Text: "an answer"})
	})
}

func TestTheFirstAnswerThatFitsIsGiven(t *testing.T) {
	t.Parallel()
	model := claudeforcetest.NewModel(t,
		claudeforcetest.Answer{Agent: "linter", Times: 1, Text: "once"},
		claudeforcetest.Answer{Agent: "linter", Text: "again"},
		claudeforcetest.Answer{Contains: "config", JSON: map[string]int{"score": 3}},
		claudeforcetest.Answer{Text: "else"},
	)
	orch := claudeforcetest.New(t, claudeforce.Options{Model: model})
	for _, c := range []struct{ agent, prompt, want string }{
		{"linter", "one", "once"},
		{"linter", "config", "again"},
		{"code-reviewer", "look at config.go", `{"score":3}`},
		{"code-reviewer", "look", "else"},
	} {
		res, err := orch.ExecuteAgent(t.Context(), c.agent, c.prompt)
		if err != nil || res.Output != c.want || res.Source != llm.SourceLive || *res.CostUSD == 0 {
			t.Errorf("%s %q: %+v, %v; want %q", c.agent, c.prompt, res, err, c.want)
		}
	}
	if _, err := orch.ExecuteAgent(t.Context(), "linter", "one"); err != nil {
		t.Error(err)
	}
	calls := model.Calls()
	if len(calls) != 4 || calls[0].Agent != "linter" || calls[2].Prompt != "look at config.go" {
		t.Errorf("%d calls; want 4, since the fifth was in the cache: %+v", len(calls), calls)
	}
}

// failing is a test that records its failures.
type failing struct {
	testing.TB
	errors []string
}

func (f *failing) Error(args ...any) { f.errors = append(f.errors, fmt.Sprint(args...)) }

func TestACallThatNoAnswerFitsFailsTheTest(t *testing.T) {
	t.Parallel()
	tb := &failing{TB: t}
	orch := claudeforcetest.New(t, claudeforce.Options{Model: claudeforcetest.NewModel(tb)})
	_, err := orch.ExecuteAgent(t.Context(), "linter", "Check: x=1")
	if llm.CodeOf(err) != llm.CodeInvalid || len(tb.errors) != 1 || !strings.Contains(tb.errors[0], `agent "linter" with the prompt "Check: x=1"`) {
		t.Errorf("%v, reported %q", err, tb.errors)
	}
}

func TestErrorsAreRetriedLikeThoseOfTheService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		model := claudeforcetest.NewModel(t,
			claudeforcetest.Answer{Times: 2, Err: llm.NewError(llm.CodeOverloaded, "try later", nil)},
			claudeforcetest.Answer{Text: "fine", Delay: time.Hour},
		)
		orch := claudeforcetest.New(t, claudeforce.Options{Model: model})
		res, err := orch.Execute(t.Context(), claudeforce.Task{Agent: "linter", Prompt: "p", Timeout: 2 * time.Hour}, nil)
		if err != nil || res.Output != "fine" || len(model.Calls()) != 3 {
			t.Errorf("%+v, %v, %d calls", res, err, len(model.Calls()))
		}
	})
}

func TestACanceledCallStopsWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		orch := claudeforcetest.New(t, claudeforce.Options{Model: claudeforcetest.NewModel(t, claudeforcetest.Answer{Delay: time.Hour})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		res, _ := orch.ExecuteAgent(ctx, "linter", "p")
		if took := time.Since(start); took != time.Second || llm.CodeOf(res.Err) != llm.CodeTimeout {
			t.Errorf("%v after %v", res.Err, took)
		}
	})
}

func TestWorkflowsOfAgentsInCode(t *testing.T) {
	t.Parallel()
	model := claudeforcetest.NewModel(t,
		claudeforcetest.Answer{Agent: "finder", Text: "three bugs"},
		claudeforcetest.Answer{Agent: "fixer", Contains: "three bugs", Text: "fixed"},
	)
	orch := claudeforcetest.New(t, claudeforce.Options{Model: model, Agents: []*agent.Agent{
		{Name: "finder", Prompt: "You find bugs."},
		{Name: "fixer", Prompt: "You fix bugs."},
	}})
	wf, err := orch.ParseWorkflow("fix.yaml", []byte("steps:\n- {id: find, agent: finder, task: Look}\n- {id: fix, agent: fixer, task: 'Fix ${{ steps.find.output }}', dependencies: [find]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := orch.RunWorkflow(t.Context(), wf, claudeforce.RunOptions{})
	if err != nil || res.Status != engine.StatusCompleted || res.Output != "fixed" {
		t.Errorf("%+v, %v", res, err)
	}
	if calls := model.Calls(); len(calls) != 2 || calls[1].Request.System[0].Text != "You fix bugs." {
		t.Errorf("%+v", calls)
	}
}
