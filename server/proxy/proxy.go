// Package proxy serves the Messages API to its clients: SDKs and Claude Code, with
// ANTHROPIC_BASE_URL set to the server. They have the server's key; the service is asked
// with the operator's credential, which no client sees, and never with what a client
// sent as its own.
//
// Calls of models go through the same pipeline as all others, so that the response cache,
// budgets, learned limits, retries and records apply. What is forwarded is what was
// received, byte for byte: the layers see a request through fields that describe it
// ([llm.Wire]), and none changes it. All other requests are passed on.
package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
)

// Upstream is the way to the service. A *pipeline.Pipeline is one.
type Upstream interface {
	Model() llm.Model
	Prices() *llm.PriceTable
	CheckForward() error
	Forward(ctx context.Context, f *anthropic.Forwarded) (*http.Response, error)
	Budgeted() bool
}

// Options configure a [Proxy]. Upstream must be set.
type Options struct {
	Upstream Upstream
	Agent    string       // under which calls are recorded, cached and budgeted; empty for "proxy"
	Cache    Mode         // of requests that choose none; empty for ModeDeterministic
	Logger   *slog.Logger // gets what goes wrong; nil for none
}

// ErrStopping is the cause with which the contexts of requests end when the server
// stops: calls in flight continue until [Proxy.Close].
var ErrStopping = errors.New("the server is stopping")

// Proxy answers requests to the Messages API.
type Proxy struct {
	opts  Options
	log   *slog.Logger
	via   string // how this proxy names itself to others
	calls context.Context
	stop  context.CancelFunc

	repeats *repeats
	bodies  bodies
}

// New returns a proxy. Calls in flight are canceled when ctx ends, or when the proxy is
// closed, which it must be.
func New(ctx context.Context, opts Options) *Proxy {
	opts.Cache, opts.Agent = cmp.Or(opts.Cache, ModeDeterministic), cmp.Or(opts.Agent, agentName)
	p := &Proxy{opts: opts, log: cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)), via: "claude-force-" + strings.ToLower(rand.Text()[:12]), repeats: newRepeats()}
	p.calls, p.stop = context.WithCancel(ctx)
	return p
}

// Close cancels the calls in flight.
func (p *Proxy) Close() { p.stop() }

// Route is a request that the proxy answers.
type Route struct {
	Pattern string // as [http.ServeMux] takes it
	MaxBody int64  // bytes of a request's body
	Handle  http.HandlerFunc
}

// Bounds of bodies, as the API has them.
const (
	maxMessage = 32 << 20
	maxBatch   = 256 << 20
	maxFile    = 500 << 20
	maxOther   = 1 << 20
)

// Routes returns what the proxy answers.
func (p *Proxy) Routes() []Route {
	routes := []Route{
		{"POST /v1/messages", maxMessage, p.messages},
		{"POST /v1/messages/count_tokens", maxMessage, p.pass},
		{"POST /v1/messages/batches", maxBatch, p.createBatch},
		{"POST /v1/files", maxFile, p.pass},
	}
	for _, pattern := range []string{
		"GET /v1/models", "GET /v1/models/{model...}",
		"GET /v1/messages/batches", "GET /v1/messages/batches/{batch}", "GET /v1/messages/batches/{batch}/results",
		"POST /v1/messages/batches/{batch}/cancel", "DELETE /v1/messages/batches/{batch}",
		"GET /v1/files", "GET /v1/files/{file}", "GET /v1/files/{file}/content", "DELETE /v1/files/{file}",
	} {
		routes = append(routes, Route{pattern, maxOther, p.pass})
	}
	for i, r := range routes {
		routes[i].Handle = p.checked(r.MaxBody, r.Handle)
	}
	return routes
}

// checked returns a handler behind what every request must pass.
func (p *Proxy) checked(maxBody int64, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			writeTooLarge(w, maxBody)
			return
		}
		for _, via := range r.Header["Via"] {
			if strings.Contains(via, p.via) {
				WriteError(w, http.StatusLoopDetected, "the request came back to the proxy that sent it: ANTHROPIC_BASE_URL of the server leads to itself")
				return
			}
		}
		if err := p.opts.Upstream.CheckForward(); err != nil {
			w.Header().Set("X-Should-Retry", "false")
			WriteError(w, http.StatusServiceUnavailable, "the server cannot reach the service: "+err.Error())
			return
		}
		next(w, r)
	}
}

// header returns the headers of a request that are sent on. The credential and what
// concerns the connection are left out where it is sent.
func (p *Proxy) header(r *http.Request) http.Header {
	h := make(http.Header, len(r.Header)+1)
	for name, values := range r.Header {
		switch {
		case strings.HasPrefix(name, ownHeaders): // for the proxy alone
		case name == "Via":
			h[name] = append(h[name], values...)
		default:
			h[name] = values
		}
	}
	h["Via"] = append(h["Via"], r.Proto[len("HTTP/"):]+" "+p.via)
	return h
}

// ownHeaders begins the names of headers that clients and this proxy send each other. A
// service that is such a proxy itself has its own.
const ownHeaders = "X-Claude-Force-"

// copyHeader adds the headers of the service's answer to those of an answer to a client.
// What the server has set for its own host stays, unless it is about keeping the answer,
// and no other host is let in.
func copyHeader(h, service http.Header) {
	for name, values := range service {
		if strings.HasPrefix(name, ownHeaders) || strings.HasPrefix(name, "Access-Control-") || len(h[name]) > 0 && name != "Cache-Control" {
			continue
		}
		h[name] = values
	}
}

// context returns the context of a request's call. It ends when the client goes away,
// and not when the server begins to stop. The caller must call cancel.
func (p *Proxy) context(r *http.Request) (_ context.Context, cancel context.CancelFunc) {
	ctx, end := context.WithCancel(context.WithoutCancel(r.Context()))
	clientGone := context.AfterFunc(r.Context(), func() {
		if !errors.Is(context.Cause(r.Context()), ErrStopping) {
			end()
		}
	})
	closed := context.AfterFunc(p.calls, end)
	return ctx, func() {
		clientGone()
		closed()
		end()
	}
}

// Limits of what a client may take to send and to receive.
const (
	uploadTime = 30 * time.Minute
	writeTime  = 2 * time.Minute // of one piece
)
