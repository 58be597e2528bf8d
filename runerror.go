package claudeforce

import (
	"fmt"
	"strings"

	"github.com/claude-force/claude-force/engine"
)

// RunError reports a run that started and did not complete: a step failed, a
// budget had no room, or the run was stopped. The result beside it is complete;
// the run can be resumed unless it was cancelled or a step ended it.
type RunError struct {
	RunID   string
	Status  engine.Status    // failed, interrupted or cancelled
	Reason  string           // of the run itself, such as its fail_when; empty if steps failed
	NotDone []engine.NotDone // the steps that did not complete, with the reasons; none if a step ended the run
}

func (e *RunError) Error() string {
	var reasons strings.Builder
	if e.Reason != "" {
		reasons.WriteString("; " + e.Reason)
	}
	for _, n := range e.NotDone {
		if n.Reason != "" {
			fmt.Fprintf(&reasons, "; step %s: %s", n.Step, n.Reason)
		}
	}
	return fmt.Sprintf("run %s is %s%s", e.RunID, e.Status, &reasons)
}

// OverBudget reports whether the run ended because a budget had no room.
func (e *RunError) OverBudget() bool {
	return (&engine.Result{Status: e.Status, NotDone: e.NotDone}).OverBudget()
}

// withRunError returns the result and the error of a run: a [*RunError] if nothing
// else went wrong and the run did not complete. A run whose budget's on_exceed is
// "partial" has completed with what it has.
func withRunError(res *engine.Result, err error) (*engine.Result, error) {
	if err != nil || res == nil || res.Status == engine.StatusCompleted || res.Status == engine.StatusPartial {
		return res, err
	}
	failed := &RunError{RunID: res.RunID, Status: res.Status, NotDone: res.NotDone}
	if res.Error != nil {
		failed.Reason = *res.Error
	}
	if res.Exited != nil {
		failed.NotDone = nil
	}
	return res, failed
}
