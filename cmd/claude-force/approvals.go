package main

import (
	"context"
	"errors"
	"os/user"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
)

// approver asks the user for the approvals that a run waits for. Without a
// terminal it says how to answer from another one.
type approver struct {
	*app
	ctx    context.Context // ends when the run does
	cancel context.CancelFunc
	orch   *claudeforce.Orchestrator
	id     string

	open map[string]context.CancelFunc // cancels the question of a step and item
}

// newApprover returns an approver, which the caller must close.
func (a *app) newApprover(ctx context.Context, orch *claudeforce.Orchestrator) *approver {
	ctx, cancel := context.WithCancel(ctx)
	return &approver{app: a, ctx: ctx, cancel: cancel, orch: orch, open: map[string]context.CancelFunc{}}
}

// begin sets the id of the run.
func (v *approver) begin(id string) { v.id = id }

// close cancels the questions that are open.
func (v *approver) close() { v.cancel() }

// observe asks for an approval when a step waits for one, and cancels the
// question when the step no longer waits. The engine calls it from one goroutine.
func (v *approver) observe(ev engine.Event) {
	key := ev.Path + " " + ev.Item
	if cancel, ok := v.open[key]; ok {
		cancel() // answered from elsewhere, timed out or stopped
		delete(v.open, key)
	}
	if ev.Asked == nil {
		return
	}
	if !v.canAsk() {
		v.sayHowToAnswer(ev)
		return
	}
	ctx, cancel := context.WithCancel(v.ctx)
	v.open[key] = cancel
	q := v.prompter().queue(ev.Name() + ": " + ev.Asked.Message + " [y/N] ")
	go func() { // ends with the answer, the step or the run
		defer cancel()
		line, err := v.answer(ctx, q)
		switch {
		case errors.Is(err, errInterrupted):
			return
		case err != nil:
			v.sayHowToAnswer(ev)
			return
		}
		if err := v.orch.Decide(v.ctx, v.id, ev.Path, ev.Item, journal.Decision{Approved: isYes(line), By: whoami()}); err != nil {
			v.say("claude-force: %v", err)
		}
	}()
}

func (v *approver) sayHowToAnswer(ev engine.Event) {
	name := journal.Unit{Step: ev.Path, Item: ev.Item}.String()
	v.say("answer with: claude-force runs approve %s %s [--deny]", v.id, name)
}

// whoami returns the user's name; empty if it is unknown.
func whoami() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
