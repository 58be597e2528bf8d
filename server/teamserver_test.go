package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/mcpserver"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/schedule/scheduledb"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/server/proxy"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/webhook/webhookdb"
)

// team is a server whose calls are real: the simulator is a service at an address.
type team struct {
	*service
	cfg   *config.Config
	store keys.Store
	dir   string
	log   *syncBuffer
	asked atomic.Int64 // calls that reached the service

	// endCalls ends the calls of the proxy, once. Afterwards the free ones are recorded too.
	endCalls func() error
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

// files calls look with each file of the server. It runs, so that some may go meanwhile.
func (tm *team) files(look func(path string, data []byte)) {
	tm.t.Helper()
	err := filepath.WalkDir(tm.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var data []byte
			if data, err = os.ReadFile(path); err == nil {
				look(path, data)
			}
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		tm.t.Fatal(err)
	}
}

func serveTeam(t *testing.T) *team {
	t.Helper()
	tm := &team{dir: t.TempDir(), log: &syncBuffer{}}
	simulator := sim.New(sim.Options{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/v1/messages" {
			tm.asked.Add(1)
		}
		simulator.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	for name, value := range map[string]string{"ANTHROPIC_API_KEY": "sk-ant-operator-canary", "ANTHROPIC_AUTH_TOKEN": "", "ANTHROPIC_CUSTOM_HEADERS": "", "CLAUDE_CODE_USE_BEDROCK": "", "CLAUDE_CODE_USE_VERTEX": ""} {
		t.Setenv(name, value)
	}
	if err := os.WriteFile(filepath.Join(tm.dir, "two.yaml"), []byte(twoSteps), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := claudeforce.LoadConfig(tm.dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.BaseURL = filepath.Join(tm.dir, "data"), upstream.URL
	tm.cfg = cfg
	if tm.store, err = pipeline.OpenKeys(cfg); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	counted := telemetry.Options{Counters: telemetry.NewCounters(reg)}
	tell, err := telemetry.New(counted)
	if err != nil {
		t.Fatal(err)
	}
	calls, err := pipeline.New(t.Context(), cfg, pipeline.Options{Telemetry: tell})
	if err != nil {
		t.Fatal(err)
	}
	tm.endCalls = sync.OnceValue(calls.Close)
	logger := slog.New(slog.NewTextHandler(tm.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	owner := keys.New()
	hooks, err := webhookdb.New(pipeline.DataDir(cfg.DataDir).Webhooks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(t.Context(), server.Options{
		Dir: tm.dir, Config: cfg, Key: owner, Version: "test", Settings: runs.Settings{Approvals: "durable"}, Logger: logger, Metrics: reg,
		Proxy:     proxy.New(t.Context(), proxy.Options{Upstream: calls, Cache: proxy.ModeAlways, Logger: logger}),
		Schedules: scheduledb.New(pipeline.DataDir(cfg.DataDir).Schedules()), Webhooks: hooks,
		Open: func(ctx context.Context, dir string, _ runs.Settings) (*claudeforce.Orchestrator, error) {
			return claudeforce.New(ctx, claudeforce.Options{Dir: dir, Config: cfg, Logger: logger, Telemetry: counted})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mcpserver.Mount(srv, "test")
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		if err := errors.Join(srv.Close(), tm.endCalls(), tm.store.Close()); err != nil {
			t.Error(err)
		}
	})
	tm.service = &service{t, web.URL, owner, srv}
	return tm
}

// create makes a key and returns its secret.
func (tm *team) create(spec keys.Spec) string {
	tm.t.Helper()
	secret, _, err := keys.Create(tm.t.Context(), tm.store, &spec, "owner")
	if err != nil {
		tm.t.Fatal(err)
	}
	return secret
}

// as returns the server for another key.
func (tm *team) as(secret string) *team {
	other := &team{service: &service{tm.t, tm.url, secret, tm.srv}, cfg: tm.cfg, store: tm.store, dir: tm.dir, log: tm.log}
	return other
}

// send sends a request as clients of the Messages API do.
func (tm *team) send(method, path string, body any, headers ...string) (*http.Response, []byte) {
	tm.t.Helper()
	return tm.service.send(method, path, body, append(headers, "Anthropic-Version", "2023-06-01")...)
}

// status sends a request and returns the status of its answer.
func (tm *team) status(method, path string, body any, headers ...string) int {
	tm.t.Helper()
	res, _ := tm.send(method, path, body, headers...)
	return res.StatusCode
}

func callOf(model, task string) map[string]any {
	return map[string]any{"model": model, "max_tokens": 100, "messages": []any{map[string]any{"role": "user", "content": task}}}
}

const haiku, opus = "claude-haiku-5-5", "claude-opus-4-8"

// start starts a run.
func (tm *team) start(body map[string]any, headers ...string) journal.Run {
	tm.t.Helper()
	var run journal.Run
	tm.want(202, &run, "POST", "/api/v1/runs", body, headers...)
	return run
}

// finish follows a run to its end.
func (tm *team) finish(run journal.Run) journal.Run {
	tm.t.Helper()
	if res, _ := tm.send("GET", "/api/v1/runs/"+run.ID+"/stream", nil); res.StatusCode != 200 {
		tm.t.Fatalf("following: %s", res.Status)
	}
	var view struct{ journal.Run }
	tm.want(200, &view, "GET", "/api/v1/runs/"+run.ID, nil)
	return view.Run
}
