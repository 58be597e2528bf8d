package llm

import (
	"errors"
	"net"
	"net/http"
)

const statusOverloaded = 529

// Unbilled reports whether err, with which an attempt failed before any event
// of an answer came, says that the service did no work on the request and so
// bills nothing. Whether to charge a budget, to record a cost of zero or to
// send a request a second time without asking depends on it.
//
// It is careful: it returns true only where the request cannot have been
// worked on. The service documents no status of a failure as free (see
// https://platform.claude.com/docs/en/api/errors), so the argument is what each
// status means:
//
//   - A connection that was never made carried no request.
//   - A status from 300 to 499 refuses the request, except 408: the service, or
//     a proxy, gave up on a request that it had taken.
//   - 529 says that the service is overloaded and took no request.
//   - 500 is a failure at an unknown point of the work. 502, 503 and 504 often
//     come from a proxy that lost the service after it had passed the request
//     on. They may have been billed.
//   - Everything else (a broken connection, a timeout, a canceled call, a stream
//     that ended early) may have been billed.
//
// An error that [MayBeBilled] marked is never unbilled, and one that [NotBilled]
// marked always is.
func Unbilled(err error) bool {
	if _, marked := errors.AsType[*billedError](err); marked {
		return false
	}
	if _, marked := errors.AsType[*unbilledError](err); marked {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.Status >= 500:
		return e.Status == statusOverloaded
	case e.Status >= 300:
		return e.Status != http.StatusRequestTimeout
	}
	switch e.Code {
	case CodeInvalid, CodeAuth, CodeBilling, CodeNotFound, CodeTooLarge,
		CodeRateLimit, CodeSpendLimit, CodeOverloaded:
		return true
	}
	return false
}

// MayBeBilled returns err so that [Unbilled] reports false for it, marked if
// need be. A layer that makes several attempts uses it for the error of the
// last one when an earlier one may have been billed. It returns nil for a nil
// error.
func MayBeBilled(err error) error {
	if err == nil || !Unbilled(err) {
		return err
	}
	return &billedError{err}
}

type billedError struct{ err error }

func (e *billedError) Error() string { return e.err.Error() }
func (e *billedError) Unwrap() error { return e.err }

// NotBilled returns err so that [Unbilled] reports true for it. It is for failures
// that the service documents as free, whatever their kind, such as a call that
// expired in a message batch. It returns nil for a nil error.
func NotBilled(err error) error {
	if err == nil || Unbilled(err) {
		return err
	}
	return &unbilledError{err}
}

type unbilledError struct{ err error }

func (e *unbilledError) Error() string { return e.err.Error() }
func (e *unbilledError) Unwrap() error { return e.err }
