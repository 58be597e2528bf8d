// Package server serves the runs of one project over HTTP: an API for programs, whose
// events can be followed and taken up again after an outage. The server drives the
// runs that it starts; every run of the store can be looked at, answered, stopped and
// resumed, whoever started it.
//
// A server that adds an API key to requests is worth as much as the key to whoever
// reaches it, so that every request passes [guard] first, and every route that is not
// marked as public needs a key, also on the loopback interface.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/schedule"
	"github.com/claude-force/claude-force/server/proxy"
	"github.com/claude-force/claude-force/server/web"
	"github.com/claude-force/claude-force/webhook"
	"github.com/claude-force/claude-force/webhook/webhookfeed"
)

// Options configure a [Server]. Dir, Config, Key and Open must be set.
type Options struct {
	Dir    string         // folder of the project
	Config *config.Config // of the project
	Key    string         // that requests must have, as [keys.Local] gives it

	// Hosts are names that the server answers to beside localhost and the
	// address that it listens at.
	Hosts []string

	// Open makes the orchestrator that drives runs in a folder with the settings that
	// they were started with. The server closes it.
	Open func(ctx context.Context, dir string, settings runs.Settings) (*claudeforce.Orchestrator, error)

	// Proxy, if set, answers the routes of the Messages API. The server closes it.
	Proxy *proxy.Proxy

	// Settings are those of the runs that the server starts.
	Settings runs.Settings

	// Schedules, if set, are those whose runs [Server.RunSchedules] starts. The server
	// closes it.
	Schedules schedule.Store

	// Webhooks, if set, are those that [Server.RunWebhooks] sends events to, again as
	// WebhookRetry says; its zero value is [webhook.DefaultRetry]. The server closes it.
	Webhooks     webhook.Store
	WebhookRetry webhook.Retry

	// PublicURL is the address of the pages for those who get links to them, without a path
	// or with that at which a proxy has them. Empty means that there are no links.
	PublicURL string

	// Drive starts another process for a run, with the settings that are in its spec.
	// Nil means that the server drives runs itself, and that its next process resumes
	// them.
	Drive func(ctx context.Context, id string, opts claudeforce.ResumeOptions) error

	// Metrics, if set, is shown at /metrics, with those of the server.
	Metrics *prometheus.Registry

	Secure  bool         // browsers reach the server over encrypted connections only
	Version string       // of the program
	Logger  *slog.Logger // gets requests and what goes wrong; nil for none
}

// Server is an [http.Handler]. Close it when no request is served any more.
type Server struct {
	opts    Options
	log     *slog.Logger
	store   journal.Store
	runner  *runner
	hub     *hub
	runs    *runs.Reader // of store
	table   *table
	metrics *metrics          // nil for none
	feed    *webhookfeed.Feed // nil without webhooks
	keys    *keyring
	handler http.Handler

	sessions *sessions
	pages    *web.Pages
	live     *live

	webhookMetrics *webhookMetrics // nil for none
}

// New opens the store of runs and returns a server for it. Call ResumeRuns to resume the
// runs that an earlier process left behind. The runs that it drives are canceled when ctx
// ends.
func New(ctx context.Context, opts Options) (*Server, error) {
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the project's folder: %w", err)
	}
	opts.Dir = dir
	store, err := claudeforce.CreateHistory(ctx, opts.Config)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, log: cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)), store: store, hub: newHub(store), runs: runs.NewReader(store), table: newTable()}
	s.runner = newRunner(ctx, opts.Open, s.log)
	s.keys = &keyring{owner: keys.HashOf(opts.Key), recheck: recheck}
	if s.keys.store, err = pipeline.OpenKeys(opts.Config); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if opts.Webhooks != nil {
		exceeded, err := pipeline.OpenExcesses(opts.Config)
		if err == nil {
			s.feed, err = webhookfeed.New(store, exceeded, opts.PublicURL)
		}
		if err != nil {
			return nil, errors.Join(err, s.keys.store.Close(), store.Close())
		}
	}
	s.table.handlePublic("GET /healthz", s.healthz)
	s.table.handlePublic("GET /readyz", s.readyz)
	s.addAPI()
	if opts.Metrics != nil {
		s.addMetrics(opts.Metrics)
	}
	if opts.Proxy != nil {
		for _, r := range opts.Proxy.Routes() {
			s.table.handleLarge(r.Pattern, r.MaxBody, r.Handle)
		}
	}
	s.sessions = newSessions(s.keys, opts.Secure)
	s.addPages()
	g := &guard{hosts: opts.Hosts, keys: s.keys, cross: http.NewCrossOriginProtection(), table: s.table, sessions: s.sessions, log: s.log}
	s.handler = s.observed(g)
	return s, nil
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Handle adds a route that needs a key, for what is served beside the API. Call it
// before the first request.
func (s *Server) Handle(pattern string, handler http.Handler) {
	s.table.HandleFunc(pattern, handler.ServeHTTP)
}

