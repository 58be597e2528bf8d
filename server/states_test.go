package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/journal"
)

// TestOperationsOnRunsInEachState asks each operation that changes a run of runs in each
// state. What a state does not allow is a conflict that names the state, whatever the
// operation is.
func TestOperationsOnRunsInEachState(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, map[string]string{"asks.yaml": oneApproval})
	var first struct {
		ID   string          `json:"run_id"`
		Spec json.RawMessage `json:"spec"`
	}
	start := func() string {
		s.want(http.StatusAccepted, &first, "POST", "/api/v1/runs", map[string]any{"workflow": "asks.yaml"})
		s.untilWaiting(first.ID)
		return first.ID
	}
	s.want(http.StatusOK, &first, "GET", "/api/v1/runs/"+start()+"/record", nil)

	cfg, err := claudeforce.LoadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(dir, "data")
	store, err := claudeforce.CreateHistory(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	started := 0
	with := func(events ...journal.Event) func() string {
		return func() string {
			started++
			id := fmt.Sprintf("run_state%d", started)
			log, err := store.Create(t.Context(), journal.Run{ID: id, Workflow: "asks", Spec: first.Spec})
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range append([]journal.Event{{Type: journal.StepStarted, Step: "ok"}}, events...) {
				if err := log.Append(ev)(); err != nil {
					t.Fatal(err)
				}
			}
			if err := log.Release(); err != nil {
				t.Fatal(err)
			}
			return id
		}
	}
	ended := func(status journal.Status) journal.Event {
		return journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: status})}
	}
	asked := journal.Event{Type: journal.ApprovalAsked, Step: "ok", Detail: journal.Detail(journal.ApprovalRequest{Message: "Deploy?"})}
	failed := journal.Event{Type: journal.StepFailed, Step: "ok", Detail: journal.Detail(journal.Failed{Code: "timeout", Message: "no answer"})}

	operations := []struct {
		method, path string
		body         any
	}{
		{"POST", "/cancel", nil},
		{"POST", "/approve", map[string]any{"step": "ok", "approved": true}},
		{"POST", "/approve", map[string]any{"approved": false}},
		{"POST", "/resume", nil},
		{"POST", "/resume", map[string]any{"failed": true}},
		{"DELETE", "", nil},
	}
	for _, test := range []struct {
		state string
		make  func() string
		want  [6]int
	}{
		{"waiting", start, [6]int{200, 200, 200, 409, 409, 409}},
		{"completed", with(ended(journal.StatusCompleted)), [6]int{409, 409, 409, 409, 409, 204}},
		{"failed", with(failed, ended(journal.StatusFailed)), [6]int{200, 409, 409, 202, 202, 204}},
		{"cancelled", with(asked, ended(journal.StatusCancelled)), [6]int{409, 409, 409, 202, 409, 204}},
		{"interrupted", with(asked, ended(journal.StatusInterrupted)), [6]int{200, 200, 200, 202, 409, 204}},
	} {
		for i, op := range operations {
			id := test.make()
			var before struct{ Status string }
			s.want(http.StatusOK, &before, "GET", "/api/v1/runs/"+id, nil)
			if before.Status != test.state {
				t.Errorf("%s: the run is %s", test.state, before.Status)
			}
			res, data := s.send(op.method, "/api/v1/runs/"+id+op.path, op.body)
			var p struct{ Code, State, Detail string }
			if len(data) > 0 {
				if err := json.Unmarshal(data, &p); err != nil {
					t.Fatal(err)
				}
			}
			s.conforms(res, op.method, "/api/v1/runs/"+id+op.path, data)
			if res.StatusCode != test.want[i] || res.StatusCode == http.StatusConflict && (p.Code != "conflict" || p.State != test.state) {
				t.Errorf("%s: %s %s %v: %s, want %d: %s", test.state, op.method, op.path, op.body, res.Status, test.want[i], data)
			}
		}
	}
}
