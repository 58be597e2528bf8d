package server_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestModelsThatThereAreNot names models in all requests that take one: what there cannot
// be is refused before a run is written down, and one that is newer than the table is not.
func TestModelsThatThereAreNot(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{
		"two.yaml":  twoSteps,
		"step.yaml": "name: step\nsteps:\n  - {id: a, agent: python-expert, model: hiaku, task: hi}\n",
	})
	schedule := func(workflow, model string) map[string]any {
		return map[string]any{"name": "of-" + model, "workflow": workflow, "cron": "@daily", "model": model}
	}
	start := func(workflow, model string) map[string]any {
		return map[string]any{"workflow": workflow, "model": model}
	}
	for _, test := range []struct {
		path string
		body func(workflow, model string) map[string]any
		good int
	}{
		{"/api/v1/runs", start, http.StatusAccepted},
		{"/api/v1/plans", start, http.StatusOK},
		{"/api/v1/schedules", schedule, http.StatusCreated},
	} {
		for _, bad := range []map[string]any{test.body("two.yaml", "hiaku"), test.body("step.yaml", "")} {
			var p struct{ Code, Detail string }
			s.want(http.StatusUnprocessableEntity, &p, "POST", test.path, bad)
			if p.Code != "input" || !strings.Contains(p.Detail, `no model is named "hiaku"`) {
				t.Errorf("%s %v: %+v", test.path, bad, p)
			}
		}
		var list struct{ Runs []any }
		if s.want(http.StatusOK, &list, "GET", "/api/v1/runs", nil); test.path == "/api/v1/runs" && len(list.Runs) > 0 {
			t.Errorf("%s: there is a run: %v", test.path, list)
		}
		s.want(test.good, nil, "POST", test.path, test.body("two.yaml", "claude-haiku-99-20991231"))
	}
}
