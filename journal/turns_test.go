package journal_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
)

// eventLog keeps events.
type eventLog struct{ events []journal.Event }

func (l *eventLog) Append(events ...journal.Event) func() error {
	l.events = append(l.events, events...)
	return func() error { return nil }
}

func (*eventLog) Release() error { return nil }

// fold returns the state of a unit after the first n events.
func (l *eventLog) fold(t *testing.T, unit journal.Unit, n int) *journal.UnitState {
	t.Helper()
	state, err := journal.Fold(func(yield func(journal.Event, error) bool) {
		for _, ev := range l.events[:n] {
			if !yield(ev, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return state.Unit(unit.Step, unit.Item)
}

// TestEffectsOfALoopAreKnownUnlessACallWasCutOff looks at a unit after every event.
func TestEffectsOfALoopAreKnownUnlessACallWasCutOff(t *testing.T) {
	t.Parallel()
	unit, key := journal.Unit{Step: "pay"}, llm.Key{1}
	log := &eventLog{}
	log.Append(journal.Event{Type: journal.StepStarted, Step: "pay", Attempt: 1})
	turns := journal.NewTurns(log, unit, nil)
	call := journal.ToolCall{ID: "a", Tool: "Bash"}
	for _, err := range []error{
		turns.Answered(key, journal.TurnAnswer{Response: &llm.Response{}}),
		turns.Begin(key, call),
		turns.End(key, call, []llm.Block{llm.TextBlock("done")}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var uncertain []bool
	for n := 1; n <= len(log.events); n++ {
		uncertain = append(uncertain, log.fold(t, unit, n).Uncertain())
	}
	if want := []bool{true, false, true, false}; !slices.Equal(uncertain, want) {
		t.Errorf("after each event the effects are uncertain: %v; want %v", uncertain, want)
	}

	cut := journal.NewTurns(log, unit, log.fold(t, unit, 3))
	if _, started := cut.Call(key, "a"); !started {
		t.Error("a call that was cut off has not started")
	}
	cut.Repeat()
	if _, started := cut.Call(key, "a"); started {
		t.Error("a call that may run again counts as started")
	}
	// A call that asks a person within another has not started either.
	asking := &eventLog{events: slices.Clone(log.events[:3])}
	inner := journal.NewTurns(asking, unit, asking.fold(t, unit, 3)).Within(key, "a")
	if err := errors.Join(inner.Answered(llm.Key{2}, journal.TurnAnswer{Response: &llm.Response{}}), inner.Begin(llm.Key{2}, call)); err != nil {
		t.Fatal(err)
	}
	inner.Within(llm.Key{2}, "a").Suspend()
	if asking.fold(t, unit, len(asking.events)).Uncertain() {
		t.Error("a call that waits for a person counts as cut off")
	}
	whole := journal.NewTurns(log, unit, log.fold(t, unit, 4))
	whole.Repeat()
	if state, _ := whole.Call(key, "a"); state.Blocks == nil {
		t.Error("a call that has finished runs again")
	}
}

// TestAQuestionAboutACallIsOfItsStep follows the status of a run whose step waits for
// approval of a call.
func TestAQuestionAboutACallIsOfItsStep(t *testing.T) {
	t.Parallel()
	step := journal.Unit{Step: "refine@2/critic", Item: "k"}
	call := step.Call("3fa9")
	if caller, ok := call.Caller(); !ok || caller != step {
		t.Errorf("the call %v is of %v", call, caller)
	}
	if _, ok := step.Caller(); ok {
		t.Errorf("%v is taken for a call", step)
	}
	var live journal.Live
	for _, tt := range []struct {
		event journal.EventType
		unit  journal.Unit
		want  journal.Status
	}{
		{journal.StepStarted, step, journal.StatusRunning},
		{journal.ApprovalAsked, call, journal.StatusWaiting},
		{journal.RunResumed, journal.Unit{}, journal.StatusWaiting},
		{journal.StepStarted, step, journal.StatusWaiting},
		{journal.ApprovalGiven, call, journal.StatusRunning},
		{journal.ApprovalAsked, step.Call("b7"), journal.StatusWaiting},
		{journal.StepFinished, step, journal.StatusRunning}, // it was not made again
	} {
		live.Add(&journal.Event{Type: tt.event, Step: tt.unit.Step, Item: tt.unit.Item})
		if got := live.Status(journal.StatusRunning); got != tt.want {
			t.Errorf("after %s of %v the run is %s; want %s", tt.event, tt.unit, got, tt.want)
		}
	}
}
