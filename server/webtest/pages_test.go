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

// project is what the pages show.
var project = map[string]string{
	"review.yaml": `name: review
budget: {usd: 2}
params: {topic: {default: the payment service}}
steps:
  - {id: outline, agent: python-expert, task: "Outline ${{ params.topic }}"}
  - {id: sections, agent: python-expert, foreach: [intro, api, errors, tests, rollout, risks, costs, timeline], task: "Write ${{ item }} from ${{ steps.outline.output }}"}
  - {id: security, agent: security-specialist, task: "Look for holes in ${{ steps.outline.output }}"}
  - {id: sign-off, approval: "Publish it? ${{ steps.security.output }}", dependencies: [sections]}
  - {id: publish, agent: python-expert, task: "Publish ${{ steps.sections.output }}", dependencies: [sign-off]}
`,
	"nightly.yaml": `name: nightly checks
steps:
  - {id: lint, agent: code-reviewer, task: "Lint the shop"}
  - {id: unit-tests, agent: test-writer, task: "Run the unit tests", dependencies: [lint]}
  - {id: report, agent: code-reviewer, task: "Report ${{ steps.unit-tests.output }}"}
`,
	"draft.yaml": `name: release notes
steps:
  - {id: draft, agent: python-expert, task: "Draft the notes"}
  - {id: check, agent: code-reviewer, task: "Check ${{ steps.draft.output }}"}
`,
}

// script is how the simulator answers.
const script = `rules:
  - when: {task: "/Run the unit tests/"}
    error: {status: 400, message: "the prompt is too long"}
  - when: {task: "/Outline/"}
    text: |
      # Outline

      1. What it does and for whom
      2. The interface: requests, answers, errors
      3. How it is tested and rolled out
  - when: {task: "/Look for holes/"}
    text: "Two findings: retries are not bounded, and the amount is not checked twice."
`

// screens are the sizes at which pages are looked at.
var screens = map[string][2]int64{"desktop": {1280, 900}, "tablet": {820, 1100}, "phone": {390, 844}}

// TestPages opens each page in both themes and at each size: it writes no error, breaks
// no rule of its policy, fits the screen, and axe finds nothing serious.
func TestPages(t *testing.T) {
	answers, err := sim.ParseScript("script.yaml", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, project, sim.Options{Script: answers})
	axe := axeSource(t)
	done := s.start("draft.yaml", "completed", nil)
	again := s.start("draft.yaml", "completed", nil)
	failed := s.start("nightly.yaml", "failed", nil)
	waiting := s.start("review.yaml", "waiting", nil)
	var made, set any
	s.api("POST", "/api/v1/keys", `{"name": "ci", "team": "web", "models": ["haiku", "sonnet"], "rpm": 60, "budget": "20/30d", "expires": "90d"}`, &made)
	s.api("POST", "/api/v1/keys", `{"name": "a-name-that-is-as-long-as-the-name-of-a-key-may-be-64-characters", "role": "admin"}`, &made)
	s.api("POST", "/api/v1/keys/budgets", `{"level": "all", "budget": "5/day"}`, &set)
	b := s.open()
	for _, page := range []struct{ name, path string }{
		{"now", "/"},
		{"runs", "/runs"},
		{"runs-filtered", "/runs?status=failed&since=7d"},
		{"runs-none", "/runs?workflow=none"},
		{"run", "/runs/" + waiting},
		{"run-failed", "/runs/" + failed},
		{"run-graph", "/runs/" + waiting + "?tab=graph"},
		{"run-timeline", "/runs/" + waiting + "?tab=timeline"},
		{"run-timeline-failed", "/runs/" + failed + "?tab=timeline"},
		{"step", "/runs/" + waiting + "/steps/outline"},
		{"step-items", "/runs/" + waiting + "/steps/sections"},
		{"step-failed", "/runs/" + failed + "/steps/unit-tests"},
		{"approvals", "/approvals"},
		{"run-output", "/runs/" + done + "?tab=output"},
		{"run-events", "/runs/" + done + "?tab=events"},
		{"run-diff", "/runs/" + done + "?tab=diff"},
		{"run-diff-with", "/runs/" + done + "?tab=diff&with=" + again},
		{"problem", "/runs/run_none"},
		{"costs", "/costs"},
		{"costs-agent", "/costs?by=agent&days=7"},
		{"cache", "/cache"},
		{"limits", "/limits"},
		{"compare", "/compare"},
		{"compare-runs", "/compare?a=" + done + "&b=" + failed},
		{"workflows", "/workflows"},
		{"workflow", "/workflows/review.yaml?plan=1&p.topic=bees"},
		{"agents", "/agents"},
		{"agent", "/agents/code-reviewer"},
		{"keys", "/keys"},
		{"key", "/keys/ci"},
	} {
		for screen, size := range screens {
			for _, colours := range []string{"light", "dark"} {
				name := fmt.Sprintf("%s-%s-%s", page.name, screen, colours)
				b.screen(size[0], size[1], colours)
				b.visit(page.path)
				if width := evaluate[int64](b, "document.documentElement.scrollWidth"); width > size[0] {
					t.Errorf("%s is %d wide on a screen of %d", name, width, size[0])
				}
				b.picked(t, name)
				for _, violation := range b.axe(axe) {
					t.Errorf("%s: %s", name, violation)
				}
				for _, said := range b.complaints() {
					if page.name != "problem" {
						t.Errorf("%s: %s", name, said)
					}
				}
			}
		}
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
		if err := os.WriteFile(file, b.picture(), 0o644); err != nil { //nolint:gosec // a picture for everyone
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
