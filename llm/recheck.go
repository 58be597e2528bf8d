package llm

import (
	"context"
	"time"
)

// WithCacheRecheck returns ctx with a function that looks for a stored answer
// again. A layer below the cache that makes identical calls once calls it right
// before it starts one: the answer may have been stored since the cache looked, at
// the time looked, and the call would be made twice. The function must be quick. It
// returns nil if there is still no answer, else one that belongs to the caller.
func WithCacheRecheck(ctx context.Context, looked time.Time, find func() *Response) context.Context {
	return context.WithValue(ctx, recheckKey{}, recheck{looked, find})
}

// RecheckCache returns the answer that was stored since the call passed the
// cache, or nil. See [WithCacheRecheck].
func RecheckCache(ctx context.Context) *Response {
	if r, ok := ctx.Value(recheckKey{}).(recheck); ok {
		return r.find()
	}
	return nil
}

// LookedInCache returns when the call of a context looked for an answer in a cache, which
// had none then; zero if it takes no cached answer. See [WithCacheRecheck].
func LookedInCache(ctx context.Context) time.Time {
	r, _ := ctx.Value(recheckKey{}).(recheck)
	return r.looked
}

type recheck struct {
	looked time.Time
	find   func() *Response
}

type recheckKey struct{}
