package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/server"
)

// lasting returns requests that the server answers well as long as its stores can be used. Nothing
// of what they ask for is wrong, so that no failure of the server may tell their senders so:
// a client does not ask again after a status below 500.
func (s *service) lasting(workflow string) (list []operation) {
	s.t.Helper()
	var run struct {
		ID string `json:"run_id"`
	}
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": workflow})
	s.untilWaiting(run.ID)
	list = []operation{
		{method: "POST", path: "/api/v1/runs", body: fmt.Sprintf(`{"workflow":%q}`, workflow)},
		{method: "POST", path: "/api/v1/plans", body: fmt.Sprintf(`{"workflow":%q}`, workflow)},
		{method: "POST", path: "/api/v1/runs/" + run.ID + "/approve", body: `{"step":"ok","approved":true}`},
		{method: "POST", path: "/api/v1/runs/" + run.ID + "/cancel"},
		{method: "POST", path: "/api/v1/keys", body: `{"name":"ci"}`},
		{method: "POST", path: "/api/v1/schedules", body: fmt.Sprintf(`{"name":"nightly","workflow":%q,"cron":"0 3 * * *"}`, workflow)},
		{method: "POST", path: "/api/v1/webhooks", body: `{"name":"ops","url":"https://hooks.example.com/x","secret_env":"OPS_SECRET"}`},
		{method: "DELETE", path: "/api/v1/cache?all=true"},
	}
	queries := map[string]string{
		"/api/v1/workflows/graph":    "?workflow=" + workflow,
		"/api/v1/workflows/validate": "?workflow=" + workflow,
		"/api/v1/analytics/compare":  "?a=" + run.ID + "&b=" + run.ID,
	}
	names := strings.NewReplacer("/runs/none", "/runs/"+run.ID, "/diff/none", "/diff/"+run.ID, "/steps/none", "/steps/ok", "/agents/none", "/agents/python-expert")
	for _, op := range s.operations() {
		op.path = names.Replace(op.path)
		if op.method != http.MethodGet || strings.HasSuffix(op.path, "/stream") {
			continue
		}
		op.path += queries[op.path]
		if status, _ := s.raw(op.method, op.path, "", nil); status == http.StatusOK {
			list = append(list, op)
		}
	}
	list = append(list, operation{method: http.MethodGet, path: "/api/v1/runs/" + run.ID + "/stream"})
	if len(list) < 30 {
		s.t.Fatalf("%d operations can be asked for: %v", len(list), list)
	}
	return list
}

// TestDatabaseGone has the server's database go away. No request that was right is
// refused for it as if it were wrong, and what the server needs has no name in its answers.
func TestDatabaseGone(t *testing.T) {
	t.Parallel()
	database := postgrestest.Start(t)
	s := serveStore(t, t.TempDir(), database.URL(t), map[string]string{"asks.yaml": oneApproval})
	list := s.lasting("asks.yaml")
	database.Kill(t)
	unavailable := 0
	for _, op := range list {
		switch status, detail := s.raw(op.method, op.path, op.body, jsonBody()); {
		case status >= http.StatusBadRequest && status != http.StatusServiceUnavailable:
			t.Errorf("%s %s: %d %s", op.method, op.path, status, detail)
		case strings.Contains(detail, "127.0.0.1"):
			t.Errorf("%s %s names the database: %s", op.method, op.path, detail)
		case status == http.StatusServiceUnavailable:
			unavailable++
		}
	}
	if unavailable < len(list)/2 {
		t.Errorf("%d of %d requests were told that the store cannot be used", unavailable, len(list))
	}
	database.Restart(t)
	for _, op := range list {
		if status, detail := s.raw(op.method, op.path, op.body, jsonBody()); op.method == http.MethodGet && status != http.StatusOK {
			t.Errorf("%s %s, with the database: %d %s", op.method, op.path, status, detail)
		}
	}
}

// TestRequestCutOff cuts requests off, as a server does that stops. None that was right is
// refused for it as if it were wrong.
func TestRequestCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), map[string]string{"asks.yaml": oneApproval})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cut := 0
	for _, op := range s.lasting("asks.yaml") {
		req := httptest.NewRequestWithContext(ctx, op.method, "https://force.example.com"+op.path, strings.NewReader(op.body))
		req.Header = jsonBody()
		req.Header.Set("Authorization", "Bearer "+s.key)
		res := &response{ResponseRecorder: httptest.NewRecorder()}
		s.srv.ServeHTTP(res, req)
		if !res.deadline.IsZero() {
			t.Errorf("%s %s: its connection has a deadline, at which net/http cancels all of its requests, also later ones", op.method, op.path)
		}
		var p server.Problem
		if res.Code >= http.StatusBadRequest {
			if err := json.Unmarshal(res.Body.Bytes(), &p); err != nil {
				t.Errorf("%s %s: %d %s", op.method, op.path, res.Code, res.Body)
			}
		}
		if res.Code >= http.StatusBadRequest && (res.Code != http.StatusServiceUnavailable || p.Code != "interrupted") {
			t.Errorf("%s %s: %d %s %s", op.method, op.path, res.Code, p.Code, p.Detail)
		}
		if res.Code == http.StatusServiceUnavailable {
			cut++
		}
	}
	if cut < 10 {
		t.Errorf("%d requests were cut off", cut)
	}
}

// response is one whose connection can have a deadline for reading.
type response struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (r *response) SetReadDeadline(at time.Time) error {
	r.deadline = at
	return nil
}

func jsonBody() http.Header { return http.Header{"Content-Type": {"application/json"}} }
