package task

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// Runners: what has the conversation of a task with the model.
const (
	RunnerBuiltin    = "builtin"     // the loop of this package
	RunnerClaudeCode = "claude-code" // the program of this name
)

// Runners are the names of all runners.
var Runners = []string{RunnerBuiltin, RunnerClaudeCode}

// External has the conversation of a task in another program, and returns what came of
// it.
type External func(ctx context.Context, c Conversation) (llm.Outcome, error)

// Conversation is a task for another program.
type Conversation struct {
	Task    Task
	Agent   *agent.Agent
	Request *llm.Request // the first request: the model, and all that the agent is given

	Tools    []string  // that the agent may use
	MaxTurns int       // calls of the model that may be made; 0 for any number
	Env      *tool.Env // decides which calls of tools may be made; nil without tools

	Session string // id of the program's session, a UUID
	Resume  bool   // the session exists: an earlier process began it

	OnText func(piece string) // receives the answer's text; may be nil
	OnTool func(ev ToolEvent) // receives calls of tools as they start and end; may be nil
}

// runnerOf returns the name of the runner of a task.
func runnerOf(t Task, a *agent.Agent) string {
	for _, name := range []string{t.Runner, a.Runner} {
		if name != "" {
			return name
		}
	}
	return RunnerBuiltin
}

// RunnerOf returns the name of the runner of a task.
func (r *Runner) RunnerOf(ctx context.Context, t Task) (string, error) {
	a, err := r.agent(ctx, t)
	if err != nil {
		return "", err
	}
	return runnerOf(t, a), nil
}

// converse has another program answer a task. With turns, its session is written down
// before the program starts, and a session that was cut off is resumed.
func (r *Runner) converse(ctx context.Context, t Task, req *llm.Request, tools *Tools, onText func(string)) (outcome llm.Outcome, err error) {
	free := llm.Outcome{Model: req.Model, CostUSD: new(0.0)}
	a, err := r.agent(ctx, t)
	if err != nil {
		return free, err
	}
	switch {
	case r.Replay != nil || r.Record != nil:
		return free, fault.Input(fmt.Errorf("%s runs with %s, whose work cannot be recorded or replayed; choose the runner %s", t.Agent, RunnerClaudeCode, RunnerBuiltin))
	case t.Keep != nil || t.Conversation != nil:
		return free, fault.Input(fmt.Errorf("%s runs with %s, whose conversation no other step can continue; choose the runner %s", t.Agent, RunnerClaudeCode, RunnerBuiltin))
	case r.External == nil:
		return free, fault.Input(fmt.Errorf("%s is to run with %s, which this program does not offer", t.Agent, RunnerClaudeCode))
	case t.Temperature != nil || t.Thinking != nil:
		return free, fault.Input(fmt.Errorf("%s runs with %s, which takes neither temperature nor thinking; remove them, or say with effort how much work the model does", t.Agent, RunnerClaudeCode))
	}
	c := Conversation{Task: t, Agent: a, Request: req, OnText: onText}
	if r.OnTool != nil {
		c.OnTool = func(ev ToolEvent) { r.OnTool(ctx, ev) }
	}
	if tools != nil {
		env, closeEnv, err := r.openEnv(tools)
		if err != nil {
			return free, err
		}
		defer func() { err = errors.Join(err, closeEnv()) }()
		c.Tools, c.MaxTurns, c.Env = tools.Set.Names(), tools.MaxTurns, env
	}
	if t.Turns == nil {
		c.Session = uuid.NewString()
		return r.External(ctx, c)
	}
	key, err := keyer.Key(req)
	if err != nil {
		return free, llm.NewError(llm.CodeInvalid, "the request of "+req.Agent+" cannot be encoded", err)
	}
	call := journal.ToolCall{Tool: RunnerClaudeCode}
	if known, _, ok := t.Turns.Answer(key); ok && len(known.Response.ToolUses()) == 1 {
		c.Session, c.Resume = known.Response.ToolUses()[0].ID, true
		if state, _ := t.Turns.Call(key, c.Session); state.Blocks != nil {
			return finishedSession(free, c.Session, state), nil
		}
	} else {
		// The journal keeps the session as a call that the program is asked for.
		c.Session = uuid.NewString()
		use := llm.Block{Type: llm.BlockToolUse, ID: c.Session, Name: RunnerClaudeCode, Input: []byte("{}")}
		answer := &llm.Response{Model: req.Model, StopReason: llm.StopToolUse, Content: []llm.Block{use}}
		if err := t.Turns.Answered(key, journal.TurnAnswer{Response: answer, Paid: journal.Paid{CostUSD: new(0.0)}}); err != nil {
			return free, err
		}
	}
	if call.ID = c.Session; !c.Resume {
		if err := t.Turns.Begin(key, call); err != nil {
			return free, err
		}
	}
	if outcome, err = r.External(ctx, c); err != nil {
		return outcome, err
	}
	call.Spent = &journal.Spent{Paid: journal.Paid{Usage: outcome.Usage, CostUSD: outcome.CostUSD}, Calls: outcome.Calls, Turns: outcome.Turns, ToolCalls: outcome.ToolCalls}
	return outcome, t.Turns.End(key, call, []llm.Block{llm.ToolResult(c.Session, outcome.Output, false)})
}

// finishedSession returns what came of a session whose end is in the journal.
func finishedSession(outcome llm.Outcome, session string, state journal.CallState) llm.Outcome {
	outcome.Source, outcome.StopReason = llm.SourceJournal, llm.StopEndTurn
	outcome.Output = state.Blocks[0].Text
	outcome.Session = &llm.Session{Program: RunnerClaudeCode, ID: session}
	if s := state.Spent; s != nil {
		outcome.Usage, outcome.CostUSD, outcome.Calls = s.Usage, s.CostUSD, s.Calls
		outcome.Turns, outcome.ToolCalls = s.Turns, s.ToolCalls
	}
	return outcome
}
