package telemetry

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/propagation"
)

// FromEnv returns a context in the trace that the variables TRACEPARENT and TRACESTATE
// name, if they do.
func FromEnv(ctx context.Context, getenv func(string) string) context.Context {
	parent := getenv("TRACEPARENT")
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent, "tracestate": getenv("TRACESTATE")})
}

// Configured reports whether the standard variables name somewhere to send
// traces or metrics to, and do not turn it off.
func Configured(getenv func(string) string) bool {
	return Wanted(getenv, "TRACES") || Wanted(getenv, "METRICS")
}

// Wanted returns [Configured] for one signal, TRACES or METRICS.
func Wanted(getenv func(string) string, signal string) bool {
	return !strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") && getenv("OTEL_"+signal+"_EXPORTER") != "none" &&
		(getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != "")
}
