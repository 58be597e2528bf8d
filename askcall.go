package claudeforce

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/tool/permission"
)

type askKey struct{}

// withAsk returns a context whose calls of tools are asked about with ask, which may
// be nil.
func withAsk(ctx context.Context, ask func(name string, call journal.AskedCall) *journal.Decision) context.Context {
	return context.WithValue(ctx, askKey{}, ask)
}

// askCall asks the people who watch the run that a call of a tool belongs to. A call
// outside of a run is denied.
func askCall(ctx context.Context, q permission.Question) (bool, error) {
	ask, _ := ctx.Value(askKey{}).(func(string, journal.AskedCall) *journal.Decision)
	turns := journal.TurnsOf(ctx)
	if ask == nil || turns == nil {
		return false, nil
	}
	var input bytes.Buffer
	if err := json.Compact(&input, q.Input); err != nil {
		return false, err
	}
	switch d := ask(turns.Name(q.Tool, input.String(), q.Cwd), journal.AskedCall{Tool: q.Tool, Input: input.Bytes(), Cwd: q.Cwd, Reason: q.Reason}); {
	case d == nil:
		turns.Suspend()
		return false, context.Cause(ctx) // the attempt has ended; no one reads this
	case d.Approved:
		return true, nil
	case d.By != "" || d.Comment != "":
		return false, errors.New(q.Reason + " The answer was no: " + cmp.Or(d.Comment, "denied by "+d.By))
	}
	return false, nil
}
