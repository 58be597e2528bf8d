package fault

import (
	"context"
	"errors"
)

// InputError reports something wrong in what the user gave: an unknown agent, a
// missing file, a parameter that does not fit. It is found before anything is
// spent, and the same input fails again.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *InputError) Unwrap() error { return e.Err }

// FaultKind returns [KindInput].
func (e *InputError) FaultKind() Kind { return KindInput }

// Input wraps err in an [InputError]. It returns err itself if it is nil or
// already holds one, or if it is that of a context: an operation that was cut off says
// nothing about its input.
func Input(err error) error {
	if _, already := errors.AsType[*InputError](err); err == nil || already || CutOff(err) {
		return err
	}
	return &InputError{Err: err}
}

// CutOff reports whether err says that an operation was ended before its end: its
// context was canceled, or its time was over.
func CutOff(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
