package main

import (
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
)

// TestResumeAdvice has the advice name what must change so that the resumed run does
// not fail in the same way again, for each reason for which runs fail.
func TestResumeAdvice(t *testing.T) {
	t.Parallel()
	failed := func(code llm.Code, c *llm.Ceiling) engine.NotDone {
		return engine.NotDone{Step: "a", Status: engine.StatusFailed, Code: code.String(), Ceiling: c}
	}
	over := func(of, unit string) engine.NotDone {
		return failed(llm.CodeSpendLimit, &llm.Ceiling{Of: of, Unit: unit})
	}
	const kept, resume = "what has finished is kept; ", "resume with: claude-force runs resume run_x"
	for name, c := range map[string]struct {
		failWhen bool
		notDone  []engine.NotDone
		want     string
	}{
		"failed":                {notDone: []engine.NotDone{failed(llm.CodeServer, nil)}, want: kept + resume},
		"fail_when alone":       {failWhen: true, want: "every step has completed; resuming changes nothing until the workflow has changed"},
		"fail_when and failed":  {failWhen: true, notDone: []engine.NotDone{over("run", "usd")}, want: kept + resume},
		"too large":             {notDone: []engine.NotDone{failed(llm.CodeTooLarge, nil)}, want: "resuming changes nothing until the prompt is smaller"},
		"too large and another": {notDone: []engine.NotDone{failed(llm.CodeTooLarge, nil), failed(llm.CodeServer, nil)}, want: kept + resume},
		"run, usd":              {notDone: []engine.NotDone{over("run", "usd")}, want: kept + resume + " --budget USD"},
		"run, calls":            {notDone: []engine.NotDone{over("run", "calls")}, want: kept + "raise calls of the workflow's budget, then " + resume + " --accept-changes"},
		"run, tokens":           {notDone: []engine.NotDone{over("run", "tokens")}, want: kept + "raise tokens of the workflow's budget, then " + resume + " --accept-changes"},
		"run, time":             {notDone: []engine.NotDone{over("run", "time")}, want: kept + "raise time of the workflow's budget, then " + resume + " --accept-changes"},
		"step, usd":             {notDone: []engine.NotDone{over("step", "usd")}, want: kept + "raise usd of the step's budget in the workflow, then " + resume + " --accept-changes"},
		"step, calls":           {notDone: []engine.NotDone{over("step", "calls")}, want: kept + "raise calls of the step's budget in the workflow, then " + resume + " --accept-changes"},
		"day":                   {notDone: []engine.NotDone{over("day", "usd")}, want: kept + "raise the setting budget.day or wait for tomorrow, then " + resume},
		"agent":                 {notDone: []engine.NotDone{over("agent", "usd")}, want: kept + "raise the setting budget.agent, then " + resume},
		"call":                  {notDone: []engine.NotDone{over("call", "usd")}, want: kept + "raise the setting budget.call, then " + resume},
		"the service's":         {notDone: []engine.NotDone{failed(llm.CodeSpendLimit, nil)}, want: kept + "raise the spending limit of the account, then " + resume},
		"two limits": {notDone: []engine.NotDone{over("run", "usd"), over("step", "calls"), over("run", "usd")},
			want: kept + "raise calls of the step's budget in the workflow, then " + resume + " --budget USD --accept-changes"},
		"a budget and another": {notDone: []engine.NotDone{over("run", "usd"), failed(llm.CodeServer, nil)}, want: kept + resume},
	} {
		res := &engine.Result{RunID: "run_x", Status: engine.StatusFailed, FailWhen: c.failWhen, NotDone: c.notDone}
		if got := resumeAdvice(res); got != c.want {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}
