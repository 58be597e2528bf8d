package engine_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

// A run is taken over after the clock was set back by a day: what began tomorrow
// takes no time below 0, and a question is open for no longer than was said.
func TestTakenOverAfterTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wf := parseFiles(t, `{steps: [{id: ok, approval: {message: Sure?, timeout: 1h}}]}`, nil)
		tomorrow := time.Now().Add(24 * time.Hour)
		asked, err := json.Marshal(journal.ApprovalRequest{Message: "Sure?", Deadline: tomorrow.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		earlier := past(t, []journal.Event{
			{Seq: 1, Type: journal.RunStarted, Time: tomorrow},
			{Seq: 2, Type: journal.StepStarted, Step: "ok", Attempt: 1, Time: tomorrow, Detail: json.RawMessage(`{"task":"Sure?"}`)},
			{Seq: 3, Type: journal.ApprovalAsked, Step: "ok", Time: tomorrow, Detail: asked},
		})
		begin := time.Now()
		res := run(t.Context(), wf, engine.Options{RunID: bookID, Past: earlier, MaxParallel: 1})
		ok := res.Steps["ok"]
		if waited := time.Since(begin); ok.Status != engine.StatusFailed || waited > time.Hour {
			t.Errorf("the step is %s after %v; want a denial within an hour", ok.Status, waited)
		}
		if ok.DurationSeconds < 0 || ok.DurationSeconds > 3600 {
			t.Errorf("it took %v s", ok.DurationSeconds)
		}
	})
}
