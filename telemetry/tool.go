package telemetry

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// ToolCall is an agent's call of a tool.
type ToolCall struct {
	Agent     string
	Name      string          // of the tool
	ID        string          // the service's, of the call
	Unknown   bool            // the agent has no such tool: the name is the model's, and no label of a metric
	Arguments json.RawMessage // for spans, and only if contents are wanted
}

// label returns the tool's name where names must be few.
func (c ToolCall) label() string {
	if c.Unknown {
		return unknownTool
	}
	return c.Name
}

// ToolEnded is what came of a call of a tool.
type ToolEnded struct {
	Failed bool
	Denied bool   // it did not run, since it may not
	Result string // for spans, and only if contents are wanted
}

// Outcomes of calls of tools, as metrics name them.
const (
	toolOK     = "ok"
	toolFailed = "failed"
	toolDenied = "denied"
)

// unknownTool is what metrics call the tools that an agent has not.
const unknownTool = "(unknown)"

// Tool begins a call of a tool; end is called with what came of it.
func (t *Telemetry) Tool(ctx context.Context, call ToolCall) (_ context.Context, end func(ToolEnded)) {
	if t == nil {
		return ctx, func(ToolEnded) {}
	}
	attrs := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", "execute_tool"),
		attribute.String("gen_ai.tool.name", call.Name),
		attribute.String("gen_ai.tool.call.id", call.ID),
		attribute.String("gen_ai.tool.type", "function"),
	}
	label := call.label()
	if call.Agent != "" {
		attrs = append(attrs, attribute.String("gen_ai.agent.name", call.Agent))
	}
	if t.content {
		attrs = append(attrs, attribute.String("gen_ai.tool.call.arguments", string(call.Arguments)))
	}
	ctx, span := t.tracer.Start(ctx, "execute_tool "+label, trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(attrs...))
	t.logAt(ctx, slog.LevelDebug, "tool started", slog.String("agent", call.Agent), slog.String("tool", label))
	start := time.Now()
	return ctx, func(e ToolEnded) { t.toolEnded(ctx, span, call, e, time.Since(start)) }
}

func (t *Telemetry) toolEnded(ctx context.Context, span trace.Span, call ToolCall, e ToolEnded, took time.Duration) {
	outcome, level := toolOK, slog.LevelInfo
	switch {
	case e.Denied:
		outcome, level = toolDenied, slog.LevelWarn
	case e.Failed:
		outcome, level = toolFailed, slog.LevelWarn
	}
	if outcome != toolOK {
		span.SetAttributes(attribute.String("error.type", outcome))
		span.SetStatus(codes.Error, outcome)
	}
	if t.content {
		span.SetAttributes(attribute.String("gen_ai.tool.call.result", e.Result))
	}
	span.End()
	name := call.label()
	which := metric.WithAttributes(attribute.String("gen_ai.tool.name", name), attribute.String("claude_force.tool.outcome", outcome), attribute.String("gen_ai.agent.name", call.Agent))
	t.meters.tools.Add(ctx, 1, which)
	t.meters.toolTime.Record(ctx, took.Seconds(), which)
	if t.counters != nil {
		t.counters.tools.Add(1, call.Agent, name, outcome)
		t.counters.toolSeconds.Observe(took.Seconds(), name)
	}
	t.logAt(ctx, level, "tool ended", slog.String("agent", call.Agent), slog.String("tool", name), slog.String("outcome", outcome), slog.Duration("took", took))
}
