package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm/budget"
	"github.com/claude-force/claude-force/pipeline"
)

// TestKeyRoles checks what keys of each role may do.
func TestKeyRoles(t *testing.T) {
	tm := serveTeam(t)
	for role, want := range map[keys.Role][5]int{
		keys.RoleRead:  {200, 403, 403, 403, 200},
		keys.RoleRun:   {200, 202, 200, 403, 200},
		keys.RoleAdmin: {200, 403, 403, 403, 200},
	} {
		c := tm.as(tm.create(keys.Spec{Name: string(role), Role: role}))
		got := [5]int{
			c.status("GET", "/api/v1/runs", nil),
			c.status("POST", "/api/v1/runs", map[string]any{"workflow": "two.yaml"}),
			c.status("POST", "/v1/messages", callOf(haiku, "Hello")),
			c.status("GET", "/v1/files", nil), // of all who use the account
			c.status("GET", "/runs", nil),
		}
		if got != want {
			t.Errorf("%s: %v, want %v", role, got, want)
		}
	}
	good := tm.create(keys.Spec{Name: "good"})
	for name, headers := range map[string][]string{
		"x-api-key": {"Authorization", "", "X-Api-Key", good},
		"bearer":    {"Authorization", "Bearer " + good},
	} {
		if got := tm.status("GET", "/api/v1/runs", nil, headers...); got != 200 {
			t.Errorf("%s: %d", name, got)
		}
	}
	for name, secret := range map[string]string{"wrong": keys.New(), "mistyped": good[:51] + "~", "empty": ""} {
		if got := tm.as(secret).status("GET", "/api/v1/runs", nil); got != 401 {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestKeyModels checks that a key calls the models it may, in proxy calls and in runs.
func TestKeyModels(t *testing.T) {
	tm := serveTeam(t)
	c := tm.as(tm.create(keys.Spec{Name: "small", Models: []string{"haiku"}}))
	if got := tm.status("POST", "/v1/messages", callOf(opus, "Hello")); got != 200 {
		t.Fatalf("the owner: %d", got)
	}
	before := tm.asked.Load()
	if got := c.status("POST", "/v1/messages", callOf(opus, "Hello")); got != 403 {
		t.Errorf("a model that the key may not call: %d", got)
	}
	if got := c.status("POST", "/v1/messages", callOf(haiku, "Hello")); got != 200 {
		t.Errorf("one that it may: %d", got)
	}
	if n := tm.asked.Load() - before; n != 1 {
		t.Errorf("%d calls reached the service, want 1", n)
	}
	if got := c.finish(c.start(map[string]any{"workflow": "two.yaml", "model": "opus"})); got.Status != journal.StatusFailed {
		t.Errorf("a run of a model that it may not call: %s", got.Status)
	}
	if got := c.finish(c.start(map[string]any{"workflow": "two.yaml", "model": "haiku"})); got.Status != journal.StatusCompleted {
		t.Errorf("a run of one that it may: %s", got.Status)
	}
}

// TestKeyBudgets checks that the budgets of a key, its team and all keys hold together,
// for calls of clients and for runs, and that the owner's calls are not in them.
func TestKeyBudgets(t *testing.T) {
	tm := serveTeam(t)
	set := func(level, name, text string) {
		t.Helper()
		if _, err := keys.SetBudget(t.Context(), tm.store, map[string]budget.Level{"team": keys.TeamLevel, "all": keys.AllLevel, "key": keys.KeyLevel}[level], name, text, "owner"); err != nil {
			t.Fatal(err)
		}
	}
	one, two := tm.as(tm.create(keys.Spec{Name: "one", Team: "web", Budget: "1/day"})), tm.as(tm.create(keys.Spec{Name: "two", Team: "web"}))
	other := tm.as(tm.create(keys.Spec{Name: "other", Team: "ops"}))
	ask := func(c *team, n int) int {
		return c.status("POST", "/v1/messages", callOf(haiku, fmt.Sprint("Question ", n)))
	}
	if a, b, c := ask(one, 1), ask(two, 2), ask(other, 3); a != 200 || b != 200 || c != 200 {
		t.Fatalf("with room: %d, %d, %d", a, b, c)
	}
	spent := map[string]float64{}
	list, err := pipeline.KeyBudgets(t.Context(), tm.cfg, tm.store)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		spent[b.Name] = b.Spent
	}
	if spent["one"] <= 0 || len(list) != 1 {
		t.Errorf("spent: %v", spent)
	}
	set("key", "one", "0/day")
	if a, b := ask(one, 4), ask(two, 5); a != 402 || b != 200 {
		t.Errorf("a key without room: %d, another of its team: %d", a, b)
	}
	set("team", "web", "0/day")
	if b, c := ask(two, 6), ask(other, 7); b != 402 || c != 200 {
		t.Errorf("a team without room: %d, another team: %d", b, c)
	}
	if got := two.finish(two.start(map[string]any{"workflow": "two.yaml"})); got.Status != journal.StatusFailed {
		t.Errorf("a run of a team without room: %s", got.Status)
	}
	set("all", "", "0/day")
	before := tm.asked.Load()
	if c, o := ask(other, 8), ask(tm, 9); c != 402 || o != 200 {
		t.Errorf("all keys without room: %d, the owner: %d", c, o)
	}
	if n := tm.asked.Load() - before; n != 1 {
		t.Errorf("%d calls reached the service, want that of the owner", n)
	}
}

// TestKeyRuns checks that a run is charged to its key, also after it is resumed by
// another, and that only its team may change it.
func TestKeyRuns(t *testing.T) {
	tm := serveTeam(t)
	one, mate, other := tm.as(tm.create(keys.Spec{Name: "one", Team: "web", Budget: "1/day"})), tm.as(tm.create(keys.Spec{Name: "mate", Team: "web"})), tm.as(tm.create(keys.Spec{Name: "other", Team: "ops"}))
	body := map[string]any{"workflow": "two.yaml"}
	run := one.start(body, "Idempotency-Key", "same")
	if theirs := other.start(body, "Idempotency-Key", "same"); theirs.ID == run.ID {
		t.Error("the Idempotency-Key of another key is found")
	}
	if got := one.finish(run); got.Status != journal.StatusCompleted {
		t.Fatalf("run: %s", got.Status)
	}
	spent := func() float64 {
		list, err := pipeline.KeyBudgets(t.Context(), tm.cfg, tm.store)
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		return list[0].Spent
	}
	if spent() <= 0 {
		t.Error("the run is not charged to its key")
	}
	if _, err := keys.SetBudget(t.Context(), tm.store, keys.KeyLevel, "one", "0/day", "owner"); err != nil {
		t.Fatal(err)
	}
	failed := one.finish(one.start(map[string]any{"workflow": "two.yaml", "params": map[string]string{"topic": "wasps"}}))
	if failed.Status != journal.StatusFailed {
		t.Fatalf("a run without room: %s", failed.Status)
	}
	resume := "/api/v1/runs/" + failed.ID + "/resume"
	for verb, path := range map[string]string{"resume": resume, "cancel": "/api/v1/runs/" + failed.ID + "/cancel", "answer": "/api/v1/runs/" + failed.ID + "/approve"} {
		var body any // which only an answer needs
		if verb == "answer" {
			body = map[string]any{"approved": true}
		}
		if got := other.status("POST", path, body); got != 403 {
			t.Errorf("%s by another team: %d", verb, got)
		}
	}
	if got := other.status("POST", resume, map[string]any{}); got != 403 {
		t.Errorf("a resume by another team: %d", got)
	}
	before := tm.asked.Load()
	if got := mate.status("POST", resume, map[string]any{}); got != 202 {
		t.Errorf("a resume by the same team: %d", got)
	}
	if got := mate.finish(failed); got.Status != journal.StatusFailed || tm.asked.Load() != before {
		t.Errorf("resumed by one with room: %s, %d calls", got.Status, tm.asked.Load()-before)
	}
	owners := tm.finish(tm.start(map[string]any{"workflow": "two.yaml", "params": map[string]string{"topic": "ants"}}))
	if got := one.status("POST", "/api/v1/runs/"+owners.ID+"/cancel", nil); got != 403 {
		t.Errorf("a run of the owner is canceled: %d", got)
	}
}

// TestKeyCache checks that answers are shared within a team.
func TestKeyCache(t *testing.T) {
	tm := serveTeam(t)
	one, mate := tm.as(tm.create(keys.Spec{Name: "one", Team: "web"})), tm.as(tm.create(keys.Spec{Name: "mate", Team: "web"}))
	alone, also := tm.as(tm.create(keys.Spec{Name: "alone"})), tm.as(tm.create(keys.Spec{Name: "also"}))
	for _, test := range []struct {
		who    *team
		source string
	}{{tm, "miss"}, {tm, "hit"}, {one, "miss"}, {mate, "hit"}, {one, "hit"}, {alone, "miss"}, {also, "miss"}, {alone, "hit"}} {
		res, text := test.who.send("POST", "/v1/messages", callOf(haiku, "What is a bee?"))
		if got := res.Header.Get("X-Claude-Force-Cache"); got != test.source {
			t.Errorf("answer %q, want %q: %s %s", got, test.source, res.Status, text)
		}
	}
	if got := tm.asked.Load(); got != 4 {
		t.Errorf("%d calls, want 4", got)
	}
}

// TestKeyRate checks how many requests a key may make a minute.
func TestKeyRate(t *testing.T) {
	tm := serveTeam(t)
	c := tm.as(tm.create(keys.Spec{Name: "slow", RPM: 2}))
	begin := time.Now()
	for answered := 0; ; answered++ {
		res, text := c.send("GET", []string{"/api/v1/runs", "/v1/models"}[min(answered, 1)], nil)
		most := 2 + int(time.Since(begin)/(30*time.Second)) // of a slow machine more
		if res.StatusCode == 200 && answered < most {
			continue
		}
		if res.StatusCode != 429 || answered < 2 {
			t.Fatalf("after %d requests, of %d: %s %s", answered, most, res.Status, text)
		}
		if retry := res.Header.Get("Retry-After"); retry == "" || retry == "0" || res.Header.Get("X-Should-Retry") == "false" {
			t.Errorf("retry after %q, %v", retry, res.Header)
		}
		return
	}
}

// TestRevokedKey checks that a key ends with all that it has open.
func TestRevokedKey(t *testing.T) {
	tm := serveTeam(t)
	if err := os.WriteFile(filepath.Join(tm.dir, "ask.yaml"), []byte("name: ask\nsteps:\n  - {id: ok, approval: Go on?}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := tm.create(keys.Spec{Name: "gone", Team: "web"})
	c := tm.as(secret)
	run := c.start(map[string]any{"workflow": "ask.yaml"})
	req, err := http.NewRequestWithContext(t.Context(), "GET", tm.url+"/api/v1/runs/"+run.ID+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", secret)
	events, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	if line, err := bufio.NewReader(events.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "retry") {
		t.Fatalf("%q, %v", line, err)
	}
	b := c.browser()
	at := func(path string) string {
		t.Helper()
		res, err := b.Get(tm.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body(t, res)
		return res.Request.URL.Path + " " + fmt.Sprint(res.StatusCode)
	}
	res, err := b.PostForm(tm.url+"/login", url.Values{"key": {secret}})
	if err != nil {
		t.Fatal(err)
	}
	body(t, res)
	if got := at("/runs"); got != "/runs 200" {
		t.Errorf("logged in: %s", got)
	}
	if err := keys.Revoke(t.Context(), tm.store, "gone", "owner"); err != nil {
		t.Fatal(err)
	}
	if got := c.status("GET", "/api/v1/runs", nil); got != 401 {
		t.Errorf("a revoked key: %d", got)
	}
	if got := at("/runs"); got != "/login 200" {
		t.Errorf("its session: %s", got)
	}
	// The stream ends by itself.
	if _, err := io.Copy(io.Discard, events.Body); err != nil {
		t.Logf("the stream ended: %v", err)
	}
	// Its run makes no more calls.
	before := tm.asked.Load()
	calls := tm.start(map[string]any{"workflow": "two.yaml"})
	if got := tm.finish(calls); got.Status != journal.StatusCompleted || tm.asked.Load() == before {
		t.Errorf("a run of the owner: %s", got.Status)
	}
	expired := tm.create(keys.Spec{Name: "short", Expires: time.Second})
	for tm.as(expired).status("GET", "/api/v1/runs", nil) != 401 { // at the latest in a second
	}
}

// TestKeyNowhere drives a key through what a server does, and looks for it in all that it
// writes: files, log, metrics, answers.
func TestKeyNowhere(t *testing.T) {
	tm := serveTeam(t)
	secret := tm.create(keys.Spec{Name: "canary", Team: "web", Budget: "1/day", RPM: 1000})
	c := tm.as(secret)
	var answers strings.Builder
	see := func(method, path string, body any, headers ...string) {
		t.Helper()
		res, text := c.send(method, path, body, headers...)
		if !strings.Contains(path, secret) { // a page has its own address
			fmt.Fprintln(&answers, res.Header, string(text))
		}
	}
	run := c.finish(c.start(map[string]any{"workflow": "two.yaml"}))
	for _, route := range tm.srv.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if strings.HasSuffix(path, "/stream") || path == "/live" || path == "/mcp" {
			continue
		}
		path = strings.NewReplacer("{$}", "", "{run}", run.ID, "{step...}", "draft", "{file}", "app.css").Replace(path)
		see(method, path, map[string]any{})
		see(method, path+"?key="+secret, map[string]any{})
	}
	see("POST", "/v1/messages", callOf(haiku, "Hello"))
	see("POST", "/v1/messages", callOf("claude-none", "Hello"))
	see("GET", "/api/v1/runs", nil, "Authorization", "Bearer "+secret+"x")
	tm.files(func(path string, data []byte) {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s has the key", path)
		}
	})
	if strings.Contains(tm.log.text(), secret) {
		t.Errorf("the log has the key:\n%s", tm.log.text())
	}
	for line := range strings.Lines(answers.String()) {
		if strings.Contains(line, secret) {
			t.Errorf("an answer has the key: %s", line)
		}
	}
}
