// Command claude-force-worker works on the runs that were started for Temporal:
//
//	claude-force run review.yaml --engine temporal
//
// Any number of workers share them, on any number of machines that have the project in the
// same folder and the same store, a PostgreSQL database. The configuration is that of
// claude-force.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm/anthropic/cloud"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/temporal/codec"
	"github.com/claude-force/claude-force/temporal/relay"
	"github.com/claude-force/claude-force/temporal/runner"
)

func main() {
	sandbox.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	code := exitCode(ctx, err)
	if code != 0 {
		fmt.Fprintln(os.Stderr, "claude-force-worker:", err)
	}
	os.Exit(code)
}

// exitCode returns the exit code of a worker that ended with an error. A signal, with which ctx
// ends, may have come before there was work: that is no failure.
func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp), ctx.Err() != nil && errors.Is(err, context.Canceled):
		return 0
	case fault.Has(err, fault.KindInput), fault.Has(err, fault.KindOutdated):
		return 2
	}
	return 1
}

// Environment variables, named as other programs of Temporal have them.
const (
	addressVar   = "TEMPORAL_ADDRESS"
	namespaceVar = "TEMPORAL_NAMESPACE"
	apiKeyVar    = "TEMPORAL_API_KEY" //nolint:gosec // the name of a variable
)

type options struct {
	address, namespace, queue string
	security                  security
	dir, dataDir              string
	deployment, build         string
	current                   bool
	attempts                  int
	heartbeat, stopTime       time.Duration
	events, part              int
	metrics                   string
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func parse(args []string) (*options, error) {
	var o options
	flags := flag.NewFlagSet("claude-force-worker", flag.ContinueOnError)
	flags.StringVar(&o.address, "temporal", or(os.Getenv(addressVar), client.DefaultHostPort), "`HOST:PORT` of the Temporal server ("+addressVar+")")
	flags.StringVar(&o.namespace, "namespace", or(os.Getenv(namespaceVar), client.DefaultNamespace), "namespace of the runs ("+namespaceVar+")")
	flags.StringVar(&o.queue, "task-queue", "claude-force", "task queue of the workers that share the runs")
	o.security.register(flags)
	flags.StringVar(&o.dir, "dir", "", "`FOLDER` of the project, instead of the one in which a run was started")
	flags.StringVar(&o.dataDir, "data-dir", "", "folder of the store's files, as of claude-force")
	flags.StringVar(&o.deployment, "deployment", "", "`NAME` of the deployment: runs stay with workers of the build that they began with")
	flags.StringVar(&o.build, "build-id", buildID(), "with -deployment: the `ID` of this worker's build")
	flags.BoolVar(&o.current, "current", false, "with -deployment: new runs begin with this build")
	flags.IntVar(&o.attempts, "max-attempts", 200, "most units attempted at once; calls at once are those of the setting jobs")
	flags.DurationVar(&o.heartbeat, "heartbeat", relay.DefaultHeartbeat, "how long a worker may be silent before others take over what it does")
	flags.DurationVar(&o.stopTime, "stop-timeout", 30*time.Second, "how long what is under way may take when the worker is stopped")
	flags.IntVar(&o.events, "history-events", 0, "events of a history after which it is continued in another; 0 for what the server suggests")
	flags.IntVar(&o.part, "part", relay.DefaultPart, "most items of a foreach in one history")
	flags.StringVar(&o.metrics, "metrics-listen", "", "serve metrics for Prometheus at this `ADDRESS`, such as 127.0.0.1:9464; they name agents, models and keys")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "claude-force-worker works on the runs that were started with: claude-force run FILE --engine temporal\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fault.Input(err)
	}
	switch {
	case flags.NArg() > 0:
		return nil, fault.Input(fmt.Errorf("there are no arguments besides flags, and %q was given", flags.Arg(0)))
	case !strings.Contains(o.address, ":"):
		return nil, fault.Input(fmt.Errorf("-temporal must be HOST:PORT, and %q has no port", o.address))
	case (o.security.cert == "") != (o.security.key == ""):
		return nil, fault.Input(errors.New("-tls-cert and -tls-key go together"))
	case o.deployment == "" && o.current:
		return nil, fault.Input(errors.New("-current needs -deployment"))
	case o.attempts < 1 || o.heartbeat < time.Second || o.events < 0 || o.part < 1:
		return nil, fault.Input(errors.New("-max-attempts and -part must be above 0, -heartbeat at least 1s, -history-events not below 0"))
	}
	return &o, nil
}

