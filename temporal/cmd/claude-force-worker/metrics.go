package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/telemetry"
)

// metrics are those of a worker for Prometheus. The zero value counts nothing.
type metrics struct {
	counters *telemetry.Counters   // of calls, steps and runs, as servers have them
	sdk      client.MetricsHandler // of Temporal's SDK
}

// seconds are the buckets of the SDK's histograms, which measure requests as well as waits for a worker.
var seconds = []float64{0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600}

// newMetrics registers the metrics of a worker.
func newMetrics(reg *prometheus.Registry) (metrics, error) {
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(reg), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return metrics{}, fmt.Errorf("exporting the metrics of Temporal's SDK: %w", err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(metric.NewView(
		metric.Instrument{Kind: metric.InstrumentKindHistogram},
		metric.Stream{Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: seconds}},
	)))
	handler := opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{Meter: provider.Meter("temporal"), UseMonotonicCounters: true})
	return metrics{telemetry.NewCounters(reg), handler}, nil
}

// headerTimeout bounds how long a client may take for the header of a request.
const headerTimeout = 10 * time.Second

// serveMetrics serves the metrics at an address until the function that it returns is called;
// for an empty address there are none.
func serveMetrics(ctx context.Context, addr string, logger *slog.Logger) (m metrics, stop func(), err error) {
	if addr == "" {
		return metrics{}, func() {}, nil
	}
	reg := prometheus.NewRegistry()
	if m, err = newMetrics(reg); err != nil {
		return m, nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return m, nil, fault.Input(fmt.Errorf("-metrics-listen: %w", err))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("metrics are not served any more", "err", err)
		}
	}()
	logger.Info("serving metrics", "url", fmt.Sprintf("http://%s/metrics", listener.Addr()))
	return m, func() {
		_ = server.Close() // what a scrape loses the next one has
		<-done
	}, nil
}
