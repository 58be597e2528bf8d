package server_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/keys"
)

// keyAnswer is what the API says of a key.
type keyAnswer struct {
	Secret               string `json:"key"`
	Name, Team, Role     string
	Status, Last4        string
	Models               []string
	RPM                  int
	ExpiresAt, UsedAt    string
	Budget               string
	Budgets              []struct{ Level, Name, Budget string }
	CreatedAt, RevokedAt string
}

// TestKeysAPI makes, uses, rotates and revokes keys over the wire, and sets their budgets.
func TestKeysAPI(t *testing.T) {
	tm := serveTeam(t)
	admin := tm.as(tm.create(keys.Spec{Name: "chief", Role: keys.RoleAdmin}))
	for _, c := range []*team{tm, admin} {
		var none struct{ Budgets []any }
		c.want(http.StatusOK, &none, "GET", "/api/v1/keys/budgets", nil)
		if len(none.Budgets) != 0 {
			t.Errorf("budgets before any was set: %v", none.Budgets)
		}
	}
	spec := map[string]any{"name": "ci", "team": "web", "models": []string{"haiku"}, "rpm": 1000, "budget": "1/day", "expires": "90d"}
	var made keyAnswer
	admin.want(http.StatusCreated, &made, "POST", "/api/v1/keys", spec)
	if !keys.Valid(made.Secret) || made.Name != "ci" || made.Team != "web" || made.Role != "run" || made.RPM != 1000 || made.Budget != "1/day" || !strings.HasSuffix(made.Secret, made.Last4) {
		t.Errorf("made: %+v", made)
	}
	ci := tm.as(made.Secret)
	if got := ci.status("POST", "/v1/messages", callOf(haiku, "Hello")); got != http.StatusOK {
		t.Errorf("a call with the key: %d", got)
	}
	for _, c := range []*team{ci, tm.as(tm.create(keys.Spec{Name: "look", Role: keys.RoleRead}))} {
		for _, request := range []string{"GET ", "POST ", "POST /ci/rotate", "POST /ci/revoke", "GET /budgets", "POST /budgets", "GET /audit"} {
			method, path, _ := strings.Cut(request, " ")
			if got := c.status(method, "/api/v1/keys"+path, map[string]any{}); got != http.StatusForbidden {
				t.Errorf("%s with a key that manages none: %d", request, got)
			}
		}
	}
	admin.want(http.StatusConflict, nil, "POST", "/api/v1/keys", spec)
	for field, value := range map[string]any{
		"name": "owner", "team": "<b>", "models": []string{"hiaku"}, "rpm": -1, "budget": "5", "expires": "0s", "role": "owner",
	} {
		bad := map[string]any{"name": "other"}
		bad[field] = value
		admin.want(http.StatusUnprocessableEntity, nil, "POST", "/api/v1/keys", bad)
	}

	var list struct{ Keys []keyAnswer }
	admin.want(http.StatusOK, &list, "GET", "/api/v1/keys", nil)
	if len(list.Keys) != 3 || list.Keys[1].Name != "ci" || list.Keys[1].Status != "good" || list.Keys[1].Secret != "" || len(list.Keys[1].Budgets) != 1 {
		t.Errorf("listed: %+v", list)
	}

	var again keyAnswer
	admin.want(http.StatusOK, &again, "POST", "/api/v1/keys/ci/rotate", map[string]any{"grace": "1h"})
	if got := ci.status("GET", "/api/v1/runs", nil); got != http.StatusOK {
		t.Errorf("the secret before, which stays good for a time: %d", got)
	}
	admin.want(http.StatusOK, &again, "POST", "/api/v1/keys/ci/rotate", map[string]any{})
	if got := ci.status("GET", "/api/v1/runs", nil); got != http.StatusUnauthorized {
		t.Errorf("the secret before: %d", got)
	}
	ci = tm.as(again.Secret)
	if got := ci.status("GET", "/api/v1/runs", nil); got != http.StatusOK {
		t.Errorf("the new secret: %d", got)
	}
	admin.want(http.StatusUnprocessableEntity, nil, "POST", "/api/v1/keys/ci/rotate", map[string]any{"grace": "soon"})
	admin.want(http.StatusNotFound, nil, "POST", "/api/v1/keys/none/rotate", map[string]any{})

	var budgets struct {
		Budgets []struct{ Level, Name, Budget string }
	}
	for _, b := range []map[string]any{{"level": "team", "name": "web", "budget": "50/30d"}, {"level": "all", "budget": "20/day"}, {"level": "key", "name": "ci", "budget": "none"}} {
		admin.want(http.StatusOK, &budgets, "POST", "/api/v1/keys/budgets", b)
	}
	want := []struct{ Level, Name, Budget string }{{"all", "keys", "20/day"}, {"team", "web", "50/30d"}}
	if diff := cmp.Diff(want, budgets.Budgets); diff != "" {
		t.Errorf("budgets: %s", diff)
	}
	admin.want(http.StatusNotFound, nil, "POST", "/api/v1/keys/budgets", map[string]any{"level": "key", "name": "none", "budget": "1/day"})
	for _, bad := range []map[string]any{{"level": "run", "name": "ci", "budget": "1/day"}, {"level": "team", "budget": "1/day"}, {"level": "all", "budget": ""}, {"level": "all", "budget": "1"}} {
		admin.want(http.StatusUnprocessableEntity, nil, "POST", "/api/v1/keys/budgets", bad)
	}

	tm.want(http.StatusNoContent, nil, "POST", "/api/v1/keys/ci/revoke", nil)
	tm.want(http.StatusNotFound, nil, "POST", "/api/v1/keys/none/revoke", nil)
	if got := ci.status("GET", "/api/v1/runs", nil); got != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d", got)
	}
	var audit struct{ Acts []keys.Act }
	admin.want(http.StatusOK, &audit, "GET", "/api/v1/keys/audit?limit=7", nil)
	var acts []string
	for _, a := range audit.Acts {
		acts = append(acts, a.By+" "+a.Action+" "+a.Name)
	}
	if diff := cmp.Diff([]string{"owner revoke ci", "chief budget key ci", "chief budget all keys", "chief budget team web", "chief rotate ci", "chief rotate ci", "owner create look"}, acts); diff != "" {
		t.Errorf("audit: %s", diff)
	}
}

