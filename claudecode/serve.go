package claudecode

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/server/proxy"
)

// service is what the program of one task reaches: the proxy and the permissions, on a
// port of the loopback interface, with a token of its own.
type service struct {
	url    string
	token  string
	permit func(context.Context, toolUse) error
	server *http.Server
	proxy  *proxy.Proxy
	done   chan struct{}

	mu     sync.Mutex
	calls  int
	failed error // of the latest call, if it failed
}

// toolUse is the use of a tool that the program asks about, as its hooks describe it.
type toolUse struct {
	Tool  string          `json:"tool_name"`
	Input json.RawMessage `json:"tool_input"`
	Cwd   string          `json:"cwd"`
}

const (
	permissionPath = "/permission"
	maxToolUse     = 64 << 20
)

// serve starts the service of a task. Calls are made for agent under the values of ctx,
// and end with it.
func serve(ctx context.Context, upstream proxy.Upstream, agent string, mode proxy.Mode, permit func(context.Context, toolUse) error) (*service, error) {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening a port for Claude Code: %w", err)
	}
	s := &service{url: "http://" + listener.Addr().String(), token: rand.Text(), permit: permit, done: make(chan struct{})}
	s.proxy = proxy.New(ctx, proxy.Options{Upstream: watched{upstream, s}, Cache: mode, Agent: agent})
	mux := http.NewServeMux()
	for _, route := range s.proxy.Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, route.MaxBody)
			route.Handle(w, r)
		})
	}
	mux.HandleFunc("POST "+permissionPath, s.permission)
	s.server = &http.Server{
		Handler: s.guard(listener.Addr().String(), mux), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(listener) // until it is closed
	}()
	return s, nil
}

// guard lets those requests through that have the token.
func (s *service) guard(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Api-Key")
		if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			token = bearer
		}
		if r.Host != host || r.Header.Get("Origin") != "" || subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 {
			w.Header().Set("X-Should-Retry", "false")
			proxy.WriteError(w, http.StatusUnauthorized, "this port serves one task of claude-force, and the token is not that of the task")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// permission answers whether a tool may be used.
func (s *service) permission(w http.ResponseWriter, r *http.Request) {
	type decision struct {
		Event    string `json:"hookEventName"`
		Decision string `json:"permissionDecision"`
		Reason   string `json:"permissionDecisionReason,omitempty"`
	}
	answer := decision{Event: "PreToolUse", Decision: "allow"}
	var use toolUse
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxToolUse))
	if err == nil {
		err = json.Unmarshal(data, &use)
	}
	if err == nil {
		err = s.permit(r.Context(), use)
	}
	if err != nil {
		answer.Decision, answer.Reason = "deny", err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]decision{"hookSpecificOutput": answer}) // the client may be gone
}

// close ends the calls in flight and waits for the server's end.
func (s *service) close() error {
	s.proxy.Close()
	err := s.server.Close()
	<-s.done
	return err
}

// asked returns how many calls were made, and how the latest failed; nil if it did not.
func (s *service) asked() (calls int, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.failed
}

// watched is the upstream, with a note of each call and how it fails: the program reports a
// call that failed by a text, and the task by the error. The notes are made before the program
// can know, since it may end as soon as it does.
type watched struct {
	proxy.Upstream
	service *service
}

func (w watched) Model() llm.Model { return w }

func (w watched) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		w.service.mu.Lock()
		w.service.calls++
		w.service.mu.Unlock()
		answered := false
		for ev, err := range w.Upstream.Model().Stream(ctx, req) {
			if !answered || err != nil {
				answered = true
				w.service.note(err)
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

// note takes down how the latest call failed, or that it is answered.
func (s *service) note(failed error) {
	if errors.Is(failed, context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = failed
}
