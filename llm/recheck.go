package llm

import "context"

// WithCacheRecheck returns ctx with a function that looks for a stored answer
// again. A layer below the cache that makes identical calls once calls it right
// before it starts one: the answer may have been stored since the cache looked,
// and the call would be made twice. The function must be quick. It returns nil
// if there is still no answer, else one that belongs to the caller.
func WithCacheRecheck(ctx context.Context, find func() *Response) context.Context {
	return context.WithValue(ctx, recheckKey{}, find)
}

// RecheckCache returns the answer that was stored since the call passed the
// cache, or nil. See [WithCacheRecheck].
func RecheckCache(ctx context.Context) *Response {
	if find, ok := ctx.Value(recheckKey{}).(func() *Response); ok {
		return find()
	}
	return nil
}

// TakesCached reports whether the call of a context passed a cache whose answers it takes: it
// may be given one from before it began. See [WithCacheRecheck].
func TakesCached(ctx context.Context) bool { return ctx.Value(recheckKey{}) != nil }

type recheckKey struct{}
