package sim_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claude-force/claude-force/llm"
)

// TestStreamedAndPlainAnswersAreEqual compares both answers to one request in
// all but their ids.
func TestStreamedAndPlainAnswersAreEqual(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	rapid.Check(t, func(t *rapid.T) {
		params := ask(rapid.SampledFrom([]string{"Explain lists", "Look\n[simulate: call Grep]", "Do it\n[simulate: call Bash]\n[simulate: call Edit]"}).Draw(t, "task"))
		params.Model = anthropic.Model(rapid.SampledFrom([]string{"claude-haiku-5-5", "claude-opus-4-8", "claude-haiku-4-5"}).Draw(t, "model"))
		params.MaxTokens = int64(rapid.SampledFrom([]int{1, 3, 25, 60, 2000}).Draw(t, "max_tokens"))
		if rapid.Bool().Draw(t, "stops") {
			params.StopSequences = []string{rapid.SampledFrom([]string{"Task", "This", "Conclusion", "e"}).Draw(t, "stop")}
		}
		if rapid.Bool().Draw(t, "tools") {
			for _, tool := range agentTools {
				var p anthropic.ToolUnionParam
				if err := json.Unmarshal([]byte(encode(t, tool)), &p); err != nil {
					t.Fatal(err)
				}
				params.Tools = append(params.Tools, p)
			}
		}
		plain, err := client.Messages.New(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		var streamed anthropic.Message
		stream := client.Messages.NewStreaming(t.Context(), params)
		for stream.Next() {
			if err := streamed.Accumulate(stream.Current()); err != nil {
				t.Fatal(err)
			}
		}
		if stream.Err() != nil {
			t.Fatal(stream.Err())
		}
		if plain.ID == streamed.ID || !strings.HasPrefix(plain.ID, "msg_01") {
			t.Errorf("the ids are %s and %s", plain.ID, streamed.ID)
		}
		if diff := cmp.Diff(summarize(t, *plain), summarize(t, streamed)); diff != "" {
			t.Errorf("plain and streamed (-plain +streamed):\n%s", diff)
		}
	})
}

// summarize returns the parts of an answer that do not differ between answers to
// one request.
func summarize(t rapid.TB, m anthropic.Message) any {
	t.Helper()
	var blocks []any
	for _, b := range m.Content {
		var input any
		if b.Type == "tool_use" {
			if err := json.Unmarshal(b.Input, &input); err != nil {
				t.Fatal(err)
			}
		}
		if b.Type == "text" && b.Text == "" {
			t.Error("an empty text block")
		}
		blocks = append(blocks, []any{b.Type, b.Text, b.Thinking, b.Signature, b.ID, b.Name, input})
	}
	u := m.Usage
	return []any{blocks, m.StopReason, m.StopSequence, m.Model, u.InputTokens, u.OutputTokens, u.OutputTokensDetails.ThinkingTokens}
}

func TestModelsArePaged(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	whole, err := client.Models.List(t.Context(), anthropic.ModelListParams{Limit: anthropic.Int(1000)})
	if err != nil || whole.HasMore {
		t.Fatalf("%+v, %v", whole, err)
	}
	var ids []string
	pages := client.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{Limit: anthropic.Int(5)})
	for pages.Next() {
		ids = append(ids, pages.Current().ID)
	}
	if pages.Err() != nil || len(ids) != len(whole.Data) {
		t.Errorf("paged %d of %d models: %v", len(ids), len(whole.Data), pages.Err())
	}
	for i, m := range whole.Data {
		if i < len(ids) && m.ID != ids[i] || i > 0 && m.CreatedAt.After(whole.Data[i-1].CreatedAt) {
			t.Errorf("model %d is %s", i, m.ID)
		}
	}
	page, err := client.Models.List(t.Context(), anthropic.ModelListParams{Limit: anthropic.Int(2), BeforeID: anthropic.String(ids[5])})
	if err != nil || !page.HasMore || page.FirstID != ids[3] || page.LastID != ids[4] || len(page.Data) != 2 {
		t.Errorf("before %s: %+v, %v", ids[5], page, err)
	}
	page, err = client.Models.List(t.Context(), anthropic.ModelListParams{Limit: anthropic.Int(9), AfterID: anthropic.String(ids[len(ids)-1])})
	if err != nil || page.HasMore || len(page.Data) != 0 {
		t.Errorf("after the last: %+v, %v", page, err)
	}
	for _, params := range []anthropic.ModelListParams{{Limit: anthropic.Int(0)}, {Limit: anthropic.Int(1001)}, {AfterID: anthropic.String("x")}} {
		if _, err := client.Models.List(t.Context(), params); err == nil {
			t.Errorf("accepted %+v", params)
		}
	}
}

