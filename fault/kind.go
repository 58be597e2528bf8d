package fault

import "errors"

// Kind is what an error means for the caller of an operation. The set is
// closed.
type Kind int

// The kinds. Zero is an error that reports none.
const (
	KindInput       Kind = iota + 1 // what the user gave is wrong; the same input fails again
	KindNotFound                    // what was asked for does not exist
	KindConflict                    // another process owns it, or its state does not allow the operation
	KindBudget                      // a budget has no room for it
	KindInterrupted                 // the caller canceled it
	KindInternal                    // a defect of this program
	KindOutdated                    // a newer version of this program has changed the store: it must be updated
	KindUnavailable                 // a store or another thing that it needs cannot be used now; later it may be
)

// Reporter is an error that has a kind.
type Reporter interface {
	error

	// FaultKind returns the error's kind, or 0 to leave it to the errors that
	// this one wraps.
	FaultKind() Kind
}

// KindOf returns the kind of err: that of the first [Reporter] in its tree, in
// the order of [errors.As], whose kind is not 0. It returns 0 if there is none.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	if r, ok := err.(Reporter); ok { //nolint:errorlint // the tree is walked here
		if k := r.FaultKind(); k != 0 {
			return k
		}
	}
	switch w := err.(type) { //nolint:errorlint // the tree is walked here
	case interface{ Unwrap() error }:
		return KindOf(w.Unwrap())
	case interface{ Unwrap() []error }:
		for _, err := range w.Unwrap() {
			if k := KindOf(err); k != 0 {
				return k
			}
		}
	}
	return 0
}

// Has reports whether any error in err's tree has the given kind. Unlike
// [KindOf] it also finds a kind beneath an error of another kind.
func Has(err error, kind Kind) bool {
	if err == nil {
		return false
	}
	if r, ok := err.(Reporter); ok && r.FaultKind() == kind { //nolint:errorlint // the tree is walked here
		return true
	}
	switch w := err.(type) { //nolint:errorlint // the tree is walked here
	case interface{ Unwrap() error }:
		return Has(w.Unwrap(), kind)
	case interface{ Unwrap() []error }:
		for _, err := range w.Unwrap() {
			if Has(err, kind) {
				return true
			}
		}
	}
	return false
}

// New returns an error with a kind and a text, for use as a sentinel.
func New(kind Kind, text string) error { return &sentinel{errors.New(text), kind} }

type sentinel struct {
	error
	kind Kind
}

func (s *sentinel) FaultKind() Kind { return s.kind }
