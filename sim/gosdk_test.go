package sim_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/sim"
)

// goSDK returns the official Go SDK connected over TCP.
func goSDK(t *testing.T, opts ...option.RequestOption) (*sim.Server, anthropic.Client) {
	t.Helper()
	return goSDKFor(t, sim.New(sim.Options{}), opts...)
}

// goSDKFor returns the official Go SDK connected to a server over TCP.
func goSDKFor(t *testing.T, server *sim.Server, opts ...option.RequestOption) (*sim.Server, anthropic.Client) {
	t.Helper()
	tcp := httptest.NewServer(server)
	t.Cleanup(tcp.Close)
	opts = append([]option.RequestOption{option.WithBaseURL(tcp.URL), option.WithAPIKey("sk-test")}, opts...)
	return server, anthropic.NewClient(opts...)
}

func ask(text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: "claude-haiku-5-5", MaxTokens: 1000,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
	}
}

func TestGoSDKNonStreaming(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	message, err := client.Messages.New(t.Context(), ask("Explain lists"))
	if err != nil {
		t.Fatal(err)
	}
	text := textOf(*message)
	if message.StopReason != "end_turn" || !strings.Contains(text, "simulated") || !strings.Contains(text, "Explain lists") {
		t.Errorf("stopped by %s: %s", message.StopReason, text)
	}
	if message.Usage.InputTokens == 0 || message.Usage.OutputTokens == 0 {
		t.Errorf("usage %+v", message.Usage)
	}
}

// textOf returns the text of an answer's text blocks.
func textOf(message anthropic.Message) string {
	text := ""
	for _, b := range message.Content {
		text += b.Text
	}
	return text
}

// drain reads a stream to its end.
func drain(t *testing.T, client anthropic.Client, params anthropic.MessageNewParams) (message anthropic.Message, events int, err error) {
	t.Helper()
	stream := client.Messages.NewStreaming(t.Context(), params)
	for stream.Next() {
		events++
		if err := message.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	return message, events, stream.Err()
}

func TestGoSDKStreaming(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	message, events, err := drain(t, client, ask("Explain dicts"))
	if err != nil || message.StopReason != "end_turn" || events < 8 {
		t.Fatalf("%d events, stopped by %q: %v", events, message.StopReason, err)
	}
	if !strings.Contains(textOf(message), "Explain dicts") {
		t.Errorf("answered %q", textOf(message))
	}
}

func TestGoSDKTools(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	params := ask("How is the weather in Paris?\n[simulate: call get_weather]")
	params.Tools = []anthropic.ToolUnionParam{anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{
		Properties: map[string]any{"city": map[string]string{"type": "string"}}, Required: []string{"city"},
	}, "get_weather")}
	message, _, err := drain(t, client, params)
	if err != nil || message.StopReason != "tool_use" {
		t.Fatalf("stopped by %q: %v", message.StopReason, err)
	}
	use := message.Content[len(message.Content)-1]
	var input struct{ City string }
	if err := json.Unmarshal(use.Input, &input); err != nil || input.City == "" {
		t.Fatalf("input %s: %v", use.Input, err)
	}
	params.Messages = append(params.Messages, message.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(use.ID, "18 degrees, rain", false)))
	answer, err := client.Messages.New(t.Context(), params)
	if err != nil || !strings.Contains(textOf(*answer), "18 degrees, rain") {
		t.Fatalf("answered %v: %v", answer, err)
	}
}

func TestGoSDKRetries429(t *testing.T) {
	t.Parallel()
	server, client := goSDK(t)
	server.Inject(sim.Fault{Kind: sim.FaultStatus, Status: 429, RetryAfter: "0.01", Times: 2})
	if _, err := client.Messages.New(t.Context(), ask("Explain sets")); err != nil {
		t.Fatal(err)
	}
	if s := server.Stats(); s.RateLimited != 2 || s.Requests != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestGoSDKMidStreamError(t *testing.T) {
	t.Parallel()
	server, client := goSDK(t)
	server.Inject(sim.Fault{Kind: sim.FaultStreamError, After: 4, Times: 1})
	_, events, err := drain(t, client, ask("Explain tuples"))
	failure, ok := errors.AsType[*anthropic.Error](err)
	if !ok || failure.Type() != "overloaded_error" || events != 3 {
		t.Errorf("%d events (pings are not shown), then %v", events, err)
	}
}

func TestGoSDKCutStream(t *testing.T) {
	t.Parallel()
	server, client := goSDK(t)
	server.Inject(sim.Fault{Kind: sim.FaultCutStream, After: 4, Times: 1})
	message, _, err := drain(t, client, ask("Explain generators"))
	if err == nil || message.StopReason != "" {
		t.Errorf("stopped by %q, error %v", message.StopReason, err)
	}
	server.Inject(sim.Fault{Kind: sim.FaultEndStream, After: 4, Times: 1})
	message, _, err = drain(t, client, ask("Explain generators"))
	if err != nil || message.StopReason != "" {
		t.Errorf("a stream that just ends is no error to the SDK; got %q, %v", message.StopReason, err)
	}
}

func TestGoSDKErrors(t *testing.T) {
	t.Parallel()
	server, client := goSDK(t, option.WithMaxRetries(0))
	tests := map[string]struct {
		fault  sim.Fault
		status int
		kind   string
	}{
		"overloaded":  {sim.Fault{Kind: sim.FaultStatus, Status: 529}, 529, "overloaded_error"},
		"spend limit": {sim.Fault{Kind: sim.FaultStatus, Status: 429, ErrorCode: "enforced_spend_limit_reached"}, 429, "rate_limit_error"},
		"a proxy":     {sim.Fault{Kind: sim.FaultHTML}, 502, ""},
	}
	for name, tt := range tests {
		tt.fault.Times = 1
		server.Inject(tt.fault)
		_, err := client.Messages.New(t.Context(), ask("hi"))
		failure, ok := errors.AsType[*anthropic.Error](err)
		if !ok || failure.StatusCode != tt.status || string(failure.Type()) != tt.kind || failure.RequestID == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, kind := range []sim.FaultKind{sim.FaultDrop, sim.FaultCutBody} {
		server.Inject(sim.Fault{Kind: kind, Times: 1})
		if _, err := client.Messages.New(t.Context(), ask("hi")); err == nil {
			t.Errorf("%s: no error", kind)
		}
	}
	if _, err := client.Messages.New(t.Context(), ask("hi"), option.WithAPIKey("invalid-key")); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestGoSDKCountsAndModels(t *testing.T) {
	t.Parallel()
	_, client := goSDK(t)
	count, err := client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: "claude-haiku-5-5", Messages: ask("How many?").Messages})
	if err != nil || count.InputTokens == 0 {
		t.Errorf("counted %v: %v", count, err)
	}
	pages := client.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{})
	found := false
	for pages.Next() {
		found = found || pages.Current().ID == "claude-haiku-5-5"
	}
	if pages.Err() != nil || !found {
		t.Errorf("the list of models has no claude-haiku-5-5: %v", pages.Err())
	}
	if info, err := client.Models.Get(t.Context(), "claude-haiku-5-5", anthropic.ModelGetParams{}); err != nil || info.ID != "claude-haiku-5-5" {
		t.Errorf("got %v: %v", info, err)
	}
}