func TestCapabilitiesAgreeWithRefusals(t *testing.T) {
	t.Parallel()
	server, client := goSDK(t)
	pages := client.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{})
	for pages.Next() {
		m := pages.Current()
		c := m.Capabilities
		if m.MaxInputTokens == 0 || m.MaxTokens == 0 || !c.Batch.Supported || !c.StructuredOutputs.Supported || !c.Thinking.Supported || m.CreatedAt.Before(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%+v", m)
		}
		known, _ := llm.Prices().Info(m.ID)
		accepts := func(fields object) bool {
			fields["model"], fields["max_tokens"] = m.ID, 4000
			res, _ := post(t, server, encode(t, with(fields)))
			return res.StatusCode == 200
		}
		for level, supported := range map[string]bool{"low": c.Effort.Low.Supported, "medium": c.Effort.Medium.Supported, "high": c.Effort.High.Supported, "xhigh": c.Effort.Xhigh.Supported, "max": c.Effort.Max.Supported} {
			if got := accepts(object{"output_config": object{"effort": level}}); got != supported {
				t.Errorf("%s at effort %s: accepted %t, said to be %t", m.ID, level, got, supported)
			}
			if got := slices.Contains(known.Efforts, level); got != supported {
				t.Errorf("%s at effort %s: %t in the price table, said to be %t", m.ID, level, got, supported)
			}
		}
		for kind, supported := range map[string]bool{"adaptive": c.Thinking.Types.Adaptive.Supported, "between_tools": c.Thinking.Types.BetweenTools.Supported, "disabled": c.Thinking.Types.Disabled.Supported, "enabled": c.Thinking.Types.Enabled.Supported} {
			thinking := object{"type": kind}
			if kind == "enabled" {
				thinking["budget_tokens"] = 1024
			}
			if got := accepts(object{"thinking": thinking}); got != supported {
				t.Errorf("%s with %s thinking: accepted %t, said to be %t", m.ID, kind, got, supported)
			}
			if got := slices.Contains(known.Thinking, kind); got != supported {
				t.Errorf("%s with %s thinking: %t in the price table, said to be %t", m.ID, kind, got, supported)
			}
		}
	}
	if pages.Err() != nil {
		t.Fatal(pages.Err())
	}
}

func TestImagesCountByDimensions(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	count := func(model string, blocks ...anthropic.ContentBlockParamUnion) int64 {
		t.Helper()
		n, err := client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{
			Model: anthropic.Model(model), Messages: []anthropic.MessageParam{anthropic.NewUserMessage(blocks...)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return n.InputTokens
	}
	for _, tt := range []struct {
		model         string
		width, height int
		want          int64
	}{
		{"claude-haiku-4-5", 280, 280, 100}, {"claude-haiku-5-5", 1000, 1000, 36 * 36},
		{"claude-haiku-4-5", 4000, 3000, 1568}, {"claude-haiku-5-5", 4000, 3000, 4784}, {"claude-haiku-5-5", 1, 1, 1},
	} {
		var data bytes.Buffer
		if err := png.Encode(&data, image.NewGray(image.Rect(0, 0, tt.width, tt.height))); err != nil {
			t.Fatal(err)
		}
		picture := anthropic.NewImageBlockBase64("image/png", base64.StdEncoding.EncodeToString(data.Bytes()))
		text := anthropic.NewTextBlock("What is this?")
		if got := count(tt.model, picture, text) - count(tt.model, text); got < tt.want || got > tt.want+60 {
			t.Errorf("%d x %d on %s: %d tokens, want about %d", tt.width, tt.height, tt.model, got, tt.want)
		}
	}
}
