package llm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code is the kind of a failure. Callers branch on the code and on nothing else;
// the set is closed.
type Code int

// The codes. Zero is none of them, so that a missing code shows.
const (
	CodeInvalid    Code = iota + 1 // the request is wrong; it will fail again
	CodeAuth                       // the credential is missing, wrong or not allowed
	CodeBilling                    // the account cannot pay
	CodeNotFound                   // no such model or resource
	CodeTooLarge                   // the request exceeds a size limit
	CodeRateLimit                  // too many requests or tokens; retry later
	CodeSpendLimit                 // a spending limit is reached; a retry does not help
	CodeOverloaded                 // the service is overloaded; retry later
	CodeServer                     // the service failed; a retry may help
	CodeConnection                 // the service could not be reached, or the connection broke
	CodeIncomplete                 // the stream ended before the answer did
	CodeTimeout                    // the call's deadline passed
	CodeCanceled                   // the caller canceled it
	CodeOutput                     // an answer came, but it is not what was asked for
	CodeInternal                   // a bug or a local failure
)

var codeNames = map[Code]string{
	CodeInvalid:    "invalid_request",
	CodeAuth:       "authentication",
	CodeBilling:    "billing",
	CodeNotFound:   "not_found",
	CodeTooLarge:   "too_large",
	CodeRateLimit:  "rate_limit",
	CodeSpendLimit: "spend_limit",
	CodeOverloaded: "overloaded",
	CodeServer:     "server",
	CodeConnection: "connection",
	CodeIncomplete: "incomplete",
	CodeTimeout:    "timeout",
	CodeCanceled:   "canceled",
	CodeOutput:     "invalid_output",
	CodeInternal:   "internal",
}

// String returns the code's stable name, as written in JSON output and records.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code(%d)", int(c))
}

// ParseCode returns the code with a name, or [CodeInternal] if none has it.
func ParseCode(name string) Code {
	for code, text := range codeNames {
		if text == name {
			return code
		}
	}
	return CodeInternal
}

// Transient reports whether the same call may succeed on a retry.
func (c Code) Transient() bool {
	switch c {
	case CodeRateLimit, CodeOverloaded, CodeServer, CodeConnection, CodeIncomplete:
		return true
	}
	return false
}

// Error is a failed call.
type Error struct {
	Code      Code
	Message   string // for a person: what went wrong and what to do; holds no secret
	Status    int    // HTTP status; 0 if there was none
	RequestID string // the service's id of the request; may be empty
	// ServiceCode is the service's own code of the error, such as
	// ramp_limit_exceeded; may be empty.
	ServiceCode string

	// RetryAfter is how long the service asks to wait; negative if it sent no
	// such hint.
	RetryAfter time.Duration

	Err error // the cause; may be nil
}

// NewError returns an error of the given code without a retry hint. What failed here since
// the caller canceled it has CodeCanceled instead of CodeInternal, so that a step whose run is
// interrupted while a store is read is made again and not failed.
func NewError(code Code, message string, err error) *Error {
	if code == CodeInternal && errors.Is(err, context.Canceled) {
		code = CodeCanceled
	}
	return &Error{Code: code, Message: message, RetryAfter: -1, Err: err}
}

func (e *Error) Error() string {
	text := e.Message
	if text == "" && e.Err != nil {
		text = e.Err.Error()
	}
	switch {
	case e.Status != 0 && e.RequestID != "":
		return fmt.Sprintf("%s (%s, HTTP %d, request %s)", text, e.Code, e.Status, e.RequestID)
	case e.Status != 0:
		return fmt.Sprintf("%s (%s, HTTP %d)", text, e.Code, e.Status)
	case e.Code == CodeInternal:
		return text // the code would say nothing about a local failure
	}
	return fmt.Sprintf("%s (%s)", text, e.Code)
}

func (e *Error) Unwrap() error { return e.Err }

// ErrIncomplete is the error of a stream that ended with neither an answer nor
// an error.
var ErrIncomplete = NewError(CodeIncomplete, "the answer's stream ended before the answer did", nil)

// CodeOf returns the code of err: that of the [Error] in its chain, else
// CodeTimeout or CodeCanceled for context errors, else CodeInternal. It is 0
// for a nil error.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	}
	return CodeInternal
}

// ContextError returns the [Error] for a context that has ended: CodeTimeout for
// a passed deadline, CodeCanceled otherwise, with the context's cause inside.
func ContextError(ctx context.Context) *Error {
	cause := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return NewError(CodeTimeout, "the call's deadline passed", cause)
	}
	return NewError(CodeCanceled, "the call was canceled", cause)
}

// SentError is inside the error of a call that a layer has sent itself more or
// less often than once.
type SentError struct {
	Sent   int  // how often it was sent
	GaveUp bool // the layer has tried for as long as it was agreed, so that no other sends it again
	Err    error
}

func (e *SentError) Error() string { return e.Err.Error() }
func (e *SentError) Unwrap() error { return e.Err }

// Attempts returns how often the call was sent.
func (e *SentError) Attempts() int { return e.Sent }
