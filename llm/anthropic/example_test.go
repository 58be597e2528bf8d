package anthropic_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
)

// service is a transport that answers every call with the same stream.
type service struct{}

func (service) RoundTrip(r *http.Request) (*http.Response, error) {
	const events = `event: message_start
data: {"type":"message_start","message":{"id":"msg_1","model":"claude-haiku-5-5","usage":{"input_tokens":8,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Bonjour."}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}

event: message_stop
data: {"type":"message_stop"}

`
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"text/event-stream"}},
		Body:       io.NopCloser(strings.NewReader(events)),
		Request:    r,
	}, nil
}

func Example() {
	env := map[string]string{"ANTHROPIC_API_KEY": "sk-ant-example"} // os.Getenv in a program
	opts, err := anthropic.FromEnv(func(name string) string { return env[name] })
	if err != nil {
		fmt.Println(err)
		return
	}
	opts.HTTPClient = &http.Client{Transport: service{}} // nil in a program
	model, err := anthropic.New(opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	req := &llm.Request{
		Model:     "claude-haiku-5-5",
		MaxTokens: 100,
		Messages:  []llm.Message{llm.UserText("Say hello in French.")},
	}
	for ev, err := range model.Stream(context.Background(), req) {
		switch {
		case err != nil:
			fmt.Println(err)
		case ev.Type == llm.EventText:
			fmt.Println(ev.Text)
		case ev.Type == llm.EventDone:
			fmt.Println(ev.Response.Usage.OutputTokens, "tokens")
		}
	}
	// Output:
	// Bonjour.
	// 5 tokens
}

func ExampleFromEnv() {
	_, err := anthropic.FromEnv(func(string) string { return "" })
	fmt.Println(err)
	// Output:
	// no API key: set ANTHROPIC_API_KEY to one from https://platform.claude.com/settings/keys (authentication)
}
