package mcpserver

import (
	"context"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claude-force/claude-force/journal"
)

// progress tells a client what happens in a run.
type progress struct {
	session *mcp.ServerSession
	token   any // nil if the client wants to know nothing
	done    int // steps and items that have ended
	count   float64
}

// add takes in an event of the run. Errors are ignored: the client may have gone.
func (p *progress) add(ctx context.Context, ev *journal.Event) {
	if p.token == nil {
		return
	}
	var what string
	switch ev.Type {
	case journal.StepStarted:
		what = "started"
	case journal.StepFinished:
		what = "finished"
	case journal.StepFailed:
		what = "failed"
	case journal.StepSkipped:
		what = "skipped"
	default:
		return
	}
	if ev.Type != journal.StepStarted {
		p.done++
	}
	p.count++ // progress must grow with each notification
	_ = p.session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
		ProgressToken: p.token, Progress: p.count, Message: fmt.Sprintf("step %s %s; %d done", ev.Step, what, p.done),
	})
}
