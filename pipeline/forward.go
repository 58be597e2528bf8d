package pipeline

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/claude-force/claude-force/llm/anthropic"
)

// errNoForward reports a model that is no service.
var errNoForward = errors.New("requests are not sent on: no service answers them")

// CheckForward returns why requests of clients of the API cannot be sent on to the
// service, or nil if they can.
func (p *Pipeline) CheckForward() error {
	if p.client == nil {
		return cmp.Or(p.none, errNoForward)
	}
	return p.client.CheckForward()
}

// Forward sends a request of a client of the API on to the service, past all layers, with
// this pipeline's credential: see [anthropic.Client.Forward]. It is for what is no call of
// a model.
func (p *Pipeline) Forward(ctx context.Context, f *anthropic.Forwarded) (*http.Response, error) {
	if p.client == nil {
		return nil, cmp.Or(p.none, errNoForward)
	}
	return p.client.Forward(ctx, f)
}

// Budgeted reports whether a budget bounds what calls may cost.
func (p *Pipeline) Budgeted() bool {
	b := p.config.Budget
	return b.Day != nil || b.Agent != nil || b.Call != nil
}
