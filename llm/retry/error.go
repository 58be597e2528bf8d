package retry

import (
	"context"
	"errors"
	"fmt"

	"github.com/claude-force/claude-force/llm"
	"github.com/dustin/go-humanize/english"
)

// attemptsError is the last attempt's error with the number of attempts.
type attemptsError struct {
	attempts int
	err      error
}

func (e *attemptsError) Error() string { return e.err.Error() }
func (e *attemptsError) Unwrap() error { return e.err }

// Attempts returns the number of attempts made. The layer that records calls asks
// for it by this method, since layers do not import each other.
func (e *attemptsError) Attempts() int { return e.attempts }

// noneLeft is the reason of a call that was tried as often as it may be.
const noneLeft = "none is left"

// gaveUp returns the error of a call that was sent n times and last failed with
// err. It keeps what err tells, and its code.
func gaveUp(n int, reason string, err error) error {
	out := describe(err)
	switch {
	case n <= 1 && reason == noneLeft, n == 0:
		return err // there is nothing to add
	case reason == "":
		out.Message = fmt.Sprintf("attempt %d: %s", n, out.Message)
	case reason == noneLeft:
		out.Message = fmt.Sprintf("%s; gave up after %s", out.Message, english.Plural(n, "attempt", ""))
	default:
		out.Message = fmt.Sprintf("%s; not tried again after %s: %s", out.Message, english.Plural(n, "attempt", ""), reason)
	}
	out.Err = &attemptsError{attempts: n, err: err}
	return out
}

// interrupted returns the error of a call whose context ended, or was drained,
// while it waited to be tried again after err.
func interrupted(ctx context.Context, n int, err error) error {
	out := llm.ContextError(ctx)
	if ctx.Err() == nil {
		out = llm.NewError(llm.CodeCanceled, "interrupted", nil)
	}
	out.Message = fmt.Sprintf("%s while it waited to be tried again after %s: %s", out.Message, english.Plural(n, "attempt", ""), describe(err).Message)
	out.Err = &attemptsError{attempts: n, err: errors.Join(out.Err, err)}
	return out
}

// describe returns a copy of the error in err's chain, or a new one.
func describe(err error) *llm.Error {
	out := llm.NewError(llm.CodeOf(err), err.Error(), nil)
	if e, ok := errors.AsType[*llm.Error](err); ok {
		*out = *e
		if out.Message == "" && e.Err != nil {
			out.Message = e.Err.Error()
		}
	}
	return out
}
