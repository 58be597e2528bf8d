package webtest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/sim"
)

// pick is a workflow that asks for values.
const pick = `name: pick
steps:
  - {id: which, approval: {message: "Which of them?", choices: [red, green]}}
  - {id: form, approval: {message: "How many?", schema: {type: object, required: [count], properties: {count: {type: integer, description: at least one}, note: {type: string}, sure: {type: boolean}, size: {enum: [small, large]}}}}, dependencies: [which]}
  - {id: go, value: "${{ steps.which.output }} ${{ steps.form.output }}", dependencies: [form]}
output: ${{ steps.go.output }}
`

// tabTo presses the tabulator until the focus is on an element that a selector matches.
func (b *browser) tabTo(selector string) {
	b.site.t.Helper()
	for range 60 {
		if evaluate[bool](b, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			return
		}
		b.do(chromedp.KeyEvent(kb.Tab))
	}
	b.site.t.Fatalf("the tabulator does not lead to %s", selector)
}

// enter presses Enter on what leads to a page, and waits for that page as follow does.
func (b *browser) enter() {
	b.site.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(kb.Enter)); err != nil {
		b.site.t.Fatal(err)
	}
}

// TestKeyboard answers and stops runs without a mouse.
func TestKeyboard(t *testing.T) {
	s := serve(t, map[string]string{"pick.yaml": pick, "review.yaml": project["review.yaml"]}, sim.Options{})
	id := s.start("pick.yaml", "waiting", nil)
	b := s.open()
	b.visit("/approvals")
	b.tabTo("input[name=choice]")
	b.do(chromedp.KeyEvent(kb.ArrowDown))
	b.tabTo("button[value=yes]")
	b.enter()
	b.until(`location.pathname === "/approvals" && !!document.querySelector("input[type=number]")`)
	b.tabTo("input[type=number]")
	b.do(chromedp.KeyEvent("7"))
	b.tabTo("select")
	b.do(chromedp.KeyEvent("l"))
	b.tabTo("button[value=yes]")
	b.enter()
	b.until(`document.querySelector("#approvals .empty") !== null`)
	b.visit("/runs/" + id + "?tab=output")
	b.until(`document.querySelector("#run-output pre")?.textContent.startsWith("green {") && /"count":\s*7/.test(document.querySelector("#run-output pre").textContent) && /"size":\s*"large"/.test(document.querySelector("#run-output pre").textContent)`)

	stopped := s.start("review.yaml", "waiting", nil)
	b.visit("/runs/" + stopped)
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter)) // the link to the content
	b.tabTo("#stop summary")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.tabTo("#stop button")
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`document.querySelector("#run-head .state")?.textContent === "cancelled"`)
	if said := b.complaints(); len(said) > 0 {
		t.Error(said)
	}
}

// TestWithoutJavaScript logs in with the key, filters, answers and reads the output in a
// browser that runs no scripts.
func TestWithoutJavaScript(t *testing.T) {
	s := serve(t, project, sim.Options{})
	id := s.start("review.yaml", "waiting", nil)
	b := s.open()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.visit("/")
	b.follow("form[action='/logout'] button")
	b.do(chromedp.SendKeys("#key", s.key))
	b.follow("#login button")
	b.do(chromedp.WaitVisible("#now-runs"))
	b.visit("/runs")
	b.do(chromedp.SendKeys("#search", "REVIEW"))
	b.follow(".filters button")
	b.follow(`#runs-states a[href="/runs?q=REVIEW&since=&status=waiting"]`)
	b.do(chromedp.WaitVisible(`#runs-states a[aria-current] .s-waiting`))
	b.follow(`a[href="/runs/` + id + `"]`)
	b.follow("button[value=yes]")
	b.do(chromedp.WaitNotPresent("button[value=yes]"))
	for deadline := time.Now().Add(limit); ; {
		b.visit("/runs/" + id + "?tab=output")
		if text, err := chromedp.Run(b.ctx, chromedp.TextContent("#run-head .head-title")); err != nil || time.Now().After(deadline) {
			t.Fatalf("%v: %s", err, text)
		} else if strings.Contains(text, "completed") {
			break
		}
	}
	text, err := chromedp.Run(b.ctx, chromedp.TextContent("#run-output pre"))
	if err != nil || text == "" {
		t.Errorf("the output is %q, %v", text, err)
	}
}

