package workflow_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/workflow"
)

// TestConditionsThatCanNeverBeTrue gives conditions on the status of dependencies.
func TestConditionsThatCanNeverBeTrue(t *testing.T) {
	t.Parallel()
	const a, b = "steps.a.status", "steps.b-b.status"
	for _, c := range []struct {
		when, a, b, join string
		never            bool
	}{
		{a + ` == "failed"`, "fail", "fail", "all", true},
		{a + ` == 'failed'`, "skip_dependents", "fail", "all", true},
		{a + ` == "failed"`, "{fallback: f}", "fail", "all", true},
		{a + ` == "failed"`, "continue", "fail", "all", false},
		{a + ` == "failed"`, "fail", "fail", "any", false},
		{a + ` == "failed"`, "fail", "fail", "2", true},
		{b + ` == "failed"`, "continue", "fail", "all", true},
		{`steps["b-b"].status == "failed"`, "continue", "fail", "all", true},
		{`"failed" == ` + a, "fail", "fail", "all", true},
		{a + ` != "completed"`, "fail", "fail", "all", true},
		{`!(` + a + ` == "completed")`, "fail", "fail", "all", true},
		{`not (` + a + ` == "completed")`, "fail", "fail", "all", true},
		{a + ` in ["failed", "skipped"]`, "fail", "fail", "all", true},
		{a + ` in ["failed", "completed"]`, "fail", "fail", "all", false},
		{a + ` == "skipped"`, "continue", "fail", "all", true},
		{a + ` == "skipped"`, "continue", "fail", "any", false},
		{a + ` == "pending"`, "fail", "fail", "all", true},
		{a + ` == "success"`, "continue", "continue", "any", true}, // there is none
		{a + ` == "failed" && ` + b + ` == "failed"`, "fail", "fail", "any", true},
		{a + ` == "failed" && ` + b + ` == "failed"`, "continue", "fail", "any", false},
		{a + ` == "failed" && ` + b + ` == "completed"`, "fail", "fail", "any", false},
		{a + ` == "failed" || ` + b + ` == "failed"`, "continue", "fail", "all", false},
		{a + ` == "failed" || ` + b + ` == "failed"`, "fail", "fail", "all", true},
		{a + ` == "failed" || steps.a.output == "x"`, "fail", "fail", "all", false},
		{a + ` == "failed" && steps.a.output == "x"`, "fail", "fail", "all", true},
		{a + ` == "completed" ? params.p : true`, "fail", "fail", "all", false},
		{a + ` == "completed" ? false : params.p`, "fail", "fail", "all", true},
		{a + ` == "completed"`, "fail", "fail", "all", false},
		{a + ` != "failed"`, "fail", "fail", "all", false},
		{`steps.a.output contains "status"`, "fail", "fail", "all", false},
		{"${{ " + a + ` == "failed" }}`, "fail", "fail", "all", true},
	} {
		file := "params: {p: true}\nsteps:\n" +
			"- {id: a, agent: x, task: t, on_failure: " + c.a + "}\n- {id: b-b, agent: x, task: t, on_failure: " + c.b + "}\n- {id: f, agent: x, task: t}\n" +
			"- id: c\n  agent: x\n  task: t\n  dependencies: [a, b-b]\n  join: " + c.join + "\n  when: >-\n    " + c.when + "\n"
		_, err := workflow.Parse("test.yaml", []byte(file), workflow.Options{})
		never := err != nil && strings.Contains(err.Error(), "can never be true")
		if err != nil && !never {
			t.Fatalf("%s: %v", c.when, err)
		}
		// A step within the one that waits sees the same.
		file = strings.Replace(file, "  agent: x\n  task: t\n  dep", "  dep", 1)
		file = strings.Replace(file, "  when: >-\n    ", "  steps:\n  - id: in\n    agent: x\n    task: t\n    when: >-\n      ", 1)
		_, err = workflow.Parse("test.yaml", []byte(file), workflow.Options{})
		if inner := err != nil && strings.Contains(err.Error(), `when of step "in" can never be true`); inner != never || err != nil && !inner {
			t.Errorf("within a step: %s, a: %s, b-b: %s, join: %s: %v, want never %t", c.when, c.a, c.b, c.join, err, c.never)
		}
		if never != c.never {
			t.Errorf("%s, a: %s, b-b: %s, join: %s: %v, want never %t", c.when, c.a, c.b, c.join, err, c.never)
		}
	}
}
