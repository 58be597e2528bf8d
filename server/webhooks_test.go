package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/webhook"
)

// TestWebhooks adds, tests, retries and removes a webhook over the wire. What is answered
// to a test, and the secret, are in no answer of the server.
func TestWebhooks(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"
	t.Setenv("API_WEBHOOK_SECRET", secret)
	var asked atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Webhook-Signature") == "" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte("answer-canary"))
	}))
	defer receiver.Close()
	s := serve(t, t.TempDir(), nil)
	one := map[string]any{"name": "ops", "url": receiver.URL + "/in", "secret_env": "API_WEBHOOK_SECRET"}
	var added webhook.Hook
	s.want(http.StatusCreated, &added, "POST", "/api/v1/webhooks", one)
	if added.ID == "" || len(added.Events) != len(webhook.Types) || added.Created.IsZero() {
		t.Errorf("added: %+v", added)
	}
	s.want(http.StatusConflict, nil, "POST", "/api/v1/webhooks", one)
	for field, value := range map[string]any{
		"name": "A b", "url": "http://hooks.example.com/", "secret_env": "whsec_not-a-name", "events": []string{"run.ended"},
	} {
		bad := map[string]any{"name": "other", "url": receiver.URL, "secret_env": "API_WEBHOOK_SECRET"}
		bad[field] = value
		s.want(http.StatusUnprocessableEntity, nil, "POST", "/api/v1/webhooks", bad)
	}
	for _, url := range []string{"https://169.254.169.254/latest", "https://[fe80::1]/", "https://user:pass@hooks.example.com/", "https://hooks.example.com/?token=x", "file:///etc/passwd"} {
		s.want(http.StatusUnprocessableEntity, nil, "POST", "/api/v1/webhooks", map[string]any{"name": "other", "url": url, "secret_env": "API_WEBHOOK_SECRET"})
	}
	var list struct{ Webhooks []webhook.View }
	s.want(http.StatusOK, &list, "GET", "/api/v1/webhooks", nil)
	if len(list.Webhooks) != 1 || list.Webhooks[0].Problem != "" {
		t.Errorf("listed: %+v", list)
	}
	var result webhook.TestResult
	s.want(http.StatusOK, &result, "POST", "/api/v1/webhooks/ops/test", nil)
	if !result.OK || result.Status != http.StatusOK || asked.Load() != 1 {
		t.Errorf("tested: %+v, %d requests", result, asked.Load())
	}
	s.want(http.StatusOK, nil, "POST", "/api/v1/webhooks/ops/retry", nil)
	for _, path := range []string{"/api/v1/webhooks", "/api/v1/webhooks/ops/deliveries", "/webhooks", "/webhooks/ops"} {
		if _, data := s.send("GET", path, nil); strings.Contains(string(data), "answer-canary") || strings.Contains(string(data), "MfKQ9r8G") {
			t.Errorf("%s: %s", path, data)
		}
	}
	s.want(http.StatusNoContent, nil, "DELETE", "/api/v1/webhooks/ops", nil)
	s.want(http.StatusNotFound, nil, "DELETE", "/api/v1/webhooks/ops", nil)
	s.want(http.StatusNotFound, nil, "POST", "/api/v1/webhooks/ops/test", nil)
}

// TestWebhookRoles checks that keys of the role admin look, and only the owner says where
// events are sent.
func TestWebhookRoles(t *testing.T) {
	tm := serveTeam(t)
	for role, want := range map[keys.Role][3]int{keys.RoleRead: {403, 403, 403}, keys.RoleRun: {403, 403, 403}, keys.RoleAdmin: {404, 403, 403}} {
		c := tm.as(tm.create(keys.Spec{Name: string(role), Role: role}))
		got := [3]int{
			c.status("GET", "/api/v1/webhooks/none/deliveries", nil),
			c.status("POST", "/api/v1/webhooks", map[string]any{"name": "x", "url": "https://hooks.example.com/", "secret_env": "X"}),
			c.status("DELETE", "/api/v1/webhooks/none", nil),
		}
		if got != want {
			t.Errorf("%s: %v, want %v", role, got, want)
		}
	}
}
