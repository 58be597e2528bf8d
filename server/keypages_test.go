package server_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/keys"
)

// TestKeysPage makes, rotates and revokes a key with the forms of the pages, and sets
// budgets: the secrets are in the answers to the forms and nowhere else.
func TestKeysPage(t *testing.T) {
	tm := serveTeam(t)
	secretOf := map[keys.Role]string{}
	for _, role := range keys.Roles {
		secretOf[role] = tm.create(keys.Spec{Name: "the-" + string(role), Role: role})
	}
	const entry = `<a href="/keys"`
	for role, want := range map[keys.Role]bool{keys.RoleRead: false, keys.RoleRun: false, keys.RoleAdmin: true} {
		c := tm.as(secretOf[role])
		if got := strings.Contains(c.page(http.StatusOK, "/runs"), entry); got != want {
			t.Errorf("the menu of a key of the role %s has keys: %t", role, got)
		}
		if want {
			continue
		}
		for _, request := range []string{"GET /keys", "GET /keys/canary", "GET /live?page=/keys", "GET /live?page=/keys/canary", "POST /keys", "POST /keys/canary/rotate", "POST /keys/canary/revoke", "POST /keys/budgets"} {
			method, path, _ := strings.Cut(request, " ")
			if got := c.status(method, path, nil); got != http.StatusForbidden {
				t.Errorf("%s with the role %s: %d", request, role, got)
			}
		}
	}
	if !strings.Contains(tm.page(http.StatusOK, "/runs"), entry) {
		t.Error("the menu of the owner has no keys")
	}

	b := tm.browser()
	send := func(status int, path string, fields ...string) string {
		t.Helper()
		form := url.Values{}
		for i := 0; i < len(fields); i += 2 {
			form.Set(fields[i], fields[i+1])
		}
		res, err := b.PostForm(tm.url+path, form)
		if err != nil {
			t.Fatal(err)
		}
		text := body(t, res)
		if res.StatusCode != status {
			t.Fatalf("%s: %s, want %d\n%s", path, res.Status, status, text)
		}
		return text
	}
	send(http.StatusOK, "/login", "key", secretOf[keys.RoleAdmin])
	shown := regexp.MustCompile(`id="secret"[^>]*>(cf_\w+)<`)
	secret := func(page string) string {
		t.Helper()
		found := shown.FindAllStringSubmatch(page, -1)
		if len(found) != 1 || strings.Count(page, "cf_") != 1 || !keys.Valid(found[0][1]) {
			t.Fatalf("the page shows %d secrets:\n%s", len(found), page)
		}
		return found[0][1]
	}
	model := "claude-" + strings.ReplaceAll(odd[0], " ", "")
	made := secret(send(http.StatusOK, "/keys", "name", " canary ", "team", "web", "role", "run", "models", "haiku, "+model, "rpm", "100", "budget", "1/day", "expires", "90d"))
	c := tm.as(made)
	if got := c.status("POST", "/v1/messages", callOf(haiku, "Hello")); got != http.StatusOK {
		t.Errorf("a call with the key: %d", got)
	}
	send(http.StatusConflict, "/keys", "name", "canary")
	for field, value := range map[string]string{"role": "owner", "rpm": "many", "budget": "1", "expires": "0s", "models": "hiaku", "team": odd[1]} {
		text := send(http.StatusUnprocessableEntity, "/keys", "name", "other", field, value)
		if strings.Contains(text, odd[1]) {
			t.Errorf("the page has the markup of a name")
		}
	}

	page := tm.page(http.StatusOK, "/keys")
	row := cells(t, page, "keys-table")[0]
	if len(row) != 9 || row[0] != "canary…"+made[len(made)-4:] || !strings.Contains(row[6], " of 1/day") || row[8] == "never" {
		t.Errorf("the row of the key: %q", row)
	}
	if diff := cmp.Diff([]string{"good", "run", "web", "haiku, " + model, "100"}, row[1:6]); diff != "" {
		t.Errorf("the row of the key: %s", diff)
	}
	if act := cells(t, page, "acts-table")[0]; act[1] != "the-admin" || act[2] != "create" || act[3] != "canary" || !strings.Contains(act[4], model) {
		t.Errorf("the audit log begins with %q", act)
	}
	if strings.Contains(html.UnescapeString(page), made) {
		t.Error("the page of keys has the secret")
	}

	send(http.StatusOK, "/keys/budgets", "level", "all", "budget", "20/day")
	if text := send(http.StatusOK, "/keys/budgets", "level", "key", "name", "canary", "budget", "2/day", "next", "/keys/canary"); !strings.Contains(text, `id="key-facts"`) {
		t.Error("the form of the budget of a key leads elsewhere")
	}
	for _, fields := range [][]string{{"level", "run", "name", "canary", "budget", "1/day"}, {"level", "all", "name", "canary", "budget", "1/day"}, {"level", "team", "budget", "1/day"}, {"level", "team", "name", "web"}} {
		send(http.StatusUnprocessableEntity, "/keys/budgets", fields...)
	}
	var budgets []string
	for _, row := range cells(t, tm.page(http.StatusOK, "/keys/canary"), "key-budgets-table") {
		budgets = append(budgets, row[0]+" "+row[1])
	}
	if diff := cmp.Diff([]string{"all keys 20/day", "key canary 2/day"}, budgets); diff != "" {
		t.Errorf("the budgets of the key: %s", diff)
	}

	again := secret(send(http.StatusOK, "/keys/canary/rotate", "grace", "1h"))
	last := secret(send(http.StatusOK, "/keys/canary/rotate"))
	if got := c.status("GET", "/api/v1/runs", nil); got != http.StatusUnauthorized {
		t.Errorf("the secret before: %d", got)
	}
	c = tm.as(last)
	run := c.finish(c.start(map[string]any{"workflow": "two.yaml", "model": "haiku"}))
	if text := send(http.StatusOK, "/keys/canary/revoke"); !strings.Contains(text, "revoked") || strings.Contains(text, "/rotate") {
		t.Error("the page of a revoked key has no word of it, or has its forms")
	}
	if got := c.status("GET", "/api/v1/runs", nil); got != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d", got)
	}
	send(http.StatusNotFound, "/keys/none/revoke")
	send(http.StatusNotFound, "/keys/none/rotate")
	tm.page(http.StatusNotFound, "/keys/none")
	tm.nowhere([]string{made, again, last}, run.ID)
}
