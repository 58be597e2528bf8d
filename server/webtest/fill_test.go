package webtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/analytics/callsdb"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
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
	"migrate.yaml": `name: migrate the handlers
budget: {usd: 5}
steps:
  - {id: find, value: [login, logout, cart, orders, refunds, search, profile, reports]}
  - {id: port, agent: python-expert, foreach: "${{ steps.find.json }}", task: "Port ${{ item }}", on_failure: continue}
  - {id: slow-tests, agent: test-writer, task: "Run the slow tests", timeout: 300ms, retries: {max: 9, backoff: 10m}}
  - {id: merge, agent: python-expert, task: "Merge", dependencies: [port, slow-tests]}
`,
	"wide.yaml": "name: classify the tickets\nsteps:\n  - {id: each, foreach: \"${{ 0..9999 }}\", value: \"${{ item }}\"}\n  - {id: count, value: \"10,000\", dependencies: [each]}\n",
	".claude/workflows/release.yaml": `name: release
description: Writes the notes of a release and asks before it publishes them.
params: {version: {description: such as 1.4.0}, dry: {type: boolean, default: true}}
steps:
  - {id: notes, agent: doc-writer, task: "Write the notes of ${{ params.version }}"}
  - {id: ok, approval: "Publish ${{ params.version }}?", dependencies: [notes]}
`,
	".claude/workflows/broken.yaml": "name: broken\nsteps:\n  - {id: a, agent: none-such, task: x, dependencies: [b]}\n",
	".claude/agents/doc-writer.md":  "---\nname: doc-writer\ndescription: Writes what users read, in plain words.\nmodel: haiku\ntools: Read, Grep\n---\nYou write documentation.\n",
}

// script is how the simulator answers.
const script = `rules:
  - when: {task: "/Run the unit tests/"}
    error: {status: 400, message: "the prompt is too long"}
  - when: {task: "/Port search/"}
    error: {status: 400, message: "the file of the handler has 1,204,331 tokens, more than the 200,000 that the model takes"}
  - when: {task: "/Port (profile|reports)/"}
    latency: 1h
    text: Ported.
  - when: {task: "/Run the slow tests/"}
    latency: 1h
    text: Passed.
  - when: {task: "/Outline/"}
    text: |
      # Outline

      1. What it does and for whom
      2. The interface: requests, answers, errors
      3. How it is tested and rolled out
  - when: {task: "/Look for holes/"}
    text: "Two findings: retries are not bounded, and the amount is not checked twice."
`

// filled is a site with runs of each status, and what else pages show.
type filled struct {
	*site
	done, again, failed, waiting, running, wide string // ids of runs
}