// TestKeysWithoutJavaScript makes, rotates and revokes a key in a browser that runs no
// scripts. Its secret is shown once.
func TestKeysWithoutJavaScript(t *testing.T) {
	s := serve(t, project, sim.Options{})
	b := s.open()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.visit("/")
	b.follow("nav a[href='/keys']")
	b.do(chromedp.SendKeys("#create-name", "ci"), chromedp.SendKeys("#create-budget", "1/day"))
	b.follow("#create button")
	first := b.secret()
	b.follow("main a[href='/keys']")
	b.follow("#keys-table a[href='/keys/ci']")
	b.do(chromedp.Click("#rotate summary"))
	b.follow("#rotate button")
	second := b.secret()
	if first == second || !keys.Valid(first) || !keys.Valid(second) {
		t.Errorf("the secrets do not differ, or are none: %d and %d characters", len(first), len(second))
	}
	b.follow(".crumbs a[href='/keys/ci']")
	b.do(chromedp.Click("#revoke summary"))
	b.follow("#revoke button")
	b.do(chromedp.WaitNotPresent("#revoke"))
	text, err := chromedp.Run(b.ctx, chromedp.TextContent("main"))
	if err != nil || !strings.Contains(text, "revoked") || strings.Contains(text, second) {
		t.Errorf("the page of a revoked key: %s, %v", text, err)
	}
}

