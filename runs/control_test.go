package runs_test

import (
	"testing"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/journal/memory"
	"github.com/claude-force/claude-force/runs"
)

// TestEndedRunsAskNothing ends runs in each way while an approval is open: only those
// that may be resumed still wait for an answer.
func TestEndedRunsAskNothing(t *testing.T) {
	t.Parallel()
	exit := journal.Event{Type: journal.StepFinished, Step: "stop", Detail: journal.Detail(map[string]any{"exit": map[string]any{"status": "completed"}})}
	byExit := journal.RunEnd{Status: journal.StatusCompleted, Exited: &journal.Exited{Step: "stop"}}
	ended := func(status journal.Status) journal.Event {
		return journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: status})}
	}
	for name, test := range map[string]struct {
		events []journal.Event
		asks   bool
	}{
		"running":     {nil, true},
		"interrupted": {[]journal.Event{ended(journal.StatusInterrupted)}, true},
		"failed":      {[]journal.Event{ended(journal.StatusFailed)}, true},
		"cancelled":   {[]journal.Event{ended(journal.StatusCancelled)}, false},
		"exited":      {[]journal.Event{exit, {Type: journal.RunFinished, Detail: journal.Detail(byExit)}}, false},
	} {
		store := memory.New()
		log, err := store.Create(t.Context(), journal.Run{ID: "run_a"})
		if err != nil {
			t.Fatal(err)
		}
		asked := journal.Event{Type: journal.ApprovalAsked, Step: "ok", Detail: journal.Detail(journal.ApprovalRequest{Message: "go on?"})}
		for _, ev := range append([]journal.Event{{Type: journal.StepStarted, Step: "ok"}, asked}, test.events...) {
			if err := log.Append(ev)(); err != nil {
				t.Fatal(err)
			}
		}
		if err := log.Release(); err != nil {
			t.Fatal(err)
		}
		open, err := runs.Questions(t.Context(), store, "run_a")
		if err != nil || (len(open) == 1) != test.asks {
			t.Errorf("%s: %d questions, %v", name, len(open), err)
		}
		_, err = runs.Decide(t.Context(), store, "run_a", "ok", journal.Decision{Approved: true})
		if (err == nil) != test.asks || err != nil && !fault.Has(err, fault.KindConflict) {
			t.Errorf("%s: the answer: %v", name, err)
		}
	}
}
