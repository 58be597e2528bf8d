package server_test

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/internal/postgres/postgrestest"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server"
	"github.com/claude-force/claude-force/sim"
)

const published = `name: published
steps:
  - {id: draft, agent: python-expert, task: "Write about bees"}
  - {id: ok, approval: "Publish?", dependencies: [draft]}
  - {id: publish, agent: code-reviewer, task: "Publish ${{ steps.draft.output }}", dependencies: [ok]}
`

// engineWorker does what the workers of an engine do with runs of a server's store.
type engineWorker struct {
	t *testing.T
	o *claudeforce.Orchestrator
}

func newEngineWorker(t *testing.T, dir, store string) *engineWorker {
	t.Helper()
	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir, cfg.Store = t.TempDir(), store
	o, err := claudeforce.New(t.Context(), claudeforce.Options{Dir: dir, Config: cfg, Simulator: sim.New(sim.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return &engineWorker{t, o}
}

// work attempts the steps of a run until it has ended or waits for a person.
func (w *engineWorker) work(run string) *engine.Frontier {
	w.t.Helper()
	j, err := w.o.JoinRun(w.t.Context(), run, claudeforce.EngineTemporal)
	if err != nil {
		w.t.Fatal(err)
	}
	defer j.Close()
	for {
		f, err := j.Advance(w.t.Context(), nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(f.Ready) == 0 {
			return f
		}
		if _, err := j.Attempt(w.t.Context(), f.Ready[0].Unit); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestEngineRuns starts runs for the workers of an engine, which are followed, answered and
// cancelled like those of the server. The server works on none of them.
func TestEngineRuns(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), postgrestest.URL(t)
	s := serveStore(t, dir, store, map[string]string{"published.yaml": published})
	worker := newEngineWorker(t, dir, store)
	start := map[string]any{"workflow": "published.yaml", "engine": "temporal"}
	var run, again journal.Run
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", start, "Idempotency-Key", "one")
	res := s.want(http.StatusAccepted, &again, "POST", "/api/v1/runs", start, "Idempotency-Key", "one")
	if run.Engine != "temporal" || run.Status != journal.StatusRunning || again.ID != run.ID || res.Header.Get("Idempotent-Replayed") != "true" {
		t.Fatalf("started: %+v; sent again: %+v", run, again)
	}
	s.want(http.StatusConflict, nil, "POST", "/api/v1/runs/"+run.ID+"/resume", map[string]any{})

	if f := worker.work(run.ID); !f.Asking {
		t.Fatalf("the run came to %+v", f)
	}
	var asked struct{ Approvals []server.Approval }
	s.want(http.StatusOK, &asked, "GET", "/api/v1/runs/"+run.ID+"/approvals", nil)
	if len(asked.Approvals) != 1 || !strings.Contains(s.page(http.StatusOK, "/approvals"), run.ID) {
		t.Fatalf("%d approvals wait", len(asked.Approvals))
	}
	if page := s.page(http.StatusOK, "/runs/"+run.ID); !strings.Contains(page, "for the workers of temporal") || !strings.Contains(page, "/cancel") || strings.Contains(page, "/resume") {
		t.Errorf("the page of the run:\n%s", page)
	}
	s.want(http.StatusOK, nil, "POST", "/api/v1/runs/"+run.ID+"/approve", map[string]any{"approved": true})
	if f := worker.work(run.ID); f.Result == nil || f.Result.Status != engine.StatusCompleted {
		t.Fatalf("the run came to %+v", f)
	}
	var view runs.View
	s.want(http.StatusOK, &view, "GET", "/api/v1/runs/"+run.ID, nil)
	if view.Engine != "temporal" || view.Status != journal.StatusCompleted || view.Result.Steps["publish"].Output == "" {
		t.Errorf("the run that has ended: %+v", view)
	}
	messages := s.follow(run.ID, "")
	if last := messages[len(messages)-1]; last.event != "end" || !strings.Contains(last.data, `"completed"`) {
		t.Errorf("the events end with %+v", last)
	}

	var cancelled struct{ Signaled bool }
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", start)
	s.want(http.StatusOK, &cancelled, "POST", "/api/v1/runs/"+run.ID+"/cancel", nil)
	if f := worker.work(run.ID); !cancelled.Signaled || f.Result == nil || f.Result.Status != engine.StatusCancelled {
		t.Errorf("signaled: %t; the run came to %+v", cancelled.Signaled, f)
	}

	// One that no worker can work on.
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", start)
	history, err := worker.o.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, _, err := history.(journal.Joiner).Join(t.Context(), run.ID, claudeforce.EngineTemporal, journal.Unit{})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusInterrupted})})(); err != nil {
		t.Fatal(err)
	}
	if err := log.Release(); err != nil {
		t.Fatal(err)
	}
	if err := s.srv.ResumeRuns(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	s.srv.Drain(stopped)
	events := 0
	for _, err := range history.Events(t.Context(), run.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		events++
	}
	if events != 2 { // its start and its end
		t.Errorf("the server added to a run of an engine: it has %d events", events)
	}
}

// TestEngineOnPages starts a run for an engine with the form of a workflow.
func TestEngineOnPages(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), postgrestest.URL(t)
	s := serveStore(t, dir, store, map[string]string{"published.yaml": published})
	if page := s.page(http.StatusOK, "/workflows/published.yaml"); !strings.Contains(page, `<select id="engine"`) {
		t.Errorf("the form has no engine:\n%s", page)
	}
	planned := s.page(http.StatusOK, "/workflows/published.yaml?plan=1&engine=temporal")
	if !strings.Contains(planned, `<input type="hidden" name="engine" value="temporal">`) || !strings.Contains(planned, `<option value="temporal" selected>`) {
		t.Errorf("the plan has no engine:\n%s", planned)
	}
	b := s.browser()
	if _, err := b.PostForm(s.url+"/login", url.Values{"key": {s.key}}); err != nil {
		t.Fatal(err)
	}
	res, err := b.PostForm(s.url+"/start", url.Values{"workflow": {"published.yaml"}, "once": {"x"}, "engine": {"temporal"}})
	if err != nil {
		t.Fatal(err)
	}
	body(t, res)
	var run journal.Run
	s.want(http.StatusOK, &run, "GET", "/api/v1/runs/"+filepath.Base(res.Request.URL.Path), nil)
	if run.Engine != "temporal" {
		t.Errorf("the run that the page started: %+v", run)
	}
}

// TestEngineNeedsASharedStore asks for engines that a server with its runs in files does not have.
func TestEngineNeedsASharedStore(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), map[string]string{"published.yaml": published})
	for name, want := range map[string]string{"temporal": "needs a store that its workers share", "airflow": "expected value to be one of"} {
		var p server.Problem
		s.want(http.StatusUnprocessableEntity, &p, "POST", "/api/v1/runs", map[string]any{"workflow": "published.yaml", "engine": name})
		if !strings.Contains(p.Detail, want) {
			t.Errorf("engine %s: %s", name, p.Detail)
		}
	}
	var run journal.Run
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "published.yaml", "engine": ""})
	s.untilWaiting(run.ID)
	if run.Engine != "" {
		t.Errorf("a run of the server is for the engine %q", run.Engine)
	}
	if page := s.page(http.StatusOK, "/workflows/published.yaml"); strings.Contains(page, `name="engine"`) {
		t.Errorf("the form has an engine:\n%s", page)
	}
}
