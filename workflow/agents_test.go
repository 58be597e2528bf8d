package workflow_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/workflow"
)

func TestAgentsOfTheFile(t *testing.T) {
	w := mustParse(t, `
defaults: {model: haiku, effort: low, max_tokens: 100, temperature: 0.5}
agents:
  fixer: {prompt: " You fix.\n", tools: "Read, Bash(a, b)", model: opus, thinking: disabled}
  all: {prompt: You do., tools: [Read, "*"], max_turns: 3}
steps:
  - {id: a, agent: fixer, task: t, effort: max}
  - id: group
    steps: [{id: b, agent: all, task: t, model: sonnet, temperature: 0}]
  - {id: c, prompt: You are c., task: t, tools: [Grep]}
  - {id: d, agent: linter, task: t, thinking: 2048, temperature: 1, max_tokens: 4096}
`)
	a, b, c, d := w.Step("a"), w.Step("group").Body.Steps[0], w.Step("c"), w.Step("d")
	got := []any{
		a.Agent, a.Inline.Prompt, a.Inline.Tools, a.Model, a.Effort, a.MaxTokens, a.Thinking.Type, *a.Temperature,
		b.Inline.AllTools, b.Inline.Tools, b.Model, b.MaxTurns, *b.Temperature,
		c.Agent, c.Inline.Name, c.Inline.Tools, c.Inline.AllTools, c.Model,
		d.Inline, *d.Thinking, d.MaxTokens, len(w.Notes),
	}
	want := []any{
		"fixer", "You fix.", []string{"Read", "Bash(a, b)"}, "opus", "max", 100, "disabled", 0.5,
		true, []string(nil), "sonnet", 3, 0.0,
		"c", "", []string{"Grep"}, false, "haiku",
		(*workflow.Agent)(nil), workflow.Thinking{Type: "enabled", Budget: 2048}, 4096, 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
