// Package telemetry tells the outside what happens: OpenTelemetry traces and
// metrics with the names of the GenAI conventions (v1.41), Prometheus counters,
// and log lines. The root package calls it; it imports only the API of
// OpenTelemetry: what exports is given to [New]; telemetry/otlp makes it.
//
// One trace is one run, or one task that was given outside of a run:
//
//	invoke_workflow NAME   a run
//	  step PATH            a step, an item of a foreach, an iteration of a loop
//	    invoke_agent NAME  an attempt at it
//	      chat MODEL       a call; its retries are events
//	      execute_tool X   a tool the agent called
//
// Tokens are on the spans of calls that were paid for; other calls say what they
// saved, so that whoever adds up tokens adds up what was used. Prompts and
// answers are left out unless [Options].Content says otherwise, credentials
// always.
//
// A nil *Telemetry is telemetry that is off: all its methods do nothing.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/claude-force/claude-force/llm"
)

// scope is the name of the instrumentation.
const scope = "github.com/claude-force/claude-force"

// Options say where spans, metrics and log lines go. The zero value drops them.
type Options struct {
	Traces   trace.TracerProvider // nil for no traces
	Metrics  metric.MeterProvider // nil for no metrics of OpenTelemetry
	Counters *Counters            // Prometheus; nil for none
	Logger   *slog.Logger         // nil for no log

	// Content puts prompts and answers on the spans of calls.
	Content bool
}

// Telemetry tells what happens. It is safe for concurrent use.
type Telemetry struct {
	tracer   trace.Tracer
	traced   bool // else spans only pass on the trace that they are called in
	measured bool // else meters count nothing
	meters   *instruments
	counters *Counters // nil for none
	log      *slog.Logger
	content  bool
}

// New returns telemetry as opts say; nil if there is nothing to report to. Whoever made the
// providers shuts them down.
func New(opts Options) (*Telemetry, error) {
	if opts.Traces == nil && opts.Metrics == nil && opts.Counters == nil && (opts.Logger == nil || opts.Logger.Handler() == slog.DiscardHandler) {
		return nil, nil
	}
	t := &Telemetry{counters: opts.Counters, log: opts.Logger, content: opts.Content, traced: opts.Traces != nil, measured: opts.Metrics != nil}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if opts.Traces == nil {
		opts.Traces = tracenoop.NewTracerProvider() // it still passes on the trace it is called in
	}
	t.tracer = opts.Traces.Tracer(scope)
	if opts.Metrics == nil {
		opts.Metrics = metricnoop.NewMeterProvider()
	}
	var err error
	if t.meters, err = newInstruments(opts.Metrics.Meter(scope)); err != nil {
		return nil, fmt.Errorf("making the metrics of OpenTelemetry: %w", err)
	}
	return t, nil
}

// where says which run, step and agent a context belongs to.
type where struct {
	run  *Run // nil outside of a run
	step string
	item string
}

type whereKey struct{}

func placeOf(ctx context.Context) where {
	w, _ := ctx.Value(whereKey{}).(where)
	return w
}

// logAt writes a log line with the ids of the run and step that ctx belongs to.
func (t *Telemetry) logAt(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	if !t.log.Enabled(ctx, level) {
		return
	}
	w := placeOf(ctx)
	ids := make([]slog.Attr, 0, 3+len(attrs))
	if w.run != nil {
		ids = append(ids, slog.String("run_id", w.run.id))
	}
	if w.step != "" {
		ids = append(ids, slog.String("step_id", w.step))
	}
	if w.item != "" {
		ids = append(ids, slog.String("item", w.item))
	}
	t.log.LogAttrs(ctx, level, message, append(ids, attrs...)...)
}

// fail marks a span as failed. The span gets the kind of the error and not its text,
// which may quote a prompt.
func fail(span trace.Span, err error) {
	code := llm.CodeOf(err).String()
	span.SetStatus(codes.Error, code)
	span.SetAttributes(attribute.String("error.type", code))
}

// Agent begins an agent's work on a task; end is called with its error, or nil.
func (t *Telemetry) Agent(ctx context.Context, name, task string) (_ context.Context, end func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	attrs := []attribute.KeyValue{
		attribute.String("gen_ai.operation.name", "invoke_agent"),
		attribute.String("gen_ai.provider.name", "anthropic"),
		attribute.String("gen_ai.agent.name", name),
	}
	if task != "" {
		attrs = append(attrs, attribute.String("claude_force.task.id", task))
	}
	ctx, span := t.tracer.Start(ctx, "invoke_agent "+name, trace.WithAttributes(attrs...))
	return ctx, func(err error) {
		if err != nil {
			fail(span, err)
		}
		span.End()
	}
}
