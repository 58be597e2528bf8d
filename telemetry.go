package claudeforce

import (
	"cmp"
	"context"
	"iter"

	"github.com/anthropics/anthropic-sdk-go/v2/option"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/record"
	"github.com/claude-force/claude-force/telemetry"
)

// newTelemetry is what tells others what happens; nil if nobody is to be told.
func newTelemetry(opts Options, cfg *config.Config) (*telemetry.Telemetry, error) {
	to := opts.Telemetry
	to.Content = cfg.Telemetry.Content
	to.Logger = cmp.Or(opts.Logger, to.Logger)
	return telemetry.New(to)
}

// told is next with its calls told of.
func (o *Orchestrator) told(next llm.Model) llm.Model {
	if o.tell == nil {
		return next
	}
	return llm.ModelFunc(func(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
		return func(yield func(llm.Event, error) bool) {
			ctx, told := o.tell.Call(ctx, req)
			var answer *llm.Response
			// The same measure as that of the record, with the context it lacks.
			measured := record.New(next, record.Options{Prices: o.prices}, func(c record.Call) {
				told.End(telemetry.Ended{
					Response: answer, Source: c.Source, Usage: c.Usage, Code: c.Code, Attempts: c.Attempts,
					Duration: c.Duration, FirstToken: c.FirstToken, CostUSD: c.CostUSD, SavedUSD: c.SavedUSD,
				})
			})
			for ev, err := range measured.Stream(ctx, req) {
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

// observing is observe, with the run told of too.
func observing(run *telemetry.Run, observe func(engine.Event)) func(engine.Event) {
	if run == nil {
		return observe
	}
	return func(ev engine.Event) {
		change := telemetry.Change{
			Path: ev.Path, Item: ev.Item, Agent: ev.Step.Agent, Status: string(ev.Status),
			Attempt: ev.Attempt, Wait: ev.Wait, Err: ev.Err, Restored: ev.Restored,
		}
		if ev.Result != nil {
			change.Source = string(ev.Result.Source)
		}
		run.Observe(change)
		if observe != nil {
			observe(ev)
		}
	}
}

// runStatus is how a run ended, for who is told.
func runStatus(res *engine.Result, err error) string {
	if res == nil || err != nil {
		return string(engine.StatusFailed)
	}
	return string(res.Status)
}

// tracing adds to the SDK's options that requests carry the trace of their call.
// It is no part of what a call is known by.
func tracing(tell *telemetry.Telemetry, options func(context.Context) ([]option.RequestOption, error)) func(context.Context) ([]option.RequestOption, error) {
	if tell == nil {
		return options
	}
	return func(ctx context.Context) (list []option.RequestOption, err error) {
		if options != nil {
			if list, err = options(ctx); err != nil {
				return nil, err
			}
		}
		return append(list, option.WithMiddleware(tell.Sent)), nil
	}
}
