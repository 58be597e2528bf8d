package claudeforce

import (
	"context"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/task"
)

// toolEvent passes a call of a tool on, and records one that has ended for analytics.
func (o *Orchestrator) toolEvent(ctx context.Context, ev task.ToolEvent) {
	if ev.Done && !ev.Stopped && o.opts.Replay == nil {
		c := analytics.ToolCall{Time: ev.Start, Agent: ev.Agent, Tool: ev.Tool, Duration: ev.Duration}
		switch {
		case ev.Unknown:
			c.Outcome = analytics.ToolUnknown
		case ev.Denied:
			c.Outcome = analytics.ToolDenied
		case ev.IsError:
			c.Outcome = analytics.ToolFailed
		}
		o.pipe.RecordTool(ctx, c)
	}
	if o.opts.OnTool != nil {
		o.opts.OnTool(ctx, ev)
	}
}

// loopEnded records a task of an agent with tools for analytics.
func (o *Orchestrator) loopEnded(ctx context.Context, ev task.LoopEvent) {
	if o.opts.Replay != nil {
		return
	}
	o.pipe.RecordTask(ctx, analytics.ToolTask{
		Time: ev.Start, Agent: ev.Agent, Model: ev.Model, Turns: ev.Turns, ToolCalls: ev.ToolCalls, Failed: ev.Failed, Duration: ev.Duration,
	})
}
