package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/mcpserver"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/schedule/scheduledb"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/server/proxy"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/webhook/webhookdb"
)

var update = flag.Bool("update", false, "write the golden files")

// service is a server over the wire, with its key.
type service struct {
	t   *testing.T
	url string
	key string
	srv *server.Server
}

// serve serves a project with workflows, answered by the simulator.
func serve(t *testing.T, dir string, workflows map[string]string) *service {
	t.Helper()
	return serveStore(t, dir, "", workflows)
}

// serveStore serves a project with workflows whose runs are in a database; in files for an
// empty address.
func serveStore(t *testing.T, dir, store string, workflows map[string]string) *service {
	t.Helper()
	for name, text := range workflows {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.Store = filepath.Join(dir, "data"), store
	key := keys.New()
	calls, err := pipeline.New(t.Context(), cfg, pipeline.Options{Simulator: sim.New(sim.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	hooks, err := webhookdb.New(filepath.Join(dir, "data", "webhooks.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(t.Context(), server.Options{
		Webhooks: hooks, PublicURL: "https://force.example.com",
		Dir: dir, Config: cfg, Key: key, Hosts: []string{"force.example.com"}, Version: "test", Settings: runs.Settings{Approvals: "durable"}, Metrics: prometheus.NewRegistry(),
		Proxy: proxy.New(t.Context(), proxy.Options{Upstream: calls}), Schedules: scheduledb.New(filepath.Join(dir, "data", "schedules.db")),
		Open: func(ctx context.Context, dir string, _ runs.Settings) (*claudeforce.Orchestrator, error) {
			return claudeforce.New(ctx, claudeforce.Options{Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{})})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mcpserver.Mount(srv, "test")
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		web.Close()
		if err := errors.Join(srv.Close(), calls.Close()); err != nil {
			t.Error(err)
		}
	})
	return &service{t, web.URL, key, srv}
}

// send sends a request with the key and returns the answer, whose body is read.
func (s *service) send(method, path string, body any, headers ...string) (*http.Response, []byte) {
	s.t.Helper()
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, content)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req) // redirects are answers
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, data
}

// want sends a request, which must be answered with a status, and reads its answer.
func (s *service) want(status int, to any, method, path string, body any, headers ...string) *http.Response {
	s.t.Helper()
	res, data := s.send(method, path, body, headers...)
	if res.StatusCode != status {
		s.t.Fatalf("%s %s: %s, want %d:\n%s", method, path, res.Status, status, data)
	}
	s.conforms(res, method, path, data)
	if to != nil {
		if err := json.Unmarshal(data, to); err != nil {
			s.t.Fatalf("%s %s: %v:\n%s", method, path, err, data)
		}
	}
	return res
}

const twoSteps = `name: two
params: {topic: {default: bees}}
steps:
  - {id: draft, agent: python-expert, task: "Write about ${{ params.topic }}"}
  - {id: review, agent: code-reviewer, task: "Review ${{ steps.draft.output }}"}
`

// TestGuard walks the table of routes: nothing is reached without the key, under a
// foreign name, or from another site's page.
func TestGuard(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	public := []string{"GET /healthz", "GET /readyz", "GET /openapi.json", "GET /login", "POST /login", "GET /static/{file}"}
	for _, route := range s.srv.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		path = strings.TrimSuffix(path, "{$}")
		if route.Public != slices.Contains(public, route.Pattern) {
			t.Errorf("%s: public is %t", route.Pattern, route.Public)
		}
		for name, test := range map[string]struct {
			status  int
			headers []string
		}{
			"without a key":     {401, []string{"Authorization", ""}},
			"with a wrong key":  {401, []string{"Authorization", "Bearer " + keys.New()}},
			"with two keys":     {401, []string{"X-Api-Key", keys.New()}},
			"with a password":   {401, []string{"Authorization", "Basic " + s.key}},
			"foreign host":      {421, []string{"Host", "evil.example.com"}},
			"name of ours":      {421, []string{"Host", "localhost.evil.example.com"}},
			"another address":   {421, []string{"Host", "10.0.0.1"}},
			"no host":           {421, []string{"Host", ":80"}},
			"foreign origin":    {403, []string{"Origin", "https://evil.example.com"}},
			"null origin":       {403, []string{"Origin", "null"}},
			"another port":      {403, []string{"Origin", "http://127.0.0.1:1"}},
			"another site":      {403, []string{"Sec-Fetch-Site", "cross-site"}},
			"the same site":     {403, []string{"Sec-Fetch-Site", "same-site"}},
			"rebound":           {421, []string{"Host", "evil.example.com", "Origin", "http://evil.example.com", "Sec-Fetch-Site", "same-origin"}},
			"with a bad escape": {0, nil},
		} {
			if test.status == 0 || test.status == 401 && route.Public {
				continue
			}
			res, data := s.send(method, path, nil, test.headers...)
			if route.Page && test.status == 401 {
				if target := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(target, "/login") || len(data) > 0 {
					t.Errorf("%s %s: %s to %q: %s", route.Pattern, name, res.Status, target, data)
				}
				continue
			}
			var p struct {
				server.Problem
				Error struct{ Type string }
			}
			form := "application/problem+json"
			if strings.HasPrefix(path, "/v1/") { // as the Messages API writes them
				form, p.Status = "application/json", test.status
			}
			if res.StatusCode != test.status || res.Header.Get("Content-Type") != form || json.Unmarshal(data, &p) != nil || p.Status != test.status || p.Code == "" && p.Error.Type == "" {
				t.Errorf("%s %s: %s, want %d: %s", route.Pattern, name, res.Status, test.status, data)
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Access-Control-Allow-Origin": ""} {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s: %s is %q", route.Pattern, name, got)
				}
			}
		}
	}
	for _, host := range []string{"localhost:1", "x.localhost", "FORCE.example.com.", "[::1]:80", "127.0.0.1"} {
		s.want(http.StatusOK, nil, "GET", "/api/v1/runs", nil, "Host", host)
	}
	s.want(http.StatusUnauthorized, nil, "GET", "/api/v1/nothing", nil, "Authorization", "")
	s.want(http.StatusNotFound, nil, "GET", "/api/v1/nothing", nil)
	s.want(http.StatusMethodNotAllowed, nil, "PUT", "/api/v1/runs", nil)
	s.want(http.StatusOK, nil, "GET", "/api/v1/runs", nil, "Authorization", "", "X-Api-Key", s.key)
}

