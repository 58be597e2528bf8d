package fault

import "errors"

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
// already holds one.
func Input(err error) error {
	if _, already := errors.AsType[*InputError](err); err == nil || already {
		return err
	}
	return &InputError{Err: err}
}