// buildID returns the revision that the program was built from.
func buildID() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return or(info.Main.Version, "unknown")
}

// settings returns the settings for a folder.
func (o *options) settings(dir string) (*config.Config, error) {
	cfg, err := claudeforce.LoadConfig(or(o.dir, dir))
	if err != nil {
		return nil, fault.Input(err)
	}
	if o.dataDir != "" {
		if err := cfg.Set("data_dir", o.dataDir, "-data-dir"); err != nil {
			return nil, fault.Input(err)
		}
	}
	return cfg, nil
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	cfg, err := o.settings("")
	if err != nil {
		return err
	}
	if cfg.Store == "" {
		return fault.Input(errors.New("workers share a store: set store to the URL of a PostgreSQL database, or CLAUDE_FORCE_STORE"))
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	m, stop, err := serveMetrics(ctx, o.metrics, logger)
	if err != nil {
		return err
	}
	defer stop()
	store, err := claudeforce.OpenHistory(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	joined, ok := store.(relay.Store)
	if !ok {
		return fmt.Errorf("engines cannot own the runs of %T", store)
	}
	c, err := o.connect(ctx, cfg, logger, m.sdk)
	if err != nil {
		return err
	}
	defer c.Close()
	work := runner.New(store, claudeforce.EngineTemporal, o.opener(logger, m.counters), logger)
	defer work.Close()
	return o.work(ctx, c, logger, func(w worker.Worker) { relay.Register(w, work) }, func(ctx context.Context) {
		d := relay.Dispatcher{
			Client: c, Namespace: o.namespace, TaskQueue: o.queue, Store: joined, Engine: claudeforce.EngineTemporal, Log: logger,
			Input: relay.RunInput{Heartbeat: o.heartbeat, Events: o.events, Part: o.part}, Fairness: fairness(store),
		}
		d.Run(ctx)
	})
}

// connect connects to the server once it can be reached.
func (o *options) connect(ctx context.Context, cfg *config.Config, logger *slog.Logger, handler client.MetricsHandler) (c client.Client, err error) {
	err = untilReached(ctx, logger, func() (err error) {
		c, err = dial(ctx, o, cfg, logger, handler)
		return err
	})
	return c, err
}

// work runs a worker, and dispatch beside it, until ctx ends. It returns an error if the server
// refuses the worker for good, with which the SDK ends its polls.
func (o *options) work(ctx context.Context, c client.Client, logger *slog.Logger, register func(worker.Worker), dispatch func(context.Context)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var w worker.Worker
	err := untilReached(ctx, logger, func() error {
		w = worker.New(c, o.queue, worker.Options{
			MaxConcurrentActivityExecutionSize: o.attempts,
			WorkerStopTimeout:                  o.stopTime,
			DisableRegistrationAliasing:        true,
			DeploymentOptions:                  o.version(),
			BuildID:                            o.build, //nolint:staticcheck // the default, a hash of the program, takes much of a history
			OnFatalError:                       func(err error) { cancel(&refusedError{err}) },
		})
		register(w)
		if err := w.Start(); err != nil {
			return fmt.Errorf("starting the worker: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer w.Stop()
	err = o.makeCurrent(ctx, c)
	if err == nil {
		logger.Info("working", "temporal", o.address, "namespace", o.namespace, "task-queue", o.queue)
		dispatch(ctx)
		logger.Info("stopping")
	}
	if refused, ok := errors.AsType[*refusedError](context.Cause(ctx)); ok {
		return refused
	}
	return err
}

// refusedError is the error for which the SDK ends a worker's polls for good.
type refusedError struct{ err error }

func (e *refusedError) Error() string {
	return fmt.Sprintf("the Temporal server refuses this worker's polls, so it has stopped: %v", e.err)
}

func (e *refusedError) Unwrap() error { return e.err }

// untilReached calls do until it succeeds or fails for another reason than that Temporal
// cannot be reached, which it says once. If ctx ends before, its error is returned.
func untilReached(ctx context.Context, logger *slog.Logger, do func() error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for said := false; ; said = true {
		err := do()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !unreached(err):
			return err
		}
		if !said {
			logger.WarnContext(ctx, "waiting for Temporal", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unreached reports whether an error says that a server is away, as it may be for a while.
func unreached(err error) bool {
	_, unavailable := errors.AsType[*serviceerror.Unavailable](err)
	_, late := errors.AsType[*serviceerror.DeadlineExceeded](err)
	_, network := errors.AsType[*net.OpError](err)
	return !fault.Has(err, fault.KindInput) && (unavailable || late || network || errors.Is(err, context.DeadlineExceeded))
}

// opener returns how orchestrators for runs are opened. Counters may be nil.
func (o *options) opener(logger *slog.Logger, counters *telemetry.Counters) runner.Open {
	return func(ctx context.Context, dir string, s runs.Settings) (*claudeforce.Orchestrator, error) {
		cfg, err := o.settings(dir)
		if err != nil {
			return nil, err
		}
		opts := claudeforce.Options{Dir: or(o.dir, dir), Config: cfg, KeyOptional: true, Logger: logger, Cloud: cloud.Options(pipeline.Backend(cfg))}
		if err := opts.ApplySettings(s); err != nil {
			return nil, err
		}
		opts.Telemetry.Counters = counters
		opts.OnNotice = func(ctx context.Context, text string) { logger.WarnContext(ctx, text) }
		return claudeforce.New(ctx, opts)
	}
}

// fairness returns the key by which runs share the workers: the team of the key that a run
// is for, or the key.
func fairness(store journal.Store) func(context.Context, string) (string, error) {
	return func(ctx context.Context, id string) (string, error) {
		run, err := store.Find(ctx, id)
		if err != nil {
			return "", fmt.Errorf("finding run %s: %w", id, err)
		}
		spec, err := runs.ReadSpec(run)
		if err != nil {
			return "", err
		}
		key := or(spec.Team, spec.Key)
		return key[:min(64, len(key))], nil
	}
}

// dial connects to the server. What histories hold is encrypted if the store is. The handler of
// metrics may be nil.
func dial(ctx context.Context, o *options, cfg *config.Config, logger *slog.Logger, handler client.MetricsHandler) (client.Client, error) {
	opts := client.Options{MetricsHandler: handler, HostPort: o.address, Namespace: o.namespace, Logger: log.NewStructuredLogger(slog.New(quiet{logger.Handler()})), Identity: identity()}
	key, err := pipeline.EncryptionKey(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if key != nil {
		c, err := codec.New(key)
		if err != nil {
			return nil, fault.Input(err)
		}
		opts.DataConverter = converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)
		opts.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{DataConverter: opts.DataConverter, EncodeCommonAttributes: true})
	}
	if opts.ConnectionOptions.TLS, err = o.security.config(); err != nil {
		return nil, err
	}
	opts.ConnectionOptions.TLSDisabled = opts.ConnectionOptions.TLS == nil // with an API key too
	if apiKey := os.Getenv(apiKeyVar); apiKey != "" {
		opts.Credentials = client.NewAPIKeyStaticCredentials(apiKey)
	}
	c, err := client.DialContext(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("connecting to Temporal at %s: %w", o.address, whyNot(ctx, o.address, opts.ConnectionOptions.TLS, err))
	}
	return c, nil
}

// identity returns the name of this worker in histories.
func identity() string {
	host, _ := os.Hostname() // empty if unknown
	return fmt.Sprintf("%d@%s", os.Getpid(), host)
}

// version returns the deployment that the worker is of.
func (o *options) version() worker.DeploymentOptions {
	if o.deployment == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning: true, Version: worker.WorkerDeploymentVersion{DeploymentName: o.deployment, BuildID: o.build},
		DefaultVersioningBehavior: workflow.VersioningBehaviorPinned,
	}
}

// makeCurrent has new runs begin with this build, if that was asked for.
func (o *options) makeCurrent(ctx context.Context, c client.Client) error {
	if !o.current {
		return nil
	}
	stopped := ctx
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	handle := c.WorkerDeploymentClient().GetHandle(o.deployment)
	for tick := time.NewTicker(500 * time.Millisecond); ; { // the server knows the build once a worker has polled
		_, err := handle.SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: o.build, IgnoreMissingTaskQueues: true})
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if stopped.Err() != nil {
				return stopped.Err()
			}
			return fmt.Errorf("making build %s the current one of %s: %w", o.build, o.deployment, err)
		}
	}
}
