package claudeforce

import (
	"cmp"
	"context"
	"time"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/telemetry"
)

// newTelemetry returns what reports traces, metrics and log lines. It returns nil
// if there is nothing to report to.
func newTelemetry(opts Options, cfg *config.Config) (*telemetry.Telemetry, error) {
	to := opts.Telemetry
	to.Content = cfg.Telemetry.Content
	to.Logger = cmp.Or(opts.Logger, to.Logger)
	return telemetry.New(to)
}

// observing returns observe, which also reports to telemetry.
func observing(run *telemetry.Run, observe func(context.Context, engine.Event)) func(context.Context, engine.Event) {
	if run == nil {
		return observe
	}
	return func(ctx context.Context, ev engine.Event) {
		change := telemetry.Change{
			Path: ev.Path, Item: ev.Item, Agent: ev.Agent(), Status: string(ev.Status),
			Attempt: ev.Attempt, Wait: ev.Wait, Err: ev.Err, Restored: ev.Restored,
		}
		if ev.Result != nil {
			change.Source = string(ev.Result.Source)
			if !ev.Restored { // else another process was served
				change.Service = time.Duration(ev.Result.ServiceSeconds * float64(time.Second))
				change.Waited = time.Duration(ev.Result.WaitedSeconds * float64(time.Second))
			}
		}
		run.Observe(change)
		if observe != nil {
			observe(ctx, ev)
		}
	}
}

// runStatus returns how a run ended, for telemetry.
func runStatus(res *engine.Result, err error) string {
	if res == nil || err != nil {
		return string(engine.StatusFailed)
	}
	return string(res.Status)
}
