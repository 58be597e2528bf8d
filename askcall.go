package claudeforce

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"github.com/claude-force/claude-force/engine"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/tool/permission"
)

type askKey struct{}

// withAsk returns a context whose calls of tools are asked about as the attempt asks,
// which may be unable to.
func withAsk(ctx context.Context, a engine.Attempt) context.Context {
	return context.WithValue(ctx, askKey{}, &a)
}

// asked returns the attempt at a step that a call of a tool belongs to, and the name
// that the attempt has for the call; nil if it can ask about none.
func asked(ctx context.Context, q permission.Question) (a *engine.Attempt, name string, input json.RawMessage, err error) {
	a, _ = ctx.Value(askKey{}).(*engine.Attempt)
	turns := journal.TurnsOf(ctx)
	if a == nil || a.Ask == nil || turns == nil {
		return nil, "", nil, nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, q.Input); err != nil {
		return nil, "", nil, err
	}
	return a, turns.Name(q.Tool, compact.String(), q.Cwd), compact.Bytes(), nil
}

// askCall asks the people who watch the run that a call of a tool belongs to. A call
// outside of a run is denied.
func askCall(ctx context.Context, q permission.Question) (bool, error) {
	a, name, input, err := asked(ctx, q)
	if a == nil {
		return false, err
	}
	d := a.Ask(name, journal.AskedCall{Tool: q.Tool, Input: input, Cwd: q.Cwd, Reason: q.Reason})
	if d == nil {
		journal.TurnsOf(ctx).Suspend()
		return false, context.Cause(ctx) // the attempt has ended; no one reads this
	}
	return answerOf(d, q)
}

// decidedFirst returns an asker that asks only about calls without a decision in the
// history, such as one that was made while no process ran the workflow.
func decidedFirst(ask permission.Asker) permission.Asker {
	return func(ctx context.Context, q permission.Question) (bool, error) {
		a, name, _, err := asked(ctx, q)
		if err != nil {
			return false, err
		}
		if a != nil {
			if d := a.Decided(name); d != nil {
				return answerOf(d, q)
			}
		}
		return ask(ctx, q)
	}
}

// answerOf returns the answer to a question that a decision is.
func answerOf(d *journal.Decision, q permission.Question) (bool, error) {
	switch {
	case d.Approved:
		return true, nil
	case d.By != "" || d.Comment != "":
		return false, errors.New(q.Reason + " The answer was no: " + cmp.Or(d.Comment, "denied by "+d.By))
	}
	return false, nil
}