// TestSchedulesWithoutJavaScript adds, pauses, resumes, runs and removes a schedule in a browser
// that runs no scripts.
func TestSchedulesWithoutJavaScript(t *testing.T) {
	s := serve(t, project, sim.Options{})
	b := s.open()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.visit("/")
	b.follow("nav a[href='/schedules']")
	b.do(chromedp.WaitVisible("#schedules-list .empty"))
	b.do(chromedp.SendKeys("#add-name", "nightly"), chromedp.SendKeys("#add-workflow", "review.yaml"), chromedp.SendKeys("#add-cron", "30 2 * * 1-5"),
		chromedp.SendKeys("#add-zone", "Europe/Berlin"), chromedp.SendKeys("#add-params", "topic=ants = bees"))
	b.follow("#add button")
	said := func() string {
		t.Helper()
		text, err := chromedp.Run(b.ctx, chromedp.TextContent("#schedules-list"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if text := said(); !strings.Contains(text, "topic=ants = bees") || !strings.Contains(text, "02:30") || !strings.Contains(text, "Europe/Berlin") {
		t.Errorf("added: %s", text)
	}
	b.follow("form[action='/schedules/nightly/pause'] button")
	if text := said(); !strings.Contains(text, "paused") || strings.Contains(text, "02:30") {
		t.Errorf("paused: %s", text)
	}
	b.follow("form[action='/schedules/nightly/resume'] button")
	b.do(chromedp.WaitVisible("form[action='/schedules/nightly/pause'] button"), chromedp.Click("#run-nightly summary"))
	b.follow("#run-nightly button")
	b.do(chromedp.WaitVisible("#run-head"))
	b.follow("nav a[href='/schedules']")
	b.do(chromedp.Click("#remove-nightly summary"))
	b.follow("#remove-nightly button")
	b.do(chromedp.WaitVisible("#schedules-list .empty"))
	b.do(chromedp.SendKeys("#add-name", "bad"), chromedp.SendKeys("#add-workflow", "review.yaml"), chromedp.SendKeys("#add-cron", "61 * * * *"))
	b.follow("#add button")
	if text, err := chromedp.Run(b.ctx, chromedp.TextContent(".message")); err != nil || !strings.Contains(text, "30 2 * * 1-5") {
		t.Errorf("a wrong expression: %s, %v", text, err)
	}
}

// TestWebhooksWithoutJavaScript adds, tests, retries and removes a webhook in a browser that
// runs no scripts. A receiver of our own checks what comes.
func TestWebhooksWithoutJavaScript(t *testing.T) {
	check, err := standardwebhooks.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || check.Verify(body, r.Header) != nil || !strings.Contains(string(body), `"webhook.test"`) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		taken.Add(1)
		_, _ = w.Write([]byte("<script>pwned=1</script>"))
	}))
	t.Cleanup(receiver.Close)
	t.Setenv("PAGES_WEBHOOK_SECRET", hookSecret)
	s := serve(t, project, sim.Options{})
	b := s.open()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	said := func(selector string) string {
		t.Helper()
		text, err := chromedp.Run(b.ctx, chromedp.TextContent(selector))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	add := func(name, url, env string) {
		t.Helper()
		b.visit("/")
		b.follow("nav a[href='/webhooks']")
		b.do(chromedp.SendKeys("#add-name", name), chromedp.SendKeys("#add-url", url), chromedp.SendKeys("#add-secret", env), chromedp.Click("#add input[value='approval.wanted']"))
		b.follow("#add button")
	}
	add("ops", receiver.URL, "PAGES_WEBHOOK_SECRET")
	b.do(chromedp.WaitVisible("#webhook-facts"))
	if text := said("main"); !strings.Contains(text, "nothing sent yet") || !strings.Contains(text, receiver.URL) || strings.Contains(text, "approval.wanted") || strings.Contains(text, hookSecret) {
		t.Errorf("added: %s", text)
	}
	b.follow("form[action='/webhooks/ops/test'] button")
	if text := said("#test-result"); taken.Load() != 1 || !strings.Contains(text, "answered 200") || strings.Contains(text, "pwned") {
		t.Errorf("%d tests were taken: %s", taken.Load(), text)
	}
	b.follow(".crumbs a[href='/webhooks']")
	b.follow("#webhooks-table a[href='/webhooks/ops']")
	b.do(chromedp.Click("#retry summary"))
	b.follow("#retry button")
	b.do(chromedp.WaitVisible("#webhook-deliveries .empty"))

	add("ops", receiver.URL, "PAGES_WEBHOOK_SECRET")
	if text := said(".message"); !strings.Contains(text, "there is a webhook of this name") {
		t.Errorf("a name that is taken: %s", text)
	}
	add("other", "http://hooks.example.com/", "PAGES_WEBHOOK_SECRET")
	if text := said(".message"); !strings.Contains(text, "use https") {
		t.Errorf("an address that is not taken: %s", text)
	}
	b.visit("/webhooks/ops")
	b.do(chromedp.Click("#remove summary"))
	b.follow("#remove button")
	b.do(chromedp.WaitVisible("#webhooks-list .empty"))
	b.visit("/webhooks/ops")
	if text := said(".message"); !strings.Contains(text, "no webhook") {
		t.Errorf("a webhook that was removed: %s", text)
	}
	if got := taken.Load(); got != 1 {
		t.Errorf("%d tests were taken, want 1", got)
	}
}

// TestShortcuts opens pages, searches and walks through a list with keys, and turns the
// keys off.
func TestShortcuts(t *testing.T) {
	s := serve(t, project, sim.Options{})
	id := s.start("draft.yaml", "completed", nil)
	b := s.open()
	b.visit("/costs")
	press := func(keys string) { // at one time, since a key counts for a moment
		at := input.TimeSinceEpoch(float64(time.Now().UnixMicro()) / 1e6)
		for _, key := range keys {
			b.do(chromedp.KeyEvent(string(key), func(p *input.DispatchKeyEventParams) { p.Timestamp = at }))
		}
	}
	press("gr")
	b.until(`location.pathname === "/runs" && document.readyState === "complete"`)
	press("j")
	b.until(`document.activeElement.matches("a[href='/runs/` + id + `']")`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until(`location.pathname === "/runs/` + id + `" && document.readyState === "complete"`)
	press("3")
	b.until(`location.search === "?tab=timeline" && document.readyState === "complete"`)
	press("/")
	b.until(`location.pathname === "/runs" && document.activeElement.id === "search"`)
	press("gr?1") // is typed
	b.until(`document.activeElement.value === "gr?1" && location.pathname === "/runs"`)
	evaluate[bool](b, `document.activeElement.blur(), true`)
	press("?")
	b.until(`document.querySelector("#shortcuts").open`)
	b.do(chromedp.Click("#use-shortcuts"), chromedp.Click("#shortcuts button"))
	b.until(`!document.querySelector("#shortcuts").open`)
	press("gn?j")
	if evaluate[bool](b, `location.pathname !== "/runs" || document.querySelector("#shortcuts").open || document.activeElement.matches(".list a")`) {
		t.Error("keys act although they are turned off")
	}
	if said := b.complaints(); len(said) > 0 {
		t.Error(said)
	}
}

// secret returns the secret that the page shows.
func (b *browser) secret() string {
	b.site.t.Helper()
	b.do(chromedp.WaitVisible("#secret"))
	text, err := chromedp.Run(b.ctx, chromedp.TextContent("#secret"))
	if err != nil {
		b.site.t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// attacks are texts that would do something if they were taken for markup.
var attacks = []string{
	`<script>pwned=1</script>`,
	`"><img src=x onerror=pwned=1>`,
	`'><svg onload=pwned=1>`,
	`</pre></textarea></title><script>pwned=1</script>`,
	`<iframe srcdoc="<script>parent.pwned=1</script>">`,
	`javascript:pwned=1`,
	`{{.}}${pwned=1}`,
	`<a href="javascript:pwned=1" id=main>click</a>`,
	`<img src="https://evil.example.com/?leak">`,
	`<!--><style>body{display:none}</style>`,
	"\u202e\u2066<b>\x1b[31m",
}

// TestAttacks shows hostile texts wherever a page shows a text of others: nothing runs,
// nothing is loaded from elsewhere, nothing becomes an element.
func TestAttacks(t *testing.T) {
	all := strings.Join(attacks, "\n")
	items := make([]string, len(attacks))
	for i, attack := range attacks {
		items[i] = fmt.Sprintf("%q", attack)
	}
	name := strings.ReplaceAll(attacks[1], `"`, `\"`)
	files := map[string]string{
		"attack.yaml": `name: "` + name + `"
params: {topic: {default: none}}
steps:
  - {id: each, agent: linter, foreach: [` + strings.Join(items, ", ") + `], task: "${{ item }} ${{ params.topic }}"}
  - {id: ask, approval: {message: "${{ params.topic }} ${{ steps.each.output }}", choices: ["` + name + `", other]}, dependencies: [each]}
`,
		"fail.yaml": `name: fail
params: {topic: {default: none}}
steps:
  - {id: bad, agent: linter, task: "FAIL ${{ params.topic }}"}
`,
		".claude/agents/attack.md": "---\nname: attack\ndescription: '" + strings.ReplaceAll(attacks[0], "'", "''") + "'\n---\n" + all,
	}
	answers, err := sim.ParseScript("script.yaml", []byte(`rules:
  - when: {task: "/^FAIL/"}
    error: {status: 400, message: "<img src=x onerror=pwned=1>"}
  - when: {task: "/./"}
    text: "<script>pwned=1</script><img src=https://evil.example.com/leak onerror=pwned=1>"
`))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, files, sim.Options{Script: answers})
	params := map[string]string{"topic": all}
	asks, failed := s.start("attack.yaml", "waiting", params), s.start("fail.yaml", "failed", params)
	var made any
	s.api("POST", "/api/v1/keys", `{"name": "odd", "models": ["claude-<script>pwned=1</script>", "claude-\"><img src=x onerror=pwned=1>"]}`, &made)
	schedule, err := json.Marshal(map[string]any{"name": "odd", "workflow": "fail.yaml", "cron": "@daily", "params": params})
	if err != nil {
		t.Fatal(err)
	}
	s.api("POST", "/api/v1/schedules", string(schedule), &made)
	s.api("POST", "/api/v1/webhooks", `{"name": "odd", "url": "https://hooks.example.com/<script>pwned=1</script>'><svg onload=pwned=1>", "secret_env": "NONE_SUCH"}`, &made)
	s.srv.RunWebhooks()
	b := s.open()
	own := evaluate[int64](b, "document.scripts.length")
	for _, path := range []string{
		"/", "/runs", "/approvals", "/runs/" + asks, "/runs/" + asks + "?tab=graph", "/runs/" + asks + "?tab=output", "/runs/" + asks + "?tab=events", "/runs/" + asks + "?tab=timeline", "/runs/" + failed + "?tab=diff&with=" + asks,
		"/runs/" + asks + "/steps/each", "/runs/" + failed, "/runs/" + failed + "/steps/bad", "/runs/%3Cscript%3Epwned=1%3C%2Fscript%3E",
		"/runs?workflow=%22%3E%3Cimg%20src=x%20onerror=pwned=1%3E", "/runs?status=%3Cscript%3Epwned=1%3C/script%3E", "/login?next=javascript:pwned=1",
		"/keys", "/keys/odd", "/schedules", "/webhooks", "/webhooks/odd", "/runs?q=%22%3E%3Cimg%20src=x%20onerror=pwned=1%3E", "/runs/" + asks + "?tab=timeline&idle=show",
	} {
		b.visit(path)
		if live := evaluate[string](b, `document.body.dataset.live || ""`); live != "" {
			b.until(`document.querySelector("#connection").textContent === "live"`)
		}
		if evaluate[bool](b, `"pwned" in window`) {
			t.Errorf("%s: a text of others ran", path)
		}
		foreign := evaluate[string](b, `[...document.querySelectorAll("img, iframe, object, embed, style, base, b, [onload], [onerror], main a[href^='javascript'], [src^=http]")].map((e) => e.outerHTML).join()`)
		if foreign != "" || evaluate[int64](b, "document.scripts.length") != own {
			t.Errorf("%s: a text of others became an element: %s", path, foreign)
		}
		for _, said := range b.complaints() {
			if !strings.Contains(said, "the server responded with a status of 4") {
				t.Errorf("%s: %s", path, said)
			}
		}
	}
}

// TestWideRun shows a step with 10,000 items: its pages stay small.
func TestWideRun(t *testing.T) {
	s := serve(t, map[string]string{"wide.yaml": "name: wide\nsteps:\n  - {id: each, foreach: \"${{ 0..9999 }}\", value: \"${{ item }}\"}\n"}, sim.Options{})
	id := s.start("wide.yaml", "completed", nil)
	for _, path := range []string{"/runs/" + id, "/runs/" + id + "?tab=graph", "/runs/" + id + "?tab=timeline", "/runs/" + id + "?tab=events", "/runs/" + id + "/steps/each", "/runs/" + id + "/steps/each?page=100"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", s.key)
		start := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || len(text) > 200<<10 {
			t.Errorf("%s: %s, %d bytes, %v", path, res.Status, len(text), err)
		}
		t.Logf("%s: %d bytes in %s", path, len(text), time.Since(start))
	}
}
