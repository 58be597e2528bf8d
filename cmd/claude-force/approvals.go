package main

import (
	"context"
	"errors"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

// approvalFlags say how calls of tools that need approval are asked about.
type approvalFlags struct {
	mode    string
	timeout time.Duration
}

func (f *approvalFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.mode, "approvals", "", "durable: wait for approval of calls of tools that no rule allows; deny: deny them (default durable on a terminal and with --detach, else deny)")
	flags.DurationVar(&f.timeout, "approval-timeout", 0, "no answer within this time means no (default 24h)")
}

// inherit takes what was not given from the settings that the run was started with.
func (f *approvalFlags) inherit(s runs.Settings) {
	if f.mode == "" {
		f.mode = s.Approvals
	}
	if f.timeout == 0 {
		f.timeout = s.AskFor
	}
}

// longestApproval is how long an answer about a call may take if nothing else is said.
const longestApproval = 24 * time.Hour

// resolve reports whether calls are asked about, and how long an answer may take.
func (f *approvalFlags) resolve(someone bool) (ask bool, timeout time.Duration, err error) {
	if f.timeout < 0 {
		return false, 0, badInput("--approval-timeout must be above 0")
	}
	if f.mode == "" {
		f.mode = runs.ApprovalsDeny
		if someone {
			f.mode = runs.ApprovalsDurable
		}
	}
	if f.timeout == 0 {
		f.timeout = longestApproval
	}
	switch f.mode {
	case runs.ApprovalsDurable, runs.ApprovalsDeny:
		return f.mode == runs.ApprovalsDurable, f.timeout, nil
	}
	return false, 0, badInput("--approvals: %q is neither durable nor deny", f.mode)
}

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
	q := v.prompter().queue(promptOf(ev.Name(), ev.Asked))
	go func() { // ends with the answer, the step or the run
		defer cancel()
		d, err := v.askFor(ctx, ev.Name(), ev.Asked, q)
		switch {
		case errors.Is(err, errInterrupted):
			return
		case err != nil:
			v.sayHowToAnswer(ev)
			return
		}
		if err := v.orch.Decide(v.ctx, v.id, ev.Question.Step, ev.Question.Item, *d); err != nil {
			v.say("claude-force: %v", err)
		}
	}()
}

func (v *approver) sayHowToAnswer(ev engine.Event) {
	name := ev.Question.String()
	if ev.Asked.Call != nil {
		v.say("%s waits for approval: %s", ev.Name(), ev.Asked.Message)
	}
	v.say("answer with: claude-force runs approve %s %s %s", v.id, name, howToAnswer(ev.Asked))
}

// howToAnswer returns the flags that answer a question.
func howToAnswer(q *journal.ApprovalRequest) string {
	fields, _ := q.Fields()
	switch {
	case q.Choices != nil:
		return "--choice CHOICE, or --deny; " + q.Wants()
	case fields != nil:
		return "--field NAME=VALUE, or --deny; " + q.Wants()
	case q.Schema != nil:
		return "--value VALUE, or --deny; " + q.Wants()
	}
	return "[--deny]"
}

// whoami returns the user's name; empty if it is unknown.
func whoami() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}
