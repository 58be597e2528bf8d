package webtest_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/internal/citest"
	"github.com/claude-force/claude-force/sim"
)

// screens are the sizes at which pages are looked at.
var screens = map[string][2]int64{"desktop": {1440, 900}, "tablet": {900, 1100}, "phone": {390, 844}}

// TestPages opens each page in both themes and at each size: it writes no error, breaks
// no rule of its policy, fits the screen, and axe finds nothing serious.
func TestPages(t *testing.T) {
	s := fill(t)
	axe := axeSource(t)
	b := s.open()
	for _, page := range []struct{ name, path string }{
		{"now", "/"},
		{"runs", "/runs"},
		{"runs-filtered", "/runs?status=failed&since=7d"},
		{"runs-none", "/runs?workflow=none"},
		{"run", "/runs/" + s.waiting},
		{"run-failed", "/runs/" + s.failed},
		{"run-running", "/runs/" + s.running},
		{"run-running-graph", "/runs/" + s.running + "?tab=graph"},
		{"run-running-timeline", "/runs/" + s.running + "?tab=timeline"},
		{"run-wide", "/runs/" + s.wide},
		{"step-wide", "/runs/" + s.wide + "/steps/each?page=3"},
		{"run-graph", "/runs/" + s.waiting + "?tab=graph"},
		{"run-timeline", "/runs/" + s.waiting + "?tab=timeline"},
		{"run-timeline-failed", "/runs/" + s.failed + "?tab=timeline"},
		{"step", "/runs/" + s.waiting + "/steps/outline"},
		{"step-items", "/runs/" + s.waiting + "/steps/sections"},
		{"step-failed", "/runs/" + s.failed + "/steps/unit-tests"},
		{"approvals", "/approvals"},
		{"run-output", "/runs/" + s.done + "?tab=output"},
		{"run-events", "/runs/" + s.done + "?tab=events"},
		{"run-diff", "/runs/" + s.done + "?tab=diff"},
		{"run-diff-with", "/runs/" + s.done + "?tab=diff&with=" + s.again},
		{"problem", "/runs/run_none"},
		{"costs", "/costs"},
		{"costs-agent", "/costs?by=agent&days=7"},
		{"cache", "/cache"},
		{"limits", "/limits"},
		{"compare", "/compare"},
		{"compare-runs", "/compare?a=" + s.done + "&b=" + s.failed},
		{"workflows", "/workflows"},
		{"workflow", "/workflows/review.yaml?plan=1&p.topic=bees"},
		{"agents", "/agents"},
		{"agent", "/agents/code-reviewer"},
		{"schedules", "/schedules"},
		{"runs-search", "/runs?q=NIGHT"},
		{"run-timeline-full", "/runs/" + s.waiting + "?tab=timeline&idle=show"},
		{"keys", "/keys"},
		{"key", "/keys/ci"},
		{"webhooks", "/webhooks"},
		{"webhook", "/webhooks/ops"},
		{"webhook-failing", "/webhooks/pager"},
		{"webhook-unsent", "/webhooks/old"},
	} {
		t.Run(page.name, func(t *testing.T) {
			for screen, size := range screens {
				for _, colours := range []string{"light", "dark"} {
					if screen == "tablet" && colours == "dark" && os.Getenv("WEB_PICTURES") == "" {
						continue // is laid out as in light
					}
					name := fmt.Sprintf("%s-%s-%s", page.name, screen, colours)
					b.screen(size[0], size[1], colours)
					b.visit(page.path)
					if width := evaluate[int64](b, "document.documentElement.scrollWidth"); width > size[0] {
						t.Errorf("%s is %d wide on a screen of %d", name, width, size[0])
					}
					b.picked(t, name)
					if screen == "desktop" || screen == "phone" && colours == "light" { // a phone has the colours of the desktop
						for _, violation := range b.axe(axe) {
							t.Errorf("%s: %s", name, violation)
						}
					}
					for _, said := range b.complaints() {
						if page.name != "problem" {
							t.Errorf("%s: %s", name, said)
						}
					}
				}
			}
		})
	}
}

var update = flag.Bool("update", false, "make the pictures of the documentation again")

// documented are the pictures of the documentation, and the screens that they show.
var documented = map[string]string{"run-graph-desktop-light": "run.png"}

// picked keeps a picture of the screen if WEB_PICTURES names a folder for them, or if the
// documentation shows it and is updated.
func (b *browser) picked(t *testing.T, name string) {
	t.Helper()
	var files []string
	if dir := os.Getenv("WEB_PICTURES"); dir != "" {
		files = append(files, filepath.Join(dir, name+".png"))
	}
	if file := documented[name]; file != "" {
		file = filepath.Join("..", "..", "docs", "images", file)
		if _, err := os.Stat(file); err != nil && !*update {
			t.Errorf("%v; make it with -update", err)
		}
		if *update {
			files = append(files, file)
		}
	}
	for _, file := range files {
		if err := os.WriteFile(file, b.picture(os.Getenv("WEB_PICTURES") != ""), 0o644); err != nil { //nolint:gosec // a picture for everyone
			t.Fatal(err)
		}
	}
}

// axe returns what axe finds in the page that is serious, or worse.
func (b *browser) axe(source string) (found []string) {
	b.site.t.Helper()
	evaluate[bool](b, source+"\n;true")
	text := evaluate[string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => ({id: v.id, impact: v.impact, nodes: v.nodes.map(n => n.html + ": " + n.failureSummary)}))))`)
	var violations []struct {
		ID, Impact string
		Nodes      []string
	}
	if err := json.Unmarshal([]byte(text), &violations); err != nil {
		b.site.t.Fatal(err)
	}
	for _, v := range violations {
		if v.Impact == "serious" || v.Impact == "critical" {
			found = append(found, fmt.Sprintf("%s (%s): %s", v.ID, v.Impact, v.Nodes[0]))
		}
	}
	return found
}

var installAxe = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "axe-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", "axe", name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	source, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(source), err
})

// axeSource returns the program that finds what keeps people from using a page.
func axeSource(t *testing.T) string {
	t.Helper()
	source, err := installAxe()
	if err != nil {
		citest.Missing(t, "axe-core cannot be installed: %v", err)
	}
	return source
}

// TestLive changes a run while three tabs show it: all follow, and what the reader has
// opened and where the focus is stays as it is.
func TestLive(t *testing.T) {
	s := serve(t, project, sim.Options{})
	id := s.start("review.yaml", "waiting", nil)
	first := s.open()
	second, third := s.tab(first.ctx), s.tab(first.ctx)
	first.visit("/runs/" + id)
	second.visit("/")
	third.visit("/approvals")
	first.until(`document.querySelector("#connection").textContent === "live"`)
	second.until(`document.querySelector("#connection").textContent === "live"`)
	third.until(`document.querySelector("#connection").textContent === "live" && !!document.querySelector("#approvals form")`)
	evaluate[bool](first, `document.querySelector("#stop").open = true, document.querySelector("#stop button").focus(), window.mark = document.querySelector("h1"), true`)
	var given any
	s.api("POST", "/api/v1/runs/"+id+"/approve", `{"step": "sign-off", "approved": true}`, &given)
	first.until(`document.querySelector("#run-head .state").textContent.includes("completed")`)
	second.until(`[...document.querySelectorAll("#now-runs tr")].some((r) => r.textContent.includes("` + id + `") && r.textContent.includes("completed"))`)
	third.until(`document.querySelector("#approvals .empty") !== null`)
	if said := slices.Concat(first.complaints(), second.complaints(), third.complaints()); len(said) > 0 {
		t.Error(said)
	}
}
