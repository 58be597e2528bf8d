package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/server/proxy"
)

// upstream is a service that shares no code with the simulator: it keeps what it is sent
// and answers as the test sets.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex
	requests []received
	answer   http.HandlerFunc
}

type received struct {
	method, uri string
	header      http.Header
	body        []byte
}

func newUpstream(t testing.TB, answer http.HandlerFunc) *upstream {
	u := &upstream{answer: answer}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		u.mu.Lock()
		u.requests = append(u.requests, received{r.Method, r.RequestURI, r.Header.Clone(), body})
		answer := u.answer
		u.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) answers(answer http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer, u.requests = answer, nil
}

func (u *upstream) asked() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.requests)
}

func (u *upstream) last() received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests[len(u.requests)-1]
}

// service is a server with a proxy, over the wire.
type service struct {
	t   testing.TB
	url string
	key string
	dir string
	log *lockedBuffer
	srv *server.Server
	// ended gets the calls that are recorded, as many as a test may make.
	ended chan record.Call
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// serve serves a proxy in front of a service at an address.
func serve(t testing.TB, address string, mode proxy.Mode, adjust ...func(*config.Config)) *service {
	t.Helper()
	for name, value := range map[string]string{"ANTHROPIC_API_KEY": operatorKey, "ANTHROPIC_AUTH_TOKEN": "", "ANTHROPIC_CUSTOM_HEADERS": "", "CLAUDE_CODE_USE_BEDROCK": "", "CLAUDE_CODE_USE_VERTEX": ""} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.BaseURL = filepath.Join(dir, "data"), address
	for _, f := range adjust {
		f(cfg)
	}
	s := &service{t: t, key: keys.New(), dir: dir, log: &lockedBuffer{}, ended: make(chan record.Call, 10_000)}
	calls, err := pipeline.New(t.Context(), cfg, pipeline.Options{OnCall: func(_ context.Context, c record.Call) { s.ended <- c }})
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.srv, err = server.New(t.Context(), server.Options{
		Dir: dir, Config: cfg, Key: s.key, Logger: logger, Settings: runs.Settings{},
		Proxy: proxy.New(t.Context(), proxy.Options{Upstream: calls, Cache: mode, Logger: logger}),
		Open: func(context.Context, string, runs.Settings) (*claudeforce.Orchestrator, error) {
			return nil, errors.New("no runs here")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.srv)
	s.url = web.URL
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		if err := errors.Join(s.srv.Close(), calls.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// request returns a request with the server's key.
func (s *service) request(ctx context.Context, method, path, body string, headers ...string) *http.Request {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", s.key)
	req.Header.Set("Anthropic-Version", "2023-06-01")
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
	}
	return req
}

// send sends a request and returns the answer with its body.
func (s *service) send(method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	res, err := http.DefaultTransport.RoundTrip(s.request(s.t.Context(), method, path, body, headers...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, string(data)
}

// cached sends a call and returns what its cache header says.
func (s *service) cached(body string, headers ...string) string {
	s.t.Helper()
	res, text := s.send(http.MethodPost, "/v1/messages", body, headers...)
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s", res.Status, text)
	}
	return res.Header.Get("X-Claude-Force-Cache")
}

func ask(task string, more string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":100,"messages":[{"role":"user","content":%q}]%s}`, model, task, more)
}

// answerAny answers a call in the form that it asks for.
func answerAny(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/v1/messages") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, document)
}
