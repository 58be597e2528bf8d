package llm

import (
	"errors"
	"fmt"
)

// Concern says which calls a failure concerns.
type Concern int

// Concerns of a failure.
const (
	ConcernCall       Concern = iota // that call alone
	ConcernModel                     // every call of its model with the same credential
	ConcernCredential                // every call with the same credential
)

// ConcernOf returns which calls the service would refuse as it refused one with
// err: all of the credential if that is rejected, may not do this or cannot pay,
// all of the model if there is no such model. Failures that did not come from the
// service concern their own call.
func ConcernOf(err error) Concern {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Status < 300 {
		return ConcernCall
	}
	switch e.Code {
	case CodeAuth, CodeBilling, CodeSpendLimit:
		return ConcernCredential
	case CodeNotFound:
		return ConcernModel
	}
	return ConcernCall
}

// NotSentError is inside the error of a call that was not sent, because the
// service had refused an earlier one in a way that concerns this one too.
type NotSentError struct {
	Refusal error // the earlier failure
}

func (e *NotSentError) Error() string {
	return fmt.Sprintf("not asked, since the service refused an earlier call (%s)", CodeOf(e.Refusal))
}

func (e *NotSentError) Unwrap() error { return e.Refusal }

// NotSent reports whether err is of a call that was not sent because of an earlier
// refusal; see [NotSentError].
func NotSent(err error) bool {
	_, ok := errors.AsType[*NotSentError](err)
	return ok
}
