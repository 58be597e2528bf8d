package otlp_test

import (
	"context"
	"errors"
	"os"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/telemetry/otlp"
)

// What is exported goes where OTEL_EXPORTER_OTLP_ENDPOINT says.
func ExampleNew() {
	explain := func(ctx context.Context) (err error) {
		exporter, err := otlp.New(ctx, "1.0", os.Getenv)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, exporter.Shutdown(ctx)) }()
		orch, err := claudeforce.New(ctx, claudeforce.Options{
			Telemetry: telemetry.Options{Traces: exporter.Traces, Metrics: exporter.Metrics},
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, orch.Close()) }()
		_, err = orch.ExecuteAgent(ctx, "python-expert", "Explain decorators")
		return err
	}
	_ = explain
}
