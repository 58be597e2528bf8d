package webtest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/schedule/scheduledb"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/webhook/webhookdb"
)

// limit bounds each test: a page that does not come must not hang it.
const limit = 6 * time.Minute

// site is a server with its pages.
type site struct {
	t   *testing.T
	url string
	key string
	srv *server.Server
	cfg *config.Config
	dir string // of the project
}

// serve serves a project with files, whose calls the simulator answers over the wire, so
// that they are recorded as those of the service are.
func serve(t *testing.T, files map[string]string, options sim.Options) *site {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	service := httptest.NewServer(sim.New(options))
	t.Cleanup(service.Close)
	t.Setenv("ANTHROPIC_API_KEY", "of-the-simulator")
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.BaseURL = service.URL
	cfg.DataDir = filepath.Join(dir, ".data")
	key := keys.New()
	hooks, err := webhookdb.New(pipeline.DataDir(cfg.DataDir).Webhooks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(t.Context(), server.Options{
		Dir: dir, Config: cfg, Key: key, Version: "test", Settings: runs.Settings{Approvals: "durable"},
		Schedules: scheduledb.New(pipeline.DataDir(cfg.DataDir).Schedules()), Webhooks: hooks,
		Open: func(ctx context.Context, dir string, _ runs.Settings) (*claudeforce.Orchestrator, error) {
			return claudeforce.New(ctx, claudeforce.Options{Dir: dir, Config: cfg})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{t, web.URL, key, srv, cfg, dir}
}

// start starts a run and returns its id once it has a status.
func (s *site) start(workflow, status string, params map[string]string) string {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"workflow": workflow, "params": params})
	if err != nil {
		s.t.Fatal(err)
	}
	var run struct {
		ID     string `json:"run_id"`
		Status any    // of a problem a number
		Detail string
	}
	s.api("POST", "/api/v1/runs", string(body), &run)
	if run.ID == "" {
		s.t.Fatalf("%s is not started: %s", workflow, run.Detail)
	}
	deadline := time.Now().Add(limit)
	for id := run.ID; run.Status != status; {
		if time.Now().After(deadline) {
			s.t.Fatalf("run %s of %s is %v, not %s", id, workflow, run.Status, status)
		}
		s.api("GET", "/api/v1/runs/"+id, "", &run)
	}
	return run.ID
}

func (s *site) api(method, path, body string, to any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(to); err != nil {
		s.t.Fatal(err)
	}
}

// post sends a request without a body whose answer has none.
func (s *site) post(path string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		s.t.Fatalf("%s: %s", path, res.Status)
	}
}

// chromium returns a browser; the test is skipped without one.
var chromium = sync.OnceValues(func() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium is installed")
})

// browser is a tab of a browser that is logged in to a site.
type browser struct {
	ctx  context.Context
	site *site

	mu   sync.Mutex // guards the field below
	said []string   // errors that pages wrote to the console: exceptions, and what the policy refused
}

// open opens a browser and logs in by a one-time code.
func (s *site) open() *browser {
	s.t.Helper()
	path, err := chromium()
	if err != nil {
		citest.Missing(s.t, "%v", err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	s.t.Cleanup(cancel)
	flags := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true))
	ctx, cancel = chromedp.NewExecAllocator(ctx, flags...)
	s.t.Cleanup(cancel)
	b := s.tab(ctx)
	b.do(chromedp.Navigate(s.url+"/login#"+s.srv.LoginCode()), chromedp.WaitVisible("nav"))
	return b
}

// tab opens a tab of the browser of ctx, or a browser.
func (s *site) tab(ctx context.Context) *browser {
	s.t.Helper()
	ctx, cancel := chromedp.NewContext(ctx)
	s.t.Cleanup(cancel)
	b := &browser{ctx: ctx, site: s}
	err := chromedp.Listen(ctx, func(ev any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			b.said = append(b.said, ev.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.EntryLevelError || ev.Entry.Source == log.EntrySourceSecurity {
				b.said = append(b.said, ev.Entry.Text+" "+ev.Entry.URL)
			}
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	call(b, log.Enable, cdp.Empty{})
	return b
}

// complaints returns what went wrong since the last call.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.site.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		page, _ := chromedp.Run(b.ctx, chromedp.OuterHTML("html")) // as far as it goes
		b.site.t.Fatalf("%v\n%s", err, page[:min(len(page), 4000)])
	}
}

// call runs a command of the browser.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.site.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.site.t.Fatal(err)
	}
	return result
}

// visit opens a page.
func (b *browser) visit(path string) {
	b.site.t.Helper()
	b.do(chromedp.Navigate(b.site.url+path), chromedp.WaitReady("main"))
}

// follow clicks on a link or a button that leads to a page, and waits for that page: what
// comes next cannot take the page that it leaves for it, or break off the request.
func (b *browser) follow(selector string) {
	b.site.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(selector)); err != nil {
		b.site.t.Fatalf("%s: %v", selector, err)
	}
}

// evaluate returns the value of an expression in the page, which its policy does not
// apply to.
func evaluate[T any](b *browser, expression string) T {
	b.site.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.site.t.Fatalf("%s: %v", expression[:min(len(expression), 200)], err)
	}
	return v
}

// until waits for an expression to be true in the page, or in the one that it leads to.
func (b *browser) until(expression string) {
	b.site.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		_, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(limit)))
		if err == nil {
			return
		}
		if b.ctx.Err() != nil || time.Now().After(deadline) { // else the page has changed
			page, _ := chromedp.Run(b.ctx, chromedp.OuterHTML("body")) // as far as it goes
			b.site.t.Fatalf("%s: %v\n%s", expression, err, page[:min(len(page), 4000)])
		}
	}
}

// screen sets the size and the colours of the screen.
func (b *browser) screen(width, height int64, colours string) {
	b.site.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: colours}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// picture returns what the screen shows, or the whole page, as PNG.
func (b *browser) picture(whole bool) []byte {
	b.site.t.Helper()
	shot := chromedp.CaptureScreenshot()
	if whole {
		shot = chromedp.FullScreenshot(100)
	}
	data, err := chromedp.Run(b.ctx, shot)
	if err != nil {
		b.site.t.Fatal(err)
	}
	return data
}
