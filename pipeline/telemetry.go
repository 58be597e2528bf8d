package pipeline

import (
	"context"
	"iter"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/hedge"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/telemetry"
)

// endedKey is the key of the function in a call's context that receives its
// record.
type endedKey struct{}

// traced returns next with a trace and metrics for every call.
func (p *Pipeline) traced(next llm.Model) llm.Model {
	if p.opts.Telemetry == nil {
		return next
	}
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			ctx, trace := p.opts.Telemetry.Call(ctx, req)
			var answer *llm.Response
			ctx = context.WithValue(ctx, endedKey{}, func(c record.Call) {
				trace.End(telemetry.Ended{
					Response: answer, Source: c.Source, Usage: c.Usage, Code: c.Code, Attempts: c.Attempts,
					Duration: c.Duration, Service: c.Service, Waited: c.Waited, FirstToken: c.FirstToken, CostUSD: c.CostUSD, SavedUSD: c.SavedUSD,
				})
			})
			for ev, err := range next.Stream(ctx, req) {
				if ev.Type == llm.EventDone {
					answer = ev.Response
				}
				if !yield(ev, err) {
					return
				}
			}
		}
	})
}

// tracing adds to the SDK's options that requests carry the trace of their call.
// It is no part of a call's key.
func tracing(tel *telemetry.Telemetry, options func(context.Context) ([]option.RequestOption, error)) func(context.Context) ([]option.RequestOption, error) {
	if tel == nil {
		return options
	}
	return func(ctx context.Context) (list []option.RequestOption, err error) {
		if options != nil {
			if list, err = options(ctx); err != nil {
				return nil, err
			}
		}
		return append(list, option.WithMiddleware(tel.Sent)), nil
	}
}

// hedged reports a call that was sent twice.
func (p *Pipeline) hedged(ctx context.Context, h hedge.Hedge) {
	p.opts.Telemetry.Hedged(ctx, h.Model, string(h.Winner), h.After)
}