// fill returns a site with a run of each status, a wide one, costs of a month, keys and
// schedules.
func fill(t *testing.T) *filled {
	t.Helper()
	answers, err := sim.ParseScript("script.yaml", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	f := &filled{site: serve(t, project, sim.Options{Script: answers})}
	f.notifies()
	f.spent()
	f.wide = f.start("wide.yaml", "completed", nil)
	f.done = f.start("draft.yaml", "completed", nil)
	f.again = f.start("draft.yaml", "completed", nil)
	f.failed = f.start("nightly.yaml", "failed", nil)
	f.interrupted(f.failed)
	var out any
	f.api("POST", "/api/v1/runs/"+f.start("review.yaml", "waiting", map[string]string{"topic": "the search"})+"/cancel", "", &out)
	f.running = f.start("migrate.yaml", "running", nil)
	f.waiting = f.start("review.yaml", "waiting", nil)
	f.api("POST", "/api/v1/keys", `{"name": "ci", "team": "web", "models": ["haiku", "sonnet"], "rpm": 60, "budget": "20/30d", "expires": "90d"}`, &out)
	f.api("POST", "/api/v1/keys", `{"name": "a-name-that-is-as-long-as-the-name-of-a-key-may-be-64-characters", "role": "admin"}`, &out)
	f.api("POST", "/api/v1/keys/budgets", `{"level": "all", "budget": "5/day"}`, &out)
	f.api("POST", "/api/v1/schedules", `{"name": "nightly", "workflow": "nightly.yaml", "cron": "30 2 * * 1-5", "time_zone": "Europe/Berlin", "budget_usd": 0.5}`, &out)
	f.api("POST", "/api/v1/schedules", `{"name": "weekly-review", "workflow": "review.yaml", "cron": "0 8 * * 1", "params": {"topic": "what changed in the last week"}, "overlap": "queue"}`, &out)
	f.api("POST", "/api/v1/schedules", `{"name": "hourly", "workflow": "draft.yaml", "cron": "@hourly"}`, &out)
	f.post("/api/v1/schedules/hourly/pause")
	f.until("/api/v1/webhooks", func(list *hookList) bool {
		return len(list.Webhooks) == 3 && list.Webhooks[1].Delivered > 2 && list.Webhooks[2].Last != nil
	})
	return f
}

// hookSecret signs what is sent to webhooks.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr"

// hookList is the list of webhooks of the API.
type hookList struct {
	Webhooks []struct {
		Name      string
		Pending   int
		Delivered int
		Last      any `json:"last_delivery"`
	}
}

// notifies has the site send to three webhooks: ops takes everything, old has no secret,
// and pager takes nothing.
func (s *site) notifies() {
	s.t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ops" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	s.t.Cleanup(receiver.Close)
	s.t.Setenv("OPS_WEBHOOK_SECRET", hookSecret)
	for name, env := range map[string]string{"ops": "OPS_WEBHOOK_SECRET", "old": "RETIRED_WEBHOOK_SECRET", "pager": "OPS_WEBHOOK_SECRET"} {
		var out struct{ Name, Detail string }
		s.api("POST", "/api/v1/webhooks", fmt.Sprintf(`{"name": %q, "url": "%s/%s", "secret_env": %q}`, name, receiver.URL, name, env), &out)
		if out.Name != name {
			s.t.Fatalf("webhook %s is not added: %s", name, out.Detail)
		}
	}
	s.srv.RunWebhooks()
}

// until asks the API until what it answers is as wanted.
func (s *site) until(path string, wanted func(*hookList) bool) {
	s.t.Helper()
	for deadline := time.Now().Add(limit); ; {
		var list hookList
		s.api("GET", path, "", &list)
		if wanted(&list) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %+v", path, list)
		}
	}
}

// spent records calls of the last month.
func (s *site) spent() {
	s.t.Helper()
	store, err := callsdb.Open(pipeline.DataDir(s.cfg.DataDir).History())
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	var calls []analytics.Call
	agents, models := []string{"python-expert", "code-reviewer", "test-writer", "security-specialist", "doc-writer"}, []string{"claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5"}
	for i := range 240 {
		at, agent, model := time.Now().Add(-time.Duration(i)*3*time.Hour), agents[i*i%len(agents)], models[i%len(models)]
		calls = append(calls,
			analytics.Call{Time: at, Project: s.dir, Workflow: "review", Agent: agent, Model: model, Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 900 * (i%7 + 1), OutputTokens: 150 * (i%5 + 1)}, Cost: llm.Dollars(0.011 * float64(i*i%17+1)), Duration: time.Duration(1+i%9) * time.Second, Attempts: 1},
			analytics.Call{Time: at, Project: s.dir, Workflow: "review", Agent: agent, Model: model, Source: llm.SourceCache, Saved: analytics.Savings{Cache: llm.Dollars(0.007 * float64(i*i%13+1))}})
	}
	if err := store.Add(s.t.Context(), calls...); err != nil {
		s.t.Fatal(err)
	}
}

// interrupted makes an interrupted run that was to do what another did.
func (s *site) interrupted(like string) {
	s.t.Helper()
	store, err := claudeforce.CreateHistory(s.t.Context(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	run, err := store.Find(s.t.Context(), like)
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := store.Create(s.t.Context(), journal.Run{ID: fmt.Sprintf("run_%012d", 1), Workflow: run.Workflow, File: run.File, Spec: run.Spec})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := log.Release(); err != nil {
		s.t.Fatal(err)
	}
}
