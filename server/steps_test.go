package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/server"
)

// TestSteps reads the steps and the outputs of a run, in all forms.
func TestSteps(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"each.yaml": `name: each
steps:
  - {id: list, value: '["a", "b", "c"]'}
  - {id: work, agent: python-expert, foreach: "${{ steps.list.json }}", task: "Do ${{ item }}"}
  - {id: last, agent: code-reviewer, task: "Review ${{ steps.work.output }}"}
`})
	var run struct {
		ID string `json:"run_id"`
	}
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "each.yaml"})
	s.follow(run.ID, "")
	base := "/api/v1/runs/" + run.ID

	var names []string
	for cursor := ""; ; {
		var page server.StepList
		s.want(http.StatusOK, &page, "GET", base+"/steps?limit=2&cursor="+cursor, nil)
		for _, row := range page.Steps {
			names = append(names, row.Step+row.Item)
			if row.Status != "completed" || row.StartedAt.IsZero() {
				t.Errorf("row %+v", row)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(names) != 6 {
		t.Errorf("listed %v, want 3 steps and 3 items", names)
	}
	var page server.StepList
	s.want(http.StatusOK, &page, "GET", base+"/steps?status=failed", nil)
	if len(page.Steps) != 0 {
		t.Errorf("failed: %v", page.Steps)
	}
	var view struct {
		Prompt, Reason, Output, Source string
		Tries                          []struct{ Attempt int }
	}
	s.want(http.StatusOK, &view, "GET", base+"/steps/work?item=b", nil)
	if view.Prompt != "Do b" || view.Output == "" || view.Source != "live" || len(view.Tries) != 1 || !strings.Contains(view.Reason, "no run before") {
		t.Errorf("step: %+v", view)
	}
	s.want(http.StatusNotFound, nil, "GET", base+"/steps/none", nil)
	s.want(http.StatusNotFound, nil, "GET", base+"/steps/work?item=z", nil)
	s.want(http.StatusNotFound, nil, "GET", base+"/steps/"+url.PathEscape("work/none"), nil)
	s.want(http.StatusUnprocessableEntity, nil, "GET", base+"/steps?cursor=x", nil)
	s.want(http.StatusNotFound, nil, "GET", base+"/steps?step=nope", nil)

	for name, test := range map[string]struct{ query, accept, kind, has string }{
		"as JSON":    {"", "application/json", "application/json", `"`},
		"by default": {"", "", "application/json", `"`},
		"as text":    {"", "text/plain", "text/plain; charset=utf-8", "\n"},
		"as CSV":     {"?step=work", "text/csv;q=0.9", "text/csv; charset=utf-8", "key,item,status"},
		"as lines":   {"?step=work&format=jsonl", "text/csv", "application/jsonl", `"item":"b"`},
		"an item":    {"?step=work&item=a&format=text", "", "text/plain; charset=utf-8", "\n"},
		"a list":     {"?step=work", "", "application/json", "["},
	} {
		res, data := s.send("GET", base+"/output"+test.query, nil, "Accept", test.accept)
		s.conforms(res, "GET", base+"/output", data)
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != test.kind || !strings.Contains(string(data), test.has) {
			t.Errorf("%s: %s, %s: %s", name, res.Status, res.Header.Get("Content-Type"), data)
		}
	}
	for query, status := range map[string]int{"?item=a": 422, "?step=none": 404, "?step=work&item=z": 404, "?format=xml": 422, "?format=csv&all=true": 422} {
		s.want(status, nil, "GET", base+"/output"+query, nil)
	}
}

// TestService reads what there is of calls, models, budgets and workflows, and clears
// of the cache only what the request names.
func TestService(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"two.yaml": twoSteps, "bad.yaml": "name: bad\nsteps:\n  - {id: x, agent: missing-agent, task: hi}\n"})
	for _, path := range []string{
		"/api/v1/calls", "/api/v1/calls?agent=x&failed=true&source=live&days=0", "/api/v1/models", "/api/v1/budgets",
		"/api/v1/analytics/costs", "/api/v1/analytics/costs?by=project,agent,day&days=0", "/api/v1/analytics/costs?since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z",
	} {
		s.want(http.StatusOK, nil, "GET", path, nil)
	}
	for _, path := range []string{"/api/v1/calls?cursor=x", "/api/v1/calls?limit=0", "/api/v1/calls?days=-1", "/api/v1/analytics/costs?days=-1", "/api/v1/calls?until=yesterday", "/api/v1/analytics/costs?by=colour", "/api/v1/analytics/costs?by=day,day"} {
		s.want(http.StatusUnprocessableEntity, nil, "GET", path, nil)
	}
	var checked struct {
		Valid    bool
		Problems []struct{ Line int }
	}
	s.want(http.StatusOK, &checked, "POST", "/api/v1/workflows/validate", map[string]any{"workflow": "two.yaml"})
	if !checked.Valid {
		t.Errorf("two.yaml: %+v", checked)
	}
	s.want(http.StatusOK, &checked, "POST", "/api/v1/workflows/validate", map[string]any{"workflow": "bad.yaml"})
	if checked.Valid || len(checked.Problems) != 1 || checked.Problems[0].Line != 3 {
		t.Errorf("bad.yaml: %+v", checked)
	}
	for _, path := range []string{"../two.yaml", "/etc/passwd.yaml", "three.yaml"} {
		s.want(http.StatusUnprocessableEntity, nil, "POST", "/api/v1/workflows/validate", map[string]any{"workflow": path})
		s.want(http.StatusUnprocessableEntity, nil, "GET", "/api/v1/workflows/graph?workflow="+path, nil)
	}
	for format, has := range map[string]string{"text": "draft", "mermaid": "flowchart", "svg": "<svg"} {
		res, data := s.send("GET", "/api/v1/workflows/graph?workflow=two.yaml&format="+format, nil)
		s.conforms(res, "GET", "/api/v1/workflows/graph", data)
		if res.StatusCode != http.StatusOK || !strings.Contains(string(data), has) {
			t.Errorf("%s: %s: %s", format, res.Status, data)
		}
	}
	var run struct {
		ID string `json:"run_id"`
	}
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/runs", map[string]any{"workflow": "two.yaml"})
	s.follow(run.ID, "")
	for _, query := range []string{"", "?agent=python-expert&all=true", "?older_than=yesterday"} {
		s.want(http.StatusUnprocessableEntity, nil, "DELETE", "/api/v1/cache"+query, nil)
	}
	var removed struct{ Entries int }
	for _, test := range []struct {
		query string
		want  int
	}{{"?older_than=7d", 0}, {"?agent=python-expert", 1}, {"?all=true", 1}} {
		s.want(http.StatusOK, &removed, "DELETE", "/api/v1/cache"+test.query, nil)
		if removed.Entries != test.want {
			t.Errorf("%s removed %d answers, want %d", test.query, removed.Entries, test.want)
		}
	}
}
