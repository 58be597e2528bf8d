package runs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
)

// Decide answers the approval that a step of a run waits for, and returns the
// step. Without a step, the run must have exactly one open approval. The error is
// a [fault.InputError] if there are several, and a [*StateError] if there is none; with a
// [*journal.DecisionError] if someone else decided first or the time to decide is up.
func Decide(ctx context.Context, store journal.Store, id, step string, d journal.Decision) (string, error) {
	run, err := Find(ctx, store, id)
	if err != nil {
		return "", err
	}
	state, err := journal.Fold(store.Events(ctx, run.ID, 0))
	if err != nil {
		return "", fmt.Errorf("reading run %s: %w", run.ID, err)
	}
	var open []*journal.UnitState
	var decided *journal.UnitState // the latest
	for _, u := range state.Order {
		if stale(state, u) {
			continue
		}
		if u.Decision != nil && (step == "" || u.Step == step || u.String() == step) {
			decided = u
		}
		if u.Type == journal.ApprovalAsked && u.Decision == nil && (step == "" || u.Step == step || u.String() == step) {
			open = append(open, u)
		}
	}
	switch {
	case len(open) == 0 && decided != nil && step == "":
		return "", WrongState(&run, fmt.Errorf("run %s waits for no approval: %w", run.ID, state.CheckDecision(decided.Unit, time.Now(), &d)))
	case len(open) == 0 && decided != nil:
		return "", WrongState(&run, fmt.Errorf("answering run %s: %w", run.ID, state.CheckDecision(decided.Unit, time.Now(), &d)))
	case len(open) == 0 && step != "":
		return "", WrongState(&run, fmt.Errorf("step %s of run %s waits for no approval", step, run.ID))
	case len(open) == 0:
		return "", WrongState(&run, fmt.Errorf("run %s waits for no approval", run.ID))
	case len(open) > 1:
		names := make([]string, len(open))
		for i, u := range open {
			names[i] = u.String()
		}
		return "", fault.Input(fmt.Errorf("run %s waits for several approvals; name one of the steps: %s", run.ID, strings.Join(names, ", ")))
	}
	if open[0].Asked.Call != nil && step == "" && d.Approved {
		return "", fault.Input(fmt.Errorf("run %s waits for approval of a call: %s\nname the call that you approve: %s", run.ID, open[0].Asked.Message, open[0]))
	}
	err = store.Signal(ctx, journal.Event{Run: run.ID, Type: journal.ApprovalGiven, Step: open[0].Step, Item: open[0].Item, Detail: journal.Detail(d)})
	if err != nil {
		err = fmt.Errorf("answering run %s: %w", run.ID, err)
		if _, ok := errors.AsType[*journal.DecisionError](err); ok {
			err = WrongState(&run, err)
		}
		return "", err
	}
	return open[0].Step, nil
}

// Decision returns the decision that the approval of a run's unit has, or nil.
func Decision(ctx context.Context, store journal.Store, run string, unit journal.Unit) (*journal.Decision, error) {
	state, err := journal.Fold(store.Events(ctx, run, 0))
	if err != nil {
		return nil, fmt.Errorf("reading run %s: %w", run, err)
	}
	if u := state.Unit(unit.Step, unit.Item); u != nil {
		return u.Decision, nil
	}
	return nil, nil
}

// Cancel stops a run, which then continues only if it is resumed. A run that a process owns
// gets a signal and stops soon, any other ends now. It reports whether a process was
// signaled. The error is a [*StateError] if the run is completed or cancelled already.
func Cancel(ctx context.Context, store journal.Store, id string) (signaled bool, err error) {
	run, err := Find(ctx, store, id)
	if err != nil {
		return false, err
	}
	if run.Status == journal.StatusCompleted || run.Status == journal.StatusCancelled {
		return false, WrongState(&run, nil)
	}
	if run.Owned() {
		return true, store.Signal(ctx, journal.Event{Run: run.ID, Type: journal.CancelAsked})
	}
	log, err := store.Acquire(ctx, run.ID)
	if err != nil {
		return false, fmt.Errorf("cancelling run %s: %w", run.ID, err)
	}
	wait := log.Append(journal.Event{Type: journal.RunFinished, Detail: journal.Detail(journal.RunEnd{Status: journal.StatusCancelled})})
	if err := wait(); err != nil {
		return false, fmt.Errorf("cancelling run %s: %w", run.ID, err)
	}
	return false, log.Release()
}
