package telemetry

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/claude-force/claude-force/llm"
)

// Call is a call under way.
type Call struct {
	t    *Telemetry
	ctx  context.Context
	span trace.Span
	req  *llm.Request

	mu       sync.Mutex // guards the fields below
	attempts int        // HTTP requests sent
	failed   string     // how the last of them failed; empty if it did not
}

type callKey struct{}

// Ended is what came of a call.
type Ended struct {
	Response   *llm.Response // nil without an answer
	Source     llm.Source
	Usage      llm.Usage
	Code       llm.Code // 0 for a whole answer
	Attempts   int
	Duration   time.Duration // until the call ended, waiting included
	Service    time.Duration // of the service, for the attempt that answered; 0 if it did not, or if that is unknown
	Waited     time.Duration // nothing was in flight: for a slot, a limit, a budget, between attempts
	FirstToken time.Duration // of the service, until the first piece of the answer; 0 if none came
	CostUSD    *float64      // nil if unknown
	SavedUSD   *float64
}

// Call begins a call; everything that makes it gets the context that is returned.
func (t *Telemetry) Call(ctx context.Context, req *llm.Request) (context.Context, *Call) {
	if t == nil {
		return ctx, nil
	}
	c := &Call{t: t, req: req}
	if !t.traced {
		ctx, c.span = t.tracer.Start(ctx, "chat")
		c.ctx = context.WithValue(ctx, callKey{}, c)
		return c.ctx, c
	}
	attrs := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", "chat"),
		attribute.String("gen_ai.provider.name", "anthropic"),
		attribute.String("gen_ai.request.model", req.Model),
		attribute.Int("gen_ai.request.max_tokens", req.MaxTokens),
		attribute.Bool("gen_ai.request.stream", true),
	}
	if req.Agent != "" {
		attrs = append(attrs, attribute.String("gen_ai.agent.name", req.Agent))
	}
	if len(req.StopSequences) > 0 {
		attrs = append(attrs, attribute.StringSlice("gen_ai.request.stop_sequences", req.StopSequences))
	}
	ctx, c.span = t.tracer.Start(ctx, "chat "+req.Model, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	if t.content && c.span.IsRecording() {
		c.span.SetAttributes(inputs(req)...)
	}
	c.ctx = context.WithValue(ctx, callKey{}, c)
	return c.ctx, c
}

// Shared links the call of ctx to that of leader, whose answer it is given.
func (t *Telemetry) Shared(ctx, leader context.Context) {
	c, _ := ctx.Value(callKey{}).(*Call)
	other, _ := leader.Value(callKey{}).(*Call)
	if c != nil && other != nil {
		c.span.AddLink(trace.Link{SpanContext: other.span.SpanContext()})
	}
}

// End ends the call.
func (c *Call) End(e Ended) {
	if c == nil {
		return
	}
	source := cmp.Or(string(e.Source), "none")
	if c.span.IsRecording() {
		c.describe(e, source)
	}
	c.span.End()
	if c.t.measured {
		c.t.meters.call(c.ctx, c.req, e, source)
	}
	c.t.counters.call(c.ctx, c.req, e, source)
	c.log(e, source)
}

