package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/telemetry"
)

// telemetryFlags are those of every verb; what they ask for begins with the
// verbs that make calls.
type telemetryFlags struct {
	level, format string

	ending []func(context.Context) error // what is to be done when the verb has ended
}

func (f *telemetryFlags) register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.level, "log-level", "", "write log lines with run and step ids to the standard error: debug, info, warn or error (default: none)")
	flags.StringVar(&f.format, "log-format", "text", "how log lines are written: text or json")
}

// args returns the flags, to pass them to another process of this program.
func (f *telemetryFlags) args() []string {
	if f.level == "" {
		return nil
	}
	return []string{"--log-level", f.level, "--log-format", f.format}
}

// logger returns the log that the flags ask for; nil for none.
func (a *app) logger() (*slog.Logger, error) {
	var level slog.Level
	switch a.telemetry.level {
	case "":
		return nil, nil
	case "debug", "info", "warn", "error":
		if err := level.UnmarshalText([]byte(a.telemetry.level)); err != nil {
			return nil, err
		}
	default:
		return nil, badInput("--log-level %q is none of debug, info, warn and error", a.telemetry.level)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch a.telemetry.format {
	case "text":
		return slog.New(slog.NewTextHandler(a.stderr, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, opts)), nil
	}
	return nil, badInput("--log-format %q is neither text nor json", a.telemetry.format)
}

// setTelemetry sets where the orchestrator sends traces and metrics, and log lines if it
// has no logger yet.
func (a *app) setTelemetry(ctx context.Context, cfg *config.Config, listen string, opts *claudeforce.Options) (err error) {
	if opts.Logger == nil {
		if opts.Logger, err = a.logger(); err != nil {
			return err
		}
	}
	if listen != "" {
		if opts.Telemetry.Counters, err = a.serveMetrics(ctx, listen); err != nil {
			return err
		}
	}
	if cfg.Telemetry.Enabled && telemetry.Configured(os.Getenv) {
		end, err := export(ctx, &opts.Telemetry, func(err error) { a.say("note: telemetry: %v", err) })
		if err != nil {
			return err
		}
		a.telemetry.ending = append(a.telemetry.ending, end)
	}
	if opts.Telemetry.Traces == nil && os.Getenv("TRACEPARENT") != "" {
		opts.Telemetry.Traces = tracenoop.NewTracerProvider() // passes the caller's trace on
	}
	return nil
}

// telemetryTimeout bounds the wait for a collector when a verb has ended.
const telemetryTimeout = 5 * time.Second

// endTelemetry sends what is left. What cannot be sent is said and changes
// nothing else.
func (a *app) endTelemetry(ctx context.Context) {
	if len(a.telemetry.ending) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), telemetryTimeout)
	defer cancel()
	for _, end := range a.telemetry.ending {
		if err := end(ctx); err != nil {
			a.say("note: %v", err)
		}
	}
}

// serveMetrics serves counters on a loopback address while the verb lasts.
func (a *app) serveMetrics(ctx context.Context, addr string) (*telemetry.Counters, error) {
	listener, err := listenLoopback(ctx, "--metrics-listen", addr)
	if err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	a.serveAside(listener, mux)
	a.say("metrics on http://%s/metrics", listener.Addr())
	return telemetry.NewCounters(reg), nil
}

// listenLoopback listens at the address that a flag gives, which no other machine may
// reach.
func listenLoopback(ctx context.Context, flag, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || !isLoopback(host) {
		return nil, badInput("%s %q is not a loopback address such as 127.0.0.1:9464", flag, addr)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, badInput("%s: %w", flag, err)
	}
	return listener, nil
}

// isLoopback reports whether a host, without its port, is this machine alone.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// serveAside serves something beside what the verb does, until that has ended.
func (a *app) serveAside(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }() // waited for when the verb has ended
	a.telemetry.ending = append(a.telemetry.ending, func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
}
