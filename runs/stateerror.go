package runs

import (
	"fmt"

	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
)

// StateError reports that the state of a run does not allow what was asked of it.
type StateError struct {
	Run    string         // id
	Status journal.Status // as [StatusOf] gives it
	Err    error          // why; nil if the status says it
}

// WrongState returns a [*StateError] for a run.
func WrongState(run *journal.Run, err error) error { return &StateError{run.ID, StatusOf(*run), err} }

func (e *StateError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("run %s is %s", e.Run, e.Status)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *StateError) Unwrap() error { return e.Err }

// FaultKind returns [fault.KindConflict].
func (e *StateError) FaultKind() fault.Kind { return fault.KindConflict }
