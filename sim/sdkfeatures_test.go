package sim_test

import (
	"context"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/toolrunner"

	"github.com/claude-force/claude-force/sim"
)

type readInput struct {
	FilePath string `json:"file_path" jsonschema:"required"`
}

// TestGoSDKToolRunner lets the SDK's tool runner play a script. It begins with
// a message thread, and sends the whole conversation once that is refused.
func TestGoSDKToolRunner(t *testing.T) {
	t.Parallel()
	script, err := sim.ParseScript("s.yaml", []byte(`
rules:
  - when: {task: Look at both}
    turns:
      - tools: [{name: read, input: {file_path: a.go}}, {name: read, input: {file_path: b.go}}]
      - tools: [{name: read, input: {file_path: c.go}}]
      - text: I have read three files.
`))
	if err != nil {
		t.Fatal(err)
	}
	_, client := goSDKFor(t, sim.New(sim.Options{Script: script}))
	for _, disabled := range []bool{true, false} {
		paths := make(chan string, 9)
		read, err := toolrunner.NewBetaToolFromJSONSchema("read", "Reads a file",
			func(_ context.Context, in readInput) (anthropic.BetaToolResultBlockParamContentUnion, error) {
				paths <- in.FilePath
				return anthropic.BetaToolResultBlockParamContentUnion{OfText: &anthropic.BetaTextBlockParam{Text: "package " + in.FilePath}}, nil
			})
		if err != nil {
			t.Fatal(err)
		}
		runner := client.Beta.Messages.NewToolRunner([]anthropic.BetaTool{read}, anthropic.BetaToolRunnerParams{
			BetaMessageNewParams: anthropic.BetaMessageNewParams{
				Model: "claude-opus-5-5", MaxTokens: 2000,
				Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("Look at both"))},
			},
			MaxIterations: 6, DisableThread: disabled,
		})
		last, err := runner.RunToCompletion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if text := last.Content[len(last.Content)-1].Text; text != "I have read three files." || len(paths) != 3 {
			t.Errorf("threads disabled: %t: %d files read, then %q", disabled, len(paths), text)
		}
	}
}

// TestGoSDKStructuredOutput lets the SDK derive a schema, whose bounds it moves
// into descriptions, and parse the answer.
func TestGoSDKStructuredOutput(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	format := anthropic.BetaJSONSchemaOutputFormat(object{"type": "object", "required": []string{"score", "tags", "id"}, "properties": object{
		"score": object{"type": "integer", "minimum": 3, "maximum": 5, "description": "How good"},
		"tags":  object{"type": "array", "minItems": 3, "items": object{"type": "string", "maxLength": 4}},
		"id":    object{"type": "string", "format": "uuid"},
	}})
	message, err := client.Beta.Messages.New(t.Context(), anthropic.BetaMessageNewParams{
		Model: "claude-haiku-5-5", MaxTokens: 2000, OutputConfig: anthropic.BetaOutputConfigParam{Format: format},
		Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("Judge this"))},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Score int
		Tags  []string
		ID    string
	}
	text := message.Content[len(message.Content)-1].Text
	decode(t, text, &got)
	if got.Score < 3 || got.Score > 5 || len(got.Tags) < 3 || len(got.Tags[0]) > 4 || strings.Count(got.ID, "-") != 4 {
		t.Errorf("answered %s", text)
	}
}

// TestGoSDKSystemMessages changes the effort within a conversation, as Claude Code
// does.
func TestGoSDKSystemMessages(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	message, err := client.Beta.Messages.New(t.Context(), anthropic.BetaMessageNewParams{
		Model: "claude-opus-5-5", MaxTokens: 2000, Betas: []anthropic.AnthropicBeta{"a-beta-2026-10-01"},
		Thinking: anthropic.BetaThinkingConfigParamUnion{OfAdaptive: &anthropic.BetaThinkingConfigAdaptiveParam{
			Display: anthropic.BetaThinkingConfigAdaptiveDisplayUpdates,
		}},
		Messages: []anthropic.BetaMessageParam{
			anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("Explain lists")),
			{OfSystem: &anthropic.BetaSystemMessageParam{OutputConfig: anthropic.BetaSystemMessageOutputConfigParam{Effort: "low"}}},
		},
	})
	if err != nil || message.StopReason != "end_turn" {
		t.Errorf("%+v, %v", message, err)
	}
}