// describe adds what came of the call to its span.
func (c *Call) describe(e Ended, source string) {
	attrs := []attribute.KeyValue{attribute.String("claude_force.source", source)}
	if e.CostUSD != nil {
		attrs = append(attrs, attribute.Float64("claude_force.cost_usd", *e.CostUSD))
	}
	if e.SavedUSD != nil && *e.SavedUSD > 0 {
		attrs = append(attrs, attribute.Float64("claude_force.saved_usd", *e.SavedUSD))
	}
	if e.Attempts > 0 {
		attrs = append(attrs, attribute.Int("claude_force.attempts", e.Attempts))
	}
	if r := e.Response; r != nil {
		attrs = append(attrs,
			attribute.String("gen_ai.response.id", r.ID),
			attribute.String("gen_ai.response.model", r.Model),
			attribute.StringSlice("gen_ai.response.finish_reasons", []string{r.StopReason}))
		if c.t.content {
			attrs = append(attrs, output(r))
		}
	}
	if e.Service > 0 {
		attrs = append(attrs, attribute.Float64("claude_force.service_seconds", e.Service.Seconds()))
	}
	if e.Service > 0 || e.Waited > 0 {
		attrs = append(attrs, attribute.Float64("claude_force.waited_seconds", e.Waited.Seconds()))
	}
	if e.FirstToken > 0 {
		attrs = append(attrs, attribute.Float64("gen_ai.response.time_to_first_chunk", e.FirstToken.Seconds()))
	}
	switch e.Source {
	case llm.SourceLive:
		attrs = append(attrs,
			attribute.Int("gen_ai.usage.input_tokens", e.Usage.PromptTokens()),
			attribute.Int("gen_ai.usage.output_tokens", e.Usage.OutputTokens),
			attribute.Int("gen_ai.usage.cache_read.input_tokens", e.Usage.CacheReadTokens),
			attribute.Int("gen_ai.usage.cache_creation.input_tokens", e.Usage.CacheWrite5m+e.Usage.CacheWrite1h))
	case llm.SourceCache:
		c.span.AddEvent("claude_force.cache_hit")
	case llm.SourceCoalesced:
		c.span.AddEvent("claude_force.coalesced")
	}
	if e.Code != 0 {
		attrs = append(attrs, attribute.String("error.type", e.Code.String()),
			attribute.StringSlice("gen_ai.response.finish_reasons", []string{"error"}))
		c.span.SetStatus(codes.Error, e.Code.String())
	}
	c.span.SetAttributes(attrs...)
}

func (c *Call) log(e Ended, source string) {
	level := slog.LevelInfo
	if e.Code != 0 {
		level = slog.LevelError
	}
	if !c.t.log.Enabled(c.ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("agent", c.req.Agent), slog.String("model", c.req.Model), slog.String("source", source),
		slog.Duration("took", e.Duration),
	}
	if e.Service > 0 || e.Waited > 0 {
		attrs = append(attrs, slog.Duration("service", e.Service), slog.Duration("waited", e.Waited))
	}
	if e.Source == llm.SourceLive {
		attrs = append(attrs, slog.Int("input_tokens", e.Usage.PromptTokens()), slog.Int("output_tokens", e.Usage.OutputTokens))
	}
	if e.CostUSD != nil {
		attrs = append(attrs, slog.Float64("cost_usd", *e.CostUSD))
	}
	if e.Code != 0 {
		attrs = append(attrs, slog.String("code", e.Code.String()))
	}
	c.t.logAt(c.ctx, level, "call ended", attrs...)
}

// message is a turn as the conventions write it.
type message struct {
	Role   string `json:"role"`
	Parts  []part `json:"parts"`
	Finish string `json:"finish_reason,omitempty"`
}

type part struct {
	Type      string          `json:"type"`
	Content   string          `json:"content,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
}

func parts(blocks []llm.Block) []part {
	list := make([]part, 0, len(blocks))
	for _, b := range blocks {
		switch b.Type {
		case llm.BlockText:
			list = append(list, part{Type: "text", Content: b.Text})
		case llm.BlockToolUse:
			list = append(list, part{Type: "tool_call", ID: b.ID, Name: b.Name, Arguments: b.Input})
		default: // thinking, files and results of tools: that they are there
			list = append(list, part{Type: string(b.Type)})
		}
	}
	return list
}

func inputs(req *llm.Request) []attribute.KeyValue {
	turns := make([]message, 0, len(req.Messages))
	for _, m := range req.Messages {
		turns = append(turns, message{Role: m.Role, Parts: parts(m.Content)})
	}
	return []attribute.KeyValue{
		asJSON("gen_ai.system_instructions", parts(req.System)),
		asJSON("gen_ai.input.messages", turns),
	}
}

func output(r *llm.Response) attribute.KeyValue {
	return asJSON("gen_ai.output.messages", []message{{Role: llm.RoleAssistant, Parts: parts(r.Content), Finish: r.StopReason}})
}

func asJSON(name string, v any) attribute.KeyValue {
	data, err := json.Marshal(v)
	if err != nil { // the input of a tool that is not JSON
		return attribute.String(name, "[]")
	}
	return attribute.String(name, string(data))
}