// Routes returns the table of routes.
func (s *Server) Routes() []Route { return s.table.list() }

// ResumeRuns takes up the runs that an earlier process of the server drove and did not
// end. It returns when all are under way.
func (s *Server) ResumeRuns(ctx context.Context) error {
	statuses := []journal.Status{journal.StatusRunning, journal.StatusWaiting, journal.StatusInterrupted}
	for run, err := range s.store.Runs(ctx, journal.Filter{Statuses: statuses}) {
		if err != nil {
			return fmt.Errorf("looking for runs to resume: %w", err)
		}
		if run.Owned() {
			continue
		}
		whole, err := s.store.Find(ctx, run.ID)
		if err != nil {
			return fmt.Errorf("looking for runs to resume: %w", err)
		}
		spec, err := runs.ReadSpec(whole)
		if err != nil {
			s.log.Error("run not resumed", "run", run.ID, "err", err)
			continue
		}
		if spec.Tags[serverTag] != "" && spec.Dir == s.opts.Dir {
			s.runner.start(run.ID, spec, claudeforce.ResumeOptions{})
		}
	}
	return nil
}

// Drain lets the runs that the server drives stop after what is in flight, and cancels
// that when ctx ends. The next process of the server resumes them.
func (s *Server) Drain(ctx context.Context) { s.runner.close(ctx) }

// Close drains the server at once and closes the store. Requests must have ended.
func (s *Server) Close() error {
	if s.opts.Proxy != nil {
		s.opts.Proxy.Close()
	}
	s.runner.cancel()
	s.runner.close(s.runner.ctx)
	if s.opts.Schedules != nil {
		if err := s.opts.Schedules.Close(); err != nil {
			s.log.Error("closing the store of schedules", "err", err)
		}
	}
	if s.opts.Webhooks != nil {
		if err := errors.Join(s.opts.Webhooks.Close(), s.feed.Close()); err != nil {
			s.log.Error("closing the store of webhooks", "err", err)
		}
	}
	return errors.Join(s.keys.store.Close(), s.store.Close())
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

// readyz answers whether the store can be read, and is one that this version can use:
// that of several servers may be changed by a newer one.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if shared, ok := s.store.(interface{ Check(context.Context) error }); ok {
		if err := shared.Check(r.Context()); err != nil {
			s.log.Error("not ready", "err", err)
			writeProblem(w, r, &Problem{Status: http.StatusServiceUnavailable, Code: "store", Detail: "the store of runs cannot be used; the server's log says why"})
			return
		}
	}
	for _, err := range s.store.Runs(r.Context(), journal.Filter{Limit: 1}) {
		if err != nil {
			s.log.Error("not ready", "err", err)
			writeProblem(w, r, &Problem{Status: http.StatusServiceUnavailable, Code: "store", Detail: "the store of runs cannot be read; the server's log says why"})
			return
		}
	}
	s.healthz(w, r)
}

// observed writes a line to the log for each request, and one for each handler that
// panics. Neither has a query or a header: those may hold secrets.
func (s *Server) observed(g *guard) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, seen, route := time.Now(), &statusWriter{ResponseWriter: w}, s.table.route(r)
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
					panic(cause)
				}
				s.log.Error("request failed", "method", r.Method, "route", route.Pattern, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
				if seen.status == 0 {
					writeProblem(seen, r, &Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "the server failed; its log says why"})
				}
			}
			seen.status = cmp.Or(seen.status, http.StatusOK)
			took := time.Since(start)
			s.metrics.count(route.Pattern, seen, took)
			s.log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
				slog.Int("status", seen.status), slog.Int64("bytes", seen.bytes), slog.Duration("took", took))
		}()
		g.serve(seen, r, route)
	})
}

// statusWriter notes what was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets [http.ResponseController] reach the writer.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
