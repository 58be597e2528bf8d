package llm

import (
	"context"
	"errors"
)

type drainKey struct{}

// errDrained is the cause of contexts that end because a drain began.
var errDrained = errors.New("interrupted")

// WithDrain returns a context whose calls start nothing more when drain is
// closed: a call that was not sent yet is not sent, and one that failed is not
// retried. Attempts that were sent are waited for. A nil drain changes nothing.
func WithDrain(ctx context.Context, drain <-chan struct{}) context.Context {
	if drain == nil {
		return ctx
	}
	return context.WithValue(ctx, drainKey{}, drain)
}

// Drain returns the channel of [WithDrain]; nil, which blocks, if there is none.
func Drain(ctx context.Context) <-chan struct{} {
	drain, _ := ctx.Value(drainKey{}).(<-chan struct{})
	return drain
}

// Drained returns the error of a call that is not sent because its context is
// being drained, or nil. Its code is [CodeCanceled].
func Drained(ctx context.Context) error {
	select {
	case <-Drain(ctx):
		return NewError(CodeCanceled, "interrupted before the call was sent", errDrained)
	default:
		return nil
	}
}

// UntilDrain returns a context that also ends when ctx is drained, for what a
// call waits for before it is sent. The caller must call cancel.
func UntilDrain(ctx context.Context) (until context.Context, cancel context.CancelFunc) {
	drain := Drain(ctx)
	until, stop := context.WithCancelCause(ctx)
	if drain == nil {
		return until, func() { stop(nil) }
	}
	go func() { // ends with cancel, which every caller calls
		select {
		case <-drain:
			stop(errDrained)
		case <-until.Done():
		}
	}()
	return until, func() { stop(nil) }
}

// IsDrained reports whether err is of a call that was not sent, or not tried
// again, because its context was drained.
func IsDrained(err error) bool { return errors.Is(err, errDrained) }
