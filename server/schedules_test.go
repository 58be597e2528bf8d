package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/claude-force/claude-force/keys"
)

// TestSchedules adds, pauses, resumes and removes a schedule over the wire.
func TestSchedules(t *testing.T) {
	s := serve(t, t.TempDir(), map[string]string{"two.yaml": twoSteps})
	one := map[string]any{"name": "nightly", "workflow": "two.yaml", "cron": "30 2 * * *", "time_zone": "Europe/Berlin", "params": map[string]string{"topic": "ants"}, "budget_usd": 0.5}
	type view struct {
		Name, Overlap, Window string
		Paused                bool
		Next                  []string
	}
	var added view
	s.want(http.StatusCreated, &added, "POST", "/api/v1/schedules", one)
	if added.Name != "nightly" || added.Overlap != "skip" || added.Window != "24h0m0s" || len(added.Next) != 3 {
		t.Errorf("added: %+v", added)
	}
	s.want(http.StatusConflict, nil, "POST", "/api/v1/schedules", one)
	for field, value := range map[string]any{"cron": "61 * * * *", "workflow": "../two.yaml", "params": map[string]string{"topics": "x"}, "time_zone": "Mars", "window": "0s", "overlap": "drop"} {
		bad := map[string]any{"name": "other", "workflow": "two.yaml", "cron": "@daily"}
		bad[field] = value
		s.want(http.StatusUnprocessableEntity, nil, "POST", "/api/v1/schedules", bad)
	}
	list := func() view {
		t.Helper()
		var out struct{ Schedules []view }
		s.want(http.StatusOK, &out, "GET", "/api/v1/schedules", nil)
		if len(out.Schedules) != 1 {
			t.Fatalf("%+v", out)
		}
		return out.Schedules[0]
	}
	s.want(http.StatusNoContent, nil, "POST", "/api/v1/schedules/nightly/pause", nil)
	if v := list(); !v.Paused || len(v.Next) != 0 {
		t.Errorf("paused: %+v", v)
	}
	var run, same struct {
		ID string `json:"run_id"`
	}
	s.want(http.StatusAccepted, &run, "POST", "/api/v1/schedules/nightly/run", nil, "Idempotency-Key", "now")
	s.want(http.StatusAccepted, &same, "POST", "/api/v1/schedules/nightly/run", nil, "Idempotency-Key", "now")
	if run.ID == "" || same != run || list().Paused != true {
		t.Errorf("started %+v, then %+v; now %+v", run, same, list())
	}
	s.want(http.StatusNotFound, nil, "POST", "/api/v1/schedules/none/run", nil)
	s.want(http.StatusNoContent, nil, "POST", "/api/v1/schedules/nightly/resume", nil)
	if v := list(); v.Paused || len(v.Next) != 3 {
		t.Errorf("resumed: %+v", v)
	}
	s.want(http.StatusNoContent, nil, "DELETE", "/api/v1/schedules/nightly", nil)
	s.want(http.StatusNotFound, nil, "DELETE", "/api/v1/schedules/nightly", nil)
	s.want(http.StatusNotFound, nil, "POST", "/api/v1/schedules/nightly/pause", nil)
}

// TestSchedulesPage pauses and resumes a schedule by the forms of its page, which those
// who may not change it can look at.
func TestSchedulesPage(t *testing.T) {
	tm := serveTeam(t)
	const form, pause = `action="/schedules`, "/schedules/nightly/pause"
	for _, role := range []keys.Role{keys.RoleRead, keys.RoleRun, keys.RoleAdmin} {
		c := tm.as(tm.create(keys.Spec{Name: "the-" + string(role), Role: role}))
		if text := c.page(http.StatusOK, "/schedules"); strings.Contains(text, form) {
			t.Errorf("a key of the role %s gets forms", role)
		}
		for _, path := range []string{"/schedules", pause, "/schedules/nightly/resume", "/schedules/nightly/remove", "/schedules/nightly/run"} {
			if got := c.status("POST", path, nil); got != http.StatusForbidden {
				t.Errorf("POST %s with the role %s: %d", path, role, got)
			}
		}
	}
	if text := tm.page(http.StatusOK, "/schedules"); !strings.Contains(text, form) || !strings.Contains(text, "Nothing is started") {
		t.Errorf("the owner gets no forms:\n%s", text)
	}
	if got := tm.status("POST", pause, nil); got != http.StatusNotFound {
		t.Errorf("pausing a schedule that there is not: %d", got)
	}
}
