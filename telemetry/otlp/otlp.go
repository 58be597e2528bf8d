// Package otlp exports traces and metrics of OpenTelemetry over OTLP/HTTP, as
// the standard variables OTEL_* say. It is apart from package telemetry since
// what it links makes every command that holds it start slower.
package otlp

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/claude-force/claude-force/telemetry"
)

// Exporter sends to a collector. Shut it down when done: what has not been sent
// is lost else.
type Exporter struct {
	Traces  trace.TracerProvider // nil if the environment does not want them
	Metrics metric.MeterProvider // nil if the environment does not want them

	shutdown []func(context.Context) error
}

// New makes an exporter. getenv says which signals are wanted, where they go, and
// with which headers, certificates, compression and timeout. Sampling and the size
// of batches are read from the environment by OpenTelemetry's own SDK. Nothing is
// sent before there is something. The error names the variable that cannot be used.
func New(ctx context.Context, version string, getenv func(string) string) (*Exporter, error) {
	if p := getenv("OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; this program sends http/protobuf only: set it to that, and the endpoint to the collector's port for HTTP, usually 4318", p)
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "claude-force"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last, so that OTEL_SERVICE_NAME goes before
	)
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	e := &Exporter{}
	if telemetry.Wanted(getenv, "TRACES") {
		sender, err := newClient("TRACES", getenv)
		if err != nil {
			return nil, err
		}
		exporter, err := otlptrace.New(ctx, sender)
		if err != nil {
			return nil, fmt.Errorf("making the exporter of traces: %w", err)
		}
		p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
		e.Traces, e.shutdown = p, append(e.shutdown, p.Shutdown)
	}
	if telemetry.Wanted(getenv, "METRICS") {
		sender, err := newClient("METRICS", getenv)
		if err != nil {
			return nil, errors.Join(err, e.Shutdown(ctx))
		}
		p := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter{sender})), sdkmetric.WithResource(res))
		e.Metrics, e.shutdown = p, append(e.shutdown, p.Shutdown)
	}
	return e, nil
}

// Shutdown sends what is left and stops.
func (e *Exporter) Shutdown(ctx context.Context) error {
	var errs []error
	for _, stop := range e.shutdown {
		errs = append(errs, stop(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sending telemetry: %w", err)
	}
	return nil
}