// TestSecretNowhere looks for the secrets that the API has shown once in all that the
// server writes later: files, log, answers, pages.
func TestSecretNowhere(t *testing.T) {
	tm := serveTeam(t)
	var made, again keyAnswer
	tm.want(http.StatusCreated, &made, "POST", "/api/v1/keys", map[string]any{"name": "canary", "budget": "1/day"})
	tm.want(http.StatusOK, &again, "POST", "/api/v1/keys/canary/rotate", map[string]any{"grace": "1h"})
	secrets := []string{made.Secret, again.Secret}
	run := tm.as(made.Secret).finish(tm.as(again.Secret).start(map[string]any{"workflow": "two.yaml"}))
	tm.want(http.StatusConflict, nil, "POST", "/api/v1/keys", map[string]any{"name": "canary"})
	tm.nowhere(secrets, run.ID)
}

// nowhere looks for secrets in what can be read of the server, in its log and its files.
func (tm *team) nowhere(secrets []string, run string) {
	tm.t.Helper()
	look := func(where string, data []byte) {
		for _, secret := range secrets {
			if bytes.Contains(data, []byte(secret)) {
				tm.t.Errorf("%s has the secret of a key", where)
			}
		}
	}
	for _, route := range tm.srv.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if method != http.MethodGet || strings.HasSuffix(path, "/stream") || path == "/live" || path == "/mcp" {
			continue
		}
		path = strings.NewReplacer("{$}", "", "{run}", run, "{step...}", "draft", "{file}", "app.css", "{key}", "canary").Replace(path)
		_, data := tm.send(method, path, nil)
		look(route.Pattern, data)
	}
	look("the log", []byte(tm.log.text()))
	tm.files(look)
}
