package journal

import (
	"fmt"
	"time"

	"github.com/claude-force/claude-force/fault"
)

// DecisionError reports that an approval takes no decision: it has one, its deadline
// has passed, the run was cancelled, or the step waits for none.
type DecisionError struct {
	Unit     Unit
	Decision *Decision // the one that holds; nil if there is none
	Deadline time.Time // if it has passed without a decision
	ended    bool      // it was decided in some other way
	canceled bool      // the run is cancelled, or is being so
	exited   bool      // a step has ended the run
}

// FaultKind returns [fault.KindConflict].
func (e *DecisionError) FaultKind() fault.Kind { return fault.KindConflict }

func (e *DecisionError) Error() string {
	switch {
	case e.Decision != nil:
		what := "denied"
		if e.Decision.Approved {
			what = "approved"
		}
		if e.Decision.By != "" {
			what += " by " + e.Decision.By
		}
		return fmt.Sprintf("step %s was already %s; that decision holds", e.Unit, what)
	case e.canceled:
		return fmt.Sprintf("the run was cancelled; step %s takes no decision", e.Unit)
	case e.exited:
		return fmt.Sprintf("the run has exited; step %s takes no decision", e.Unit)
	case !e.Deadline.IsZero():
		return fmt.Sprintf("the time to approve step %s was up at %s; no answer by then means no", e.Unit, e.Deadline.Local().Format(time.DateTime))
	case e.ended:
		return fmt.Sprintf("the approval of step %s has ended", e.Unit)
	}
	return fmt.Sprintf("step %s waits for no approval", e.Unit)
}

// CheckDecision returns a [*DecisionError] unless id's approval takes a decision at
// the given time, and a [fault.InputError] unless d answers what is asked. The state is
// that of the run's own events and the unit's. Implementations of [Store] call it in
// Signal, in the transaction that appends the decision.
func (s *State) CheckDecision(id Unit, at time.Time, d *Decision) error {
	u := s.Units[id]
	canceled := s.Cancelled || s.Ended != nil && s.Ended.Status == StatusCancelled
	switch {
	case u == nil || u.Asked == nil:
		return &DecisionError{Unit: id}
	case u.Decision != nil:
		return &DecisionError{Unit: id, Decision: u.Decision}
	case canceled:
		return &DecisionError{Unit: id, canceled: true}
	case s.Exited != nil || s.Ended != nil && s.Ended.Exited != nil:
		return &DecisionError{Unit: id, exited: true}
	case u.Type != ApprovalAsked:
		return &DecisionError{Unit: id, ended: true}
	case !u.Asked.Deadline.IsZero() && !at.Before(u.Asked.Deadline):
		return &DecisionError{Unit: id, Deadline: u.Asked.Deadline}
	}
	if err := u.Asked.CheckAnswer(d); err != nil {
		return fmt.Errorf("step %s: %w", id, err)
	}
	return nil
}
