package otlp_test

import (
	"strings"
	"testing"

	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/telemetry/otlp"
)

func TestWhatTheEnvironmentWants(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for name, test := range map[string]struct {
		env             map[string]string
		traces, metrics bool
	}{
		"nothing":        {map[string]string{}, false, false},
		"both":           {map[string]string{endpoint: "http://127.0.0.1:1"}, true, true},
		"turned off":     {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "True"}, false, false},
		"no metrics":     {map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_METRICS_EXPORTER": "none"}, true, false},
		"one's own":      {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1/v1/metrics"}, false, true},
		"traces only":    {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, true, false},
		"other programs": {map[string]string{"OTEL_SERVICE_NAME": "x"}, false, false},
	} {
		getenv := func(name string) string { return test.env[name] }
		if got := telemetry.Configured(getenv); got != (test.traces || test.metrics) {
			t.Errorf("%s: configured %v", name, got)
		}
		e, err := otlp.New(t.Context(), "test", getenv)
		if err != nil {
			t.Fatal(err)
		}
		if (e.Traces != nil) != test.traces || (e.Metrics != nil) != test.metrics {
			t.Errorf("%s: traces %v, metrics %v", name, e.Traces != nil, e.Metrics != nil)
		}
		_ = e.Shutdown(t.Context()) // nobody listens
	}
}

func TestAnotherProtocolIsSaid(t *testing.T) {
	t.Parallel()
	_, err := otlp.New(t.Context(), "test", func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}[name]
	})
	if err == nil || !strings.Contains(err.Error(), "4318") {
		t.Error(err)
	}
}