// TestRun starts a run, follows it, and reads what came of it.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, map[string]string{"two.yaml": twoSteps})
	start := map[string]any{"workflow": "two.yaml", "params": map[string]string{"topic": "wasps"}, "tags": map[string]string{"team": "web"}}
	var run, same struct {
		ID     string `json:"run_id"`
		Status string
	}
	res := s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", start, "Idempotency-Key", "one")
	if res.Header.Get("Location") != "/api/v1/runs/"+run.ID || run.Status != "running" {
		t.Errorf("started %+v at %q", run, res.Header.Get("Location"))
	}
	res = s.want(http.StatusAccepted, &same, "POST", "/api/v1/runs", start, "Idempotency-Key", "one")
	if same.ID != run.ID || res.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the request again started %s beside %s", same.ID, run.ID)
	}
	var p server.Problem
	s.want(http.StatusUnprocessableEntity, &p, "POST", "/api/v1/runs", map[string]any{"workflow": "two.yaml"}, "Idempotency-Key", "one")
	if p.Code != "idempotency_key" {
		t.Errorf("another request with the key: %+v", p)
	}
	all := s.follow(run.ID, "")
	if last := all[len(all)-1]; last.event != "end" || !strings.Contains(last.data, `"completed"`) {
		t.Fatalf("the stream ended with %+v", last)
	}
	var ids []string
	for _, m := range all {
		if m.id != "" {
			ids = append(ids, m.id)
		}
	}
	for i, id := range ids { // cut off after each event, a client misses and repeats nothing
		rest := s.follow(run.ID, id)
		var more []string
		for _, m := range rest {
			if m.id != "" {
				more = append(more, m.id)
			}
		}
		if diff := cmp.Diff(slices.Clone(ids[i+1:]), more); diff != "" && len(ids[i+1:])+len(more) > 0 {
			t.Errorf("after %s:\n%s", id, diff)
		}
	}
	var shown struct {
		Params map[string]string
		Result struct {
			Steps map[string]struct{ Status string }
		}
	}
	res = s.want(http.StatusOK, &shown, "GET", "/api/v1/runs/"+run.ID, nil)
	if shown.Params["topic"] != "wasps" || shown.Result.Steps["review"].Status != "completed" {
		t.Errorf("shown: %+v", shown)
	}
	s.want(http.StatusNotModified, nil, "GET", "/api/v1/runs/"+run.ID, nil, "If-None-Match", res.Header.Get("ETag"))
	s.want(http.StatusConflict, &p, "POST", "/api/v1/runs/"+run.ID+"/resume", map[string]any{})
	s.want(http.StatusConflict, &p, "POST", "/api/v1/runs/"+run.ID+"/cancel", nil)
}

type message struct{ id, event, data string }

// follow reads a stream to its end.
func (s *service) follow(run, after string) (list []message) {
	s.t.Helper()
	headers := []string{}
	if after != "" {
		headers = append(headers, "Last-Event-ID", after)
	}
	res, data := s.send("GET", "/api/v1/runs/"+run+"/stream", nil, headers...)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("stream: %s: %s", res.Status, data)
	}
	var m message
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.event = value
		case "data":
			m.data = value
		case "":
			if m != (message{}) {
				list = append(list, m)
			}
			m = message{}
		}
	}
	return list
}

