package journal_test

import (
	"slices"
	"testing"
	"time"

	"github.com/claude-force/claude-force/journal"
)

// TestRetries folds the events of a unit that is tried again: it waits from the failure of
// an attempt to the next.
func TestRetries(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	failed := journal.Detail(journal.Failed{Code: "overloaded", Message: "try later", WaitSeconds: 90})
	events := []journal.Event{
		{Type: journal.StepStarted, Attempt: 1},
		{Type: journal.StepRetrying, Attempt: 1, Detail: failed, Time: at},
		{Type: journal.StepAttempt, Attempt: 2},
		{Type: journal.StepRetrying, Attempt: 2, Detail: failed, Time: at.Add(time.Hour)},
		{Type: journal.StepFailed, Attempt: 2, Detail: failed, Time: at.Add(2 * time.Hour)},
	}
	want := []time.Time{{}, at.Add(90 * time.Second), {}, at.Add(time.Hour + 90*time.Second), {}}
	for n := range events {
		state, err := journal.Fold(func(yield func(journal.Event, error) bool) {
			for i, ev := range events[:n+1] {
				ev.Step, ev.Seq = "a", int64(i+1)
				if !yield(ev, nil) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		u := state.Unit("a", "")
		if !u.RetryAt.Equal(want[n]) || u.Retries() == want[n].IsZero() {
			t.Errorf("after %s: the next attempt is at %s, want %s", events[n].Type, u.RetryAt, want[n])
		}
		if slices.Contains([]int{1, 2, 3}, n) && u.Failed.Message != "try later" {
			t.Errorf("after %s the last failure is %+v", events[n].Type, u.Failed)
		}
	}
	if (*journal.UnitState)(nil).Retries() {
		t.Error("what is not known is tried again")
	}
}
