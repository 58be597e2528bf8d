package telemetry

import (
	"log/slog"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/claude-force/claude-force/llm"
)

// Sent receives each HTTP request of a call before it is sent, and sends it
// with next: the request carries the trace, attempts after the first are events
// of the call's span. It is a middleware of the official SDK.
func (t *Telemetry) Sent(req *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	ctx := req.Context()
	req = req.Clone(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	c, _ := ctx.Value(callKey{}).(*Call)
	if c == nil {
		return next(req)
	}
	c.sending(req)
	resp, err := next(req)
	switch {
	case err != nil:
		c.attemptFailed(0, llm.CodeOf(err).String())
	case resp.StatusCode >= 400:
		c.attemptFailed(resp.StatusCode, strconv.Itoa(resp.StatusCode))
	}
	return resp, err
}

func (c *Call) sending(req *http.Request) {
	c.mu.Lock()
	c.attempts++
	attempt, failed := c.attempts, c.failed
	c.failed = ""
	c.mu.Unlock()
	if attempt == 1 {
		c.span.SetAttributes(attribute.String("server.address", req.URL.Hostname()))
		if port, err := strconv.Atoi(req.URL.Port()); err == nil {
			c.span.SetAttributes(attribute.Int("server.port", port))
		}
		c.t.logAt(c.ctx, slog.LevelDebug, "call sent", slog.String("agent", c.req.Agent), slog.String("model", c.req.Model))
		return
	}
	if failed == "" {
		failed = "_OTHER" // its stream ended early, or it was sent twice since it is late
	}
	c.span.AddEvent("claude_force.retry", trace.WithAttributes(
		attribute.Int("claude_force.attempt", attempt), attribute.String("error.type", failed)))
	c.t.logAt(c.ctx, slog.LevelWarn, "call sent again", slog.String("agent", c.req.Agent), slog.Int("attempt", attempt), slog.String("after", failed))
	c.t.counters.retry(failed)
}

func (c *Call) attemptFailed(status int, kind string) {
	c.mu.Lock()
	c.failed = kind
	attempt := c.attempts
	c.mu.Unlock()
	attrs := []attribute.KeyValue{attribute.Int("claude_force.attempt", attempt), attribute.String("error.type", kind)}
	if status != 0 {
		attrs = append(attrs, attribute.Int("http.response.status_code", status))
	}
	c.span.AddEvent("claude_force.attempt_failed", trace.WithAttributes(attrs...))
}
