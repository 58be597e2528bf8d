package runs_test

import (
	"encoding/json"
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

func TestTheJSONOfARunHasTheStatusThatTheTableShows(t *testing.T) {
	t.Parallel()
	run := journal.Run{ID: "run_1", Status: journal.StatusRunning, Owner: &journal.Owner{Host: "h", PID: 1}} // whose process is dead
	data, err := json.Marshal(&runs.Detail{Run: run, Spec: &runs.Spec{}, State: &journal.State{}, Result: &engine.Result{}})
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		Status journal.Status `json:"status"`
	}
	if err := json.Unmarshal(data, &shown); err != nil {
		t.Fatal(err)
	}
	if want := runs.StatusOf(run); shown.Status != want || want != runs.StatusCrashed {
		t.Errorf("status %q; want %q", shown.Status, want)
	}
}
