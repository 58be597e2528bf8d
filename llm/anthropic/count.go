package anthropic

import (
	"context"
	"net/http"
	"slices"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/llm"
)

// CountTokens returns the service's estimate of the tokens in req's prompt. It
// is free of charge and ignores prompt caching and the fields in req.Extra.
// Bedrock does not support it.
func (c *Client) CountTokens(ctx context.Context, req *llm.Request) (int, error) {
	if ctx.Err() != nil {
		return 0, llm.ContextError(ctx)
	}
	o := newObject()
	o.field("model", req.Model)
	encodePrompt(o, req)
	body, err := o.bytes()
	if err != nil {
		return 0, err
	}
	send, err := c.sender(ctx)
	if err != nil {
		return 0, c.setupError(ctx, err)
	}
	var count struct {
		InputTokens int `json:"input_tokens"`
	}
	var seen *http.Response
	err = send(ctx, http.MethodPost, "v1/messages/count_tokens", body, &count, c.callOptions(req, &seen)...)
	c.observe(req, seen)
	if err != nil {
		return 0, c.callError(ctx, req, seen, err)
	}
	return count.InputTokens, nil
}

// samplingVersion is the anthropic-version of calls with one of the samplingFields, which
// [APIVersion] refuses whatever the model is.
const samplingVersion = "2023-06-01"

var samplingFields = []string{"temperature", "top_p", "top_k"}

// callOptions returns the SDK's options for one call.
func (c *Client) callOptions(req *llm.Request, seen **http.Response) []option.RequestOption {
	options := []option.RequestOption{capture(seen)}
	if betas := c.betas(req); betas != "" {
		options = append(options, option.WithHeader(betaHeader, betas))
	}
	if slices.ContainsFunc(samplingFields, func(name string) bool { return req.Extra[name] != nil }) {
		options = append(options, option.WithHeader("anthropic-version", samplingVersion))
	}
	return options
}
