package llm

import "context"

// WithMeanwhile lets the layers below ask again, at the last moment, for an
// answer that was not there when the call passed: a layer that makes sure a
// call is under way once only would otherwise make it anew in the moment after
// another one has ended. The function must be quick, and gives nil if there
// is still no answer, else one that belongs to the caller.
func WithMeanwhile(ctx context.Context, answer func() *Response) context.Context {
	return context.WithValue(ctx, meanwhileKey{}, answer)
}

// Meanwhile is the answer that has come since the call passed the layers above,
// or nil.
func Meanwhile(ctx context.Context) *Response {
	if answer, ok := ctx.Value(meanwhileKey{}).(func() *Response); ok {
		return answer()
	}
	return nil
}

type meanwhileKey struct{}
