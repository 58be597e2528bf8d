package main

import (
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
)

// resumeAdvice returns what makes a run complete that has failed: a command, and what
// must change before. What it names is of the limit that ran out, since a resume
// without more of it fails again.
func resumeAdvice(res *engine.Result) string {
	resume := "claude-force runs resume " + res.RunID
	switch {
	case res.FailWhen && len(res.NotDone) == 0:
		return "every step has completed; resuming changes nothing until the workflow has changed"
	case onlyFailed(res, llm.CodeTooLarge):
		return "resuming changes nothing until the prompt is smaller"
	case res.FailWhen || !res.OverBudget():
		return "what has finished is kept; resume with: " + resume
	}
	before, flags := ceilingAdvice(ceilings(res))
	if before != "" {
		return fmt.Sprintf("what has finished is kept; %s, then resume with: %s%s", before, resume, flags)
	}
	return "what has finished is kept; resume with: " + resume + flags
}

// tasksAdvice returns the advice for a run of tasks. The budget of a task is in the file
// of the tasks, which a resumed run does not read again.
func tasksAdvice(res *engine.Result) string {
	for _, c := range ceilings(res) {
		if c.Of == "step" {
			return fmt.Sprintf("raise %s of the task's budget and run the tasks again: what was answered comes from the cache", c.Unit)
		}
	}
	return resumeAdvice(res)
}

// ceilings returns the limits of budgets that had no room, each once.
func ceilings(res *engine.Result) (list []llm.Ceiling) {
	seen := map[llm.Ceiling]bool{}
	for _, n := range res.NotDone {
		if n.Ceiling != nil && !seen[*n.Ceiling] {
			seen[*n.Ceiling] = true
			list = append(list, *n.Ceiling)
		}
	}
	return list
}

// ceilingAdvice returns what must be done before a run is resumed, and the flags of
// the command that resumes it, so that there is more room in all limits of a list. An
// empty list stands for a limit of the service.
func ceilingAdvice(list []llm.Ceiling) (before, flags string) {
	if len(list) == 0 {
		return "raise the spending limit of the account", ""
	}
	var todo []string
	edited, budget := false, false
	for _, c := range list {
		switch {
		case c.Of == "run" && c.Unit == "usd":
			budget = true
		case c.Of == "run":
			edited = true
			todo = append(todo, fmt.Sprintf("raise %s of the workflow's budget", c.Unit))
		case c.Of == "step":
			edited = true
			todo = append(todo, fmt.Sprintf("raise %s of the step's budget in the workflow", c.Unit))
		case c.Of == "day":
			todo = append(todo, "raise the setting budget.day or wait for tomorrow")
		default:
			todo = append(todo, "raise the setting budget."+c.Of)
		}
	}
	if budget {
		flags += " --budget USD"
	}
	if edited {
		flags += " --accept-changes"
	}
	return strings.Join(todo, " and "), flags
}

// onlyFailed reports whether every failure of a run had a code, and there is any.
func onlyFailed(res *engine.Result, code llm.Code) bool {
	failed := 0
	for _, n := range res.NotDone {
		if n.Status != engine.StatusFailed {
			continue
		}
		if failed++; n.Code != code.String() {
			return false
		}
	}
	return failed > 0
}
