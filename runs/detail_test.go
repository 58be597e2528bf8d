package runs_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
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

// TestStepsWithinARunningItemRun loads a run while a step within an item of it runs.
func TestStepsWithinARunningItemRun(t *testing.T) {
	t.Parallel()
	const source = `
steps:
  - id: each
    foreach: [api]
    steps:
      - {id: read, agent: a, task: "Read ${{ item }}."}
      - {id: judge, agent: a, task: "Judge ${{ steps.read.output }}."}
`
	wf, err := workflow.Parse("w.yaml", []byte(source), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(&runs.Spec{Version: runs.SpecVersion, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	store := memory.New()
	log, err := store.Create(t.Context(), journal.Run{ID: "run_1", Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	_, err = engine.Run(t.Context(), wf, engine.Options{RunID: "run_1", Log: log, Execute: func(context.Context, engine.Attempt) (llm.Outcome, error) {
		once.Do(func() {
			d, err := runs.Load(t.Context(), store, "run_1")
			if err != nil {
				t.Error(err)
				return
			}
			item := d.Result.Steps["each"].Items[0]
			got := []engine.Status{d.Result.Steps["each"].Status, item.Status, item.Steps["read"].Status, item.Steps["judge"].Status}
			want := []engine.Status{engine.StatusRunning, engine.StatusRunning, engine.StatusRunning, engine.StatusPending}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("statuses %v, want %v", got, want)
					break
				}
			}
		})
		return llm.Outcome{Output: "fine", CostUSD: new(float64)}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestItemsOfChangesAreNamedByEitherItem takes a foreach within another.
func TestItemsOfChangesAreNamedByEitherItem(t *testing.T) {
	t.Parallel()
	d := &runs.Detail{State: &journal.State{}}
	for _, label := range []string{"German, day", "German, night", "French, noon"} {
		u := &journal.UnitState{Unit: journal.Unit{Step: "each/say", Item: label}, Started: journal.Started{Label: label}}
		u.Finished.Changes = &llm.Changes{Branch: label}
		d.State.Order = append(d.State.Order, u)
	}
	for item, want := range map[string]string{"German, day": "German, day", "night": "German, night", "French": "French, noon"} {
		if c, ok, err := d.Changes("each/say", item); err != nil || !ok || c.Branch != want {
			t.Errorf("item %q: %v, %v, %v; want %s", item, c, ok, err, want)
		}
	}
	if _, _, err := d.Changes("each/say", "German"); err == nil || !strings.Contains(err.Error(), "name one of them: German, day, German, night") {
		t.Errorf("two items of German: %v", err)
	}
	if _, ok, err := d.Changes("each/say", "Spanish"); ok || err != nil {
		t.Errorf("no item: %v, %v", ok, err)
	}
}
