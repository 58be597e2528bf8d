//go:build !otel

package main

import (
	"context"

	"github.com/claude-force/claude-force/telemetry"
)

// export sends traces and metrics to a collector. OpenTelemetry's SDK would add
// to the start-up time of every command, so it is part of the program only if
// it is built with the tag otel.
func export(context.Context, *telemetry.Options, func(error)) (end func(context.Context) error, err error) {
	return nil, badInput(`the environment names a collector for OpenTelemetry (OTEL_EXPORTER_OTLP_ENDPOINT), but this build leaves the exporter out, to start faster; install the one that has it:
    go install -tags otel github.com/claude-force/claude-force/cmd/claude-force@latest
or go without, with CLAUDE_FORCE_TELEMETRY=false`)
}
