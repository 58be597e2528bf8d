package main

import (
	"context"
	"os"

	"go.opentelemetry.io/otel"

	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/telemetry/otlp"
)

// export sends traces and metrics to the collector that the environment names,
// until end is called. It calls problem with every later error, such as a
// collector that does not answer.
func export(ctx context.Context, to *telemetry.Options, problem func(error)) (end func(context.Context) error, err error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(problem))
	exporter, err := otlp.New(ctx, version(), os.Getenv)
	if err != nil {
		return nil, inputError{err}
	}
	to.Traces, to.Metrics = exporter.Traces, exporter.Metrics
	return exporter.Shutdown, nil
}
