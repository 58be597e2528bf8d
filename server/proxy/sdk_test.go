package proxy_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/server/proxy"
	"github.com/claude-force/claude-force/sim"
)

// TestGoSDK has the official Go SDK ask the simulator through the proxy.
func TestGoSDK(t *testing.T) {
	tcp := httptest.NewServer(sim.New(sim.Options{}))
	t.Cleanup(tcp.Close)
	s := serve(t, tcp.URL, proxy.ModeAlways)
	client := anthropic.NewClient(option.WithBaseURL(s.url), option.WithAPIKey(s.key), option.WithMaxRetries(0))
	ask := anthropic.MessageNewParams{
		Model: "claude-haiku-5-5", MaxTokens: 1000,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Explain lists"))},
	}
	streamed := func() string {
		stream := client.Messages.NewStreaming(t.Context(), ask)
		message := anthropic.Message{}
		for stream.Next() {
			if err := message.Accumulate(stream.Current()); err != nil {
				t.Fatal(err)
			}
		}
		if stream.Err() != nil || message.StopReason != "end_turn" || message.Usage.OutputTokens == 0 {
			t.Fatalf("%v: %+v", stream.Err(), message)
		}
		return message.ID + message.Content[0].Text
	}
	first := streamed()
	message, err := client.Messages.New(t.Context(), ask)
	if err != nil || message.ID+message.Content[0].Text != first {
		t.Errorf("%v: %+v, streamed %s", err, message, first)
	}
	if again := streamed(); again != first {
		t.Errorf("streamed again: %s; want %s", again, first)
	}
	for call := range 3 {
		if got := <-s.ended; (got.Source == "cache") != (call > 0) {
			t.Errorf("call %d was answered by %s", call, got.Source)
		}
	}
	count, err := client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: ask.Model, Messages: ask.Messages})
	if err != nil || count.InputTokens == 0 {
		t.Errorf("%v: %+v", err, count)
	}
	if models, err := client.Models.List(t.Context(), anthropic.ModelListParams{}); err != nil || len(models.Data) == 0 {
		t.Errorf("%v: %+v", err, models)
	}
	ask.MaxTokens = 0
	ask.Model = "claude-nothing-1"
	_, err = client.Messages.New(t.Context(), ask)
	if e, ok := errors.AsType[*anthropic.Error](err); !ok || e.StatusCode < 400 || e.StatusCode > 499 || e.RequestID == "" {
		t.Errorf("an unknown model: %v", err)
	}
	wrong := anthropic.NewClient(option.WithBaseURL(s.url), option.WithAPIKey("sk-other"), option.WithMaxRetries(0))
	_, err = wrong.Messages.New(t.Context(), ask)
	if e, ok := errors.AsType[*anthropic.Error](err); !ok || e.StatusCode != 401 || e.Response.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("with another key: %v", err)
	}
}