// TestExitIsListed shows how a step ended a run in the list of the API and in that of the pages,
// as text whatever it says.
func TestExitIsListed(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"v.yaml": "params: {why: {}}\nsteps:\n  - {id: x, exit: {status: failed, message: \"${{ params.why }}\", code: 7}}\n"})
	var run struct {
		ID string `json:"run_id"`
	}
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "v.yaml", "params": map[string]string{"why": odd[0]}})
	s.follow(run.ID, "")
	var list server.RunList
	s.want(http.StatusOK, &list, "GET", "/api/v1/runs", nil)
	want := &journal.Exit{Status: journal.StatusFailed, Message: odd[0], Code: 7}
	if diff := cmp.Diff(want, list.Runs[0].Exit); diff != "" {
		t.Error(diff)
	}
	if page := s.page(http.StatusOK, "/runs"); !strings.Contains(page, "exit 7: "+html.EscapeString(odd[0])) {
		t.Errorf("the page does not show the exit:\n%s", page)
	}
}

// TestPages lists many runs by pages: each run once, the latest first.
func TestPages(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"v.yaml": "name: v\nsteps:\n  - {id: x, value: \"1\"}\n"})
	var started []string
	for range 7 {
		var run struct {
			ID string `json:"run_id"`
		}
		s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "v.yaml"})
		started = append([]string{run.ID}, started...)
	}
	var listed []string
	for cursor := ""; ; {
		var page struct {
			Runs []struct {
				ID string `json:"run_id"`
			}
			Next string
		}
		s.want(http.StatusOK, &page, "GET", "/api/v1/runs?limit=3&cursor="+cursor, nil)
		for _, run := range page.Runs {
			listed = append(listed, run.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(started, listed); diff != "" {
		t.Error(diff)
	}
	for _, id := range started {
		s.follow(id, "")
	}
}

// TestProblems sends what is wrong: each gets a problem that says what, and starts
// nothing.
func TestProblems(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"bad.yaml": "name: bad\nsteps:\n  - {id: x, agent: nobody-we-know, task: hi}\n", "two.yaml": twoSteps})
	for name, test := range map[string]struct {
		status       int
		method, path string
		body         any
	}{
		"no such run":       {404, "GET", "/api/v1/runs/run_none", nil},
		"events of none":    {404, "GET", "/api/v1/runs/run_none/events", nil},
		"stream of none":    {404, "GET", "/api/v1/runs/run_none/stream", nil},
		"approvals of none": {404, "GET", "/api/v1/runs/run_none/approvals", nil},
		"cancel of none":    {404, "POST", "/api/v1/runs/run_none/cancel", nil},
		"no such cursor":    {404, "GET", "/api/v1/runs?cursor=run_none", nil},
		"wrong status":      {422, "GET", "/api/v1/runs?status=odd", nil},
		"wrong limit":       {422, "GET", "/api/v1/runs?limit=201", nil},
		"wrong since":       {422, "GET", "/api/v1/runs?since=yesterday", nil},
		"no workflow":       {422, "POST", "/api/v1/runs", map[string]any{}},
		"unknown field":     {422, "POST", "/api/v1/runs", map[string]any{"workflow": "two.yaml", "wrokflow": 1}},
		"no such workflow":  {422, "POST", "/api/v1/runs", map[string]any{"workflow": "three.yaml"}},
		"outside":           {422, "POST", "/api/v1/runs", map[string]any{"workflow": "../two.yaml"}},
		"absolute":          {422, "POST", "/api/v1/runs", map[string]any{"workflow": "/etc/passwd.yaml"}},
		"broken workflow":   {422, "POST", "/api/v1/runs", map[string]any{"workflow": "bad.yaml"}},
		"unknown param":     {422, "POST", "/api/v1/runs", map[string]any{"workflow": "two.yaml", "params": map[string]string{"topci": "x"}}},
		"negative budget":   {422, "POST", "/api/v1/runs", map[string]any{"workflow": "two.yaml", "budget_usd": -1}},
		"too many days":     {422, "GET", "/api/v1/analytics/summary?days=-1", nil},
		"no such agent":     {404, "GET", "/api/v1/agents/nobody", nil},
	} {
		res, data := s.send(test.method, test.path, test.body)
		var p server.Problem
		s.conforms(res, test.method, test.path, data)
		if err := json.Unmarshal(data, &p); err != nil || res.StatusCode != test.status || p.Detail == "" || p.Code == "" || p.Title == "" || p.Status != test.status {
			t.Errorf("%s: %s, want %d: %s", name, res.Status, test.status, data)
		}
	}
	var page server.RunList
	s.want(http.StatusOK, &page, "GET", "/api/v1/runs", nil)
	if len(page.Runs) > 0 {
		t.Errorf("%d runs were started", len(page.Runs))
	}
	for _, path := range []string{"/api/v1/agents", "/api/v1/agents/python-expert", "/api/v1/workflows", "/api/v1/limits", "/api/v1/cache", "/api/v1/analytics/summary?days=0"} {
		s.want(http.StatusOK, nil, "GET", path, nil)
	}
}

// TestDocument compares the description of the API with the one in the repository.
func TestDocument(t *testing.T) {
	s := serve(t, t.TempDir(), nil)
	_, data := s.send("GET", "/openapi.json", nil)
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.WriteFile(golden, append(data, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), strings.TrimSpace(string(data))); diff != "" {
		t.Errorf("the description has changed; go test ./server -run Document -update writes it:\n%s", diff)
	}
}
