// Package web holds the tools that reach the web: [Web] gives WebFetch, which reads
// a page, and WebSearch, which searches by way of the service.
//
// Pages are fetched over https from public hosts only: the address is checked when
// the connection is made, so a name that resolves to another address the second time
// gains nothing.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/claude-force/claude-force/internal/publicip"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// Options configure a [Web].
type Options struct {
	// Model answers the question about a page, and searches. Without it WebFetch
	// returns the text of the page, and WebSearch fails.
	Model llm.Model

	// ModelID is the id of the model that is called. A small one will do.
	ModelID string

	// Agent is the name of the agent that the calls are recorded for.
	Agent string

	// Policy is how the response cache treats the calls.
	Policy llm.Policy
}

// Web reaches the web. It keeps the pages that it has read for 15 minutes. It is safe
// for concurrent use; several sessions may share one by [Web.With].
type Web struct {
	options Options
	client  *http.Client
	pages   *pages
}

// New returns a Web.
func New(options Options) *Web {
	return &Web{options: options, client: newClient(public, nil, nil), pages: newPages()}
}

// With returns a Web with other options that shares the pages and the connections.
func (w *Web) With(options Options) *Web {
	other := *w
	other.options = options
	return &other
}

// Tools returns WebFetch and WebSearch.
func (w *Web) Tools() []tool.Tool { return []tool.Tool{fetchTool{w}, searchTool{w}} }

// ask calls the model and returns its answer. A turn that the service paused is
// continued.
func (w *Web) ask(ctx context.Context, req *llm.Request) ([]*llm.Response, error) {
	const rounds = 5 // of an answer that is paused again and again
	var answers []*llm.Response
	for range rounds {
		answer, err := w.call(ctx, req)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
		if answer.StopReason != llm.StopPauseTurn {
			return answers, nil
		}
		next := *req
		next.Messages = append(append([]llm.Message(nil), req.Messages...), llm.Message{Role: llm.RoleAssistant, Content: answer.Content})
		req = &next
	}
	return answers, nil
}

func (w *Web) call(ctx context.Context, req *llm.Request) (*llm.Response, error) {
	for ev, err := range w.options.Model.Stream(ctx, req) {
		switch {
		case err != nil:
			return nil, err
		case ev.Type == llm.EventDone:
			return ev.Response, llm.CheckAnswer(req, ev.Response)
		}
	}
	return nil, llm.ErrIncomplete
}

// request returns a request to the model.
func (w *Web) request(system, text string) *llm.Request {
	return &llm.Request{
		Model: w.options.ModelID, System: []llm.Block{llm.TextBlock(system)}, Messages: []llm.Message{llm.UserText(text)},
		MaxTokens: maxAnswer, Agent: w.options.Agent, Policy: w.options.Policy, Unseen: true,
	}
}

// maxAnswer is the most tokens of an answer about a page or a search.
const maxAnswer = 8192

func schema(text string) json.RawMessage { return json.RawMessage(text) }

// public refuses addresses that are not on the public internet.
func public(at netip.AddrPort) error {
	if addr := publicip.Reached(at.Addr()); !publicip.Public(addr) {
		return fmt.Errorf("%s: %w", addr, errPrivate)
	}
	return nil
}

var errPrivate = errors.New("it is no address on the public internet")
