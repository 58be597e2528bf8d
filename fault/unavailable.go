package fault

// UnavailableError reports that something that an operation needs, such as a store, cannot
// be used now. Nothing is wrong with what the user asked for: the same may succeed later.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *UnavailableError) Unwrap() error { return e.Err }

// FaultKind returns [KindUnavailable].
func (e *UnavailableError) FaultKind() Kind { return KindUnavailable }

// Unavailable wraps err in an [UnavailableError]. It returns err itself if it is nil or has
// a kind already.
func Unavailable(err error) error {
	if err == nil || KindOf(err) != 0 {
		return err
	}
	return &UnavailableError{Err: err}
}
