package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/llm/admission"
	"github.com/claude-force/claude-force/mcpserver"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/server/proxy"
	"github.com/claude-force/claude-force/telemetry"
)

// defaultListen is where the server listens if nothing else is said.
const defaultListen = "127.0.0.1:8484"

// Limits of the server's connections: a client that sends or takes nothing must not
// hold one for ever. Streams of events set deadlines of their own.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10 // bytes
)

// proxiedCalls is how many calls of clients of the Messages API are in flight at once, if
// the service's limits let them: their clients have bounds of their own.
const proxiedCalls = 256

// drainTime is how long the steps in flight may take when the server is stopped.
const drainTime = 30 * time.Second

type serveFlags struct {
	callFlags
	listen      string
	hosts       []string
	behindProxy bool
	cert, key   string // of TLS
	logFormat   string
	open        bool
	proxyCache  string
	pprof       string
	publicURL   string
}

func (a *app) serve() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the runs of this project over HTTP",
		Long: `Serve an API to start, follow, answer, stop and resume the runs of the project in
this folder, and pages for a browser that show them. GET /openapi.json describes the
API. Every request needs the key that "claude-force keys token" prints, also on this
machine; a browser logs in once, at the address that is printed, or with the key.

The server drives the runs that it starts. When it is stopped, or crashes, its next
process resumes them; what has finished is not called again.

It starts the runs of the project's schedules, see "claude-force schedules", and sends
events to webhooks, see "claude-force webhooks".

It is also a proxy for clients of the Messages API, such as SDKs and Claude Code: with
ANTHROPIC_BASE_URL=http://127.0.0.1:8484 and the server's key as ANTHROPIC_API_KEY they
get the response cache, the budgets and the limits of this project. The service is
asked with the server's own credential.

Addresses that other machines can reach are refused without --tls-cert and --tls-key,
unless a proxy in front of the server encrypts the connections (--behind-proxy).`,
		Example: `  claude-force serve
  claude-force serve --open
  claude-force serve --listen 127.0.0.1:9000 --simulate
  curl -H "Authorization: Bearer $(claude-force keys token)" http://127.0.0.1:8484/api/v1/runs
  ANTHROPIC_BASE_URL=http://127.0.0.1:8484 ANTHROPIC_API_KEY=$(claude-force keys token) claude
  claude-force serve --listen 0.0.0.0:8484 --allowed-host ci.example.com --tls-cert cert.pem --tls-key key.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runServer(cmd.Context(), &f) },
	}
	registerServing(cmd, &f.callFlags)
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", defaultListen, "address to listen at")
	flags.StringArrayVar(&f.hosts, "allowed-host", nil, "name that the server answers to, beside localhost and its address; may be repeated")
	flags.BoolVar(&f.behindProxy, "behind-proxy", false, "allow an address that other machines can reach without TLS: a proxy in front encrypts")
	flags.StringVar(&f.cert, "tls-cert", "", "file of the certificate, for TLS")
	flags.StringVar(&f.key, "tls-key", "", "file of the certificate's key, for TLS")
	flags.BoolVar(&f.open, "open", false, "open the pages of the server in the browser")
	flags.StringVar(&f.proxyCache, "proxy-cache", string(proxy.ModeDeterministic), "answers that clients of the Messages API share: deterministic (at temperature 0, and repeats of one session), always or off")
	flags.StringVar(&f.publicURL, "public-url", "", "address of the pages for those who get links to them in webhooks, such as https://force.example.com")
	flags.StringVar(&f.pprof, "pprof", "", "serve profiles of the process on this loopback address too, such as 127.0.0.1:6060")
	flags.StringVar(&f.logFormat, "log-format", "text", "form of the log on the standard error: text or json")
	completeFlag(cmd, "proxy-cache", cobra.FixedCompletions([]string{"always", "deterministic", "off"}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// check finds flags that do not go together.
func (f *serveFlags) check() error {
	if err := f.checkServing(); err != nil {
		return err
	}
	if f.logFormat != "text" && f.logFormat != "json" {
		return badInput("--log-format %q is neither text nor json", f.logFormat)
	}
	if err := checkPublicURL(f.publicURL); err != nil {
		return err
	}
	if (f.cert == "") != (f.key == "") {
		return badInput("--tls-cert and --tls-key go together")
	}
	return nil
}

// checkPublicURL finds what is wrong with an address that links to pages begin with.
func checkPublicURL(text string) error {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return badInput("--public-url %q is not an address such as https://force.example.com", text)
	}
	return nil
}

// listener returns the socket that the service manager gives, or listens at the address.
func (f *serveFlags) listener(ctx context.Context) (net.Listener, error) {
	given, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("taking the socket of the service manager: %w", err)
	}
	given = slices.DeleteFunc(given, func(l net.Listener) bool { return l == nil }) // is no socket of streams
	switch len(given) {
	case 0:
	case 1:
		return given[0], nil
	default:
		for _, l := range given {
			err = errors.Join(err, l.Close())
		}
		return nil, errors.Join(badInput("the service manager gives %d sockets; the server takes one", len(given)), err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, inputError{fmt.Errorf("listening at %s: %w", f.listen, err)}
	}
	return listener, nil
}

// checkExposed refuses an address that other machines can reach without encryption: the
// key would be readable on its way.
func (f *serveFlags) checkExposed(addr net.Addr) error {
	tcp, ok := addr.(*net.TCPAddr)
	if addr.Network() == "unix" || ok && tcp.IP.IsLoopback() || f.cert != "" || f.behindProxy {
		return nil
	}
	return badInput("other machines can reach %s, and keys would be sent to it in the clear: give --tls-cert and --tls-key, or --behind-proxy if a proxy encrypts, or listen at %s", addr, defaultListen)
}

func (a *app) runServer(ctx context.Context, f *serveFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	key, err := localKey(cfg)
	if err != nil {
		return err
	}
	mode, err := proxy.ParseMode(f.proxyCache)
	if err != nil {
		return badInput("--proxy-cache %w", err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counters := telemetry.NewCounters(reg)
	// What is wrong with flags and settings is said now, not at the first run.
	orch, err := a.openIn(ctx, &f.callFlags, claudeforce.Options{
		KeyOptional: true, Gate: admission.NewGate(max(cfg.Jobs, proxiedCalls)), Telemetry: telemetry.Options{Counters: counters},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, orch.Close()) }()
	listener, err := f.listener(ctx)
	if err != nil {
		return err
	}
	if err := f.checkExposed(listener.Addr()); err != nil {
		return closing(err, listener)
	}
	handler := slog.Handler(slog.NewTextHandler(a.stderr, nil))
	if f.logFormat == "json" {
		handler = slog.NewJSONHandler(a.stderr, nil)
	}
	logger := slog.New(handler)
	if err := a.serveProfiles(ctx, f.pprof); err != nil {
		return closing(err, listener)
	}
	hooks, err := openWebhooks(ctx, cfg)
	if err != nil {
		return closing(err, listener)
	}
	timetable, err := openSchedules(cfg)
	if err != nil {
		return closing(err, listener)
	}
	srv, err := server.New(ctx, server.Options{
		Config: cfg, Key: key, Hosts: f.hosts, Version: version(), Settings: f.runSettings(), Logger: logger,
		Open: a.opener(logger, counters), Metrics: reg, Secure: f.cert != "" || f.behindProxy,
		Schedules: timetable, Webhooks: hooks, PublicURL: f.publicURL,
		Proxy: proxy.New(ctx, proxy.Options{Upstream: orch.Calls(), Cache: mode, Logger: logger}),
	})
	if err != nil {
		return closing(err, listener)
	}
	mcpserver.Mount(srv, version())
	return a.serveUntilStopped(ctx, f, srv, listener, logger, cfg.DataDir)
}

// opener returns how a server opens orchestrators. Counters may be nil.
func (a *app) opener(logger *slog.Logger, counters *telemetry.Counters) func(context.Context, string, runs.Settings) (*claudeforce.Orchestrator, error) {
	return func(ctx context.Context, dir string, s runs.Settings) (*claudeforce.Orchestrator, error) {
		calls := callFlags{given: func(string) bool { return false }}
		calls.inherit(s)
		return a.openIn(ctx, &calls, claudeforce.Options{Dir: dir, KeyOptional: true, Logger: logger, Telemetry: telemetry.Options{Counters: counters}})
	}
}

// serveUntilStopped serves until the user interrupts, then lets what is in flight end. Files
// for a browser are made in dir.
func (a *app) serveUntilStopped(ctx context.Context, f *serveFlags, srv *server.Server, listener net.Listener, logger *slog.Logger, dir string) error {
	requests, endStreams := context.WithCancelCause(ctx)
	defer endStreams(nil)
	web := &http.Server{
		Handler: srv, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	defer a.waitFor(func() string { return "the requests and steps in flight" })()
	failed := make(chan error, 1)
	go func() {
		if f.cert != "" {
			failed <- web.ServeTLS(listener, f.cert, f.key)
			return
		}
		failed <- web.Serve(listener)
	}()
	if err := srv.ResumeRuns(ctx); err != nil {
		logger.Error("runs not resumed", "err", err)
	}
	srv.RunSchedules()
	srv.RunWebhooks()
	scheme := "http"
	if f.cert != "" {
		scheme = "https"
	}
	if listener.Addr().Network() == "unix" {
		a.say("serving at %s; the key is that of `claude-force keys token`", listener.Addr())
	} else {
		a.say("serving at %s://%s; the key is that of `claude-force keys token`", scheme, listener.Addr())
		page := pageAddress(scheme, listener.Addr())
		a.say("pages: %s/login#%s (once, within 10 minutes)", page, srv.LoginCode())
		if f.open {
			remove, err := openPage(ctx, dir, page+srv.LoginPath())
			if err != nil {
				a.say("the browser does not open: %v", err)
			} else {
				defer func() { _ = remove() }() // what it leads to is used up or ends with the server
			}
		}
	}
	var err error
	select {
	case err = <-failed:
	case <-a.stopping:
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	drained := make(chan struct{})
	go func() { // while requests end
		srv.Drain(stop)
		close(drained)
	}()
	endStreams(proxy.ErrStopping)
	if shutdown := web.Shutdown(stop); shutdown != nil && !errors.Is(shutdown, context.DeadlineExceeded) {
		err = errors.Join(err, shutdown)
	}
	<-drained
	err = errors.Join(err, srv.Close())
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}
