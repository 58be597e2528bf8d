package task

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/cassette"
	"github.com/claude-force/claude-force/tool"
)

// replayedTool is a tool of a recording. It is offered and never run.
type replayedTool struct{ definition llm.Tool }

func (t replayedTool) Definition() llm.Tool { return t.definition }

// Concurrent reports true: a replayed call has no effects.
func (t replayedTool) Concurrent(json.RawMessage) bool { return true }

func (t replayedTool) Call(context.Context, *tool.Env, json.RawMessage) (tool.Result, error) {
	return tool.Result{}, errors.New("a replay runs no tool")
}

// replayedTools returns the tools that an agent had for a task in the recording; nil
// if it had none.
func (r *Runner) replayedTools(agent string, t Task) (*Tools, error) {
	offer, ok := r.Replay.Offer(agent, t.Prompt)
	if !ok {
		return nil, nil
	}
	tools := make([]tool.Tool, len(offer.Tools))
	for i, definition := range offer.Tools {
		tools[i] = replayedTool{definition}
	}
	set, err := tool.NewSet(tools...)
	if err != nil {
		return nil, err
	}
	return &Tools{Set: set, Context: offer.Context}, nil
}

// recordOffer writes down in the recording, if there is one, what an agent is given
// to act with.
func (r *Runner) recordOffer(agent string, t Task, tools *Tools) {
	if r.Record != nil && tools != nil {
		r.Record.Offer(agent, t.Prompt, cassette.Offer{Tools: tools.Set.Definitions(), Context: tools.Context})
	}
}

// openEnv opens the environment of tools. It returns nil for a replay, which needs
// none.
func (r *Runner) openEnv(tools *Tools) (*tool.Env, func() error, error) {
	if r.Replay != nil {
		return nil, func() error { return nil }, nil
	}
	env, err := tools.Env()
	if err != nil {
		return nil, nil, err
	}
	return env, func() error {
		var err error
		if tools.Close != nil {
			err = tools.Close()
		}
		return errors.Join(err, env.Close())
	}, nil
}

// tapeKey returns the key by which the calls of tools of a request's answer are
// found in a recording; zero if there is none.
func (r *Runner) tapeKey(req *llm.Request) (llm.Key, error) {
	if r.Record == nil && r.Replay == nil {
		return llm.Key{}, nil
	}
	key, err := cassette.RequestKey(req)
	if err != nil {
		return key, llm.NewError(llm.CodeInvalid, "the request of "+req.Agent+" cannot be encoded", err)
	}
	return key, nil
}

// resultOf runs a call of a tool, or takes its result from the recording that is
// replayed. begin is called before the tool runs; it may be nil.
func (r *Runner) resultOf(ctx context.Context, b toolbox, turn int, use llm.Block, begin func() error) (toolOutcome, error) {
	call := cassette.ToolCall{Agent: b.agent, Request: b.tape, Use: use}
	if r.Replay != nil {
		return r.replayCall(ctx, call, turn)
	}
	if r.Record == nil {
		res := r.callTool(ctx, b, turn, use, begin)
		return res, res.stop
	}
	end := r.Record.StartTool(call)
	res := r.callTool(ctx, b, turn, use, begin)
	if ctx.Err() == nil && res.stop == nil {
		recorded := cassette.ToolResult{Blocks: res.blocks, Denied: res.denied, Duration: res.took}
		if res.spent != nil {
			recorded.Turns, recorded.ToolCalls = res.spent.Turns, res.spent.ToolCalls
		}
		end(recorded)
	}
	return res, res.stop
}

func (r *Runner) replayCall(ctx context.Context, call cassette.ToolCall, turn int) (toolOutcome, error) {
	res, err := r.Replay.Tool(call)
	if err != nil {
		return toolOutcome{}, err
	}
	if r.OnTool != nil {
		ev := ToolEvent{Agent: call.Agent, Turn: turn, ID: call.Use.ID, Tool: call.Use.Name, Argument: Brief(call.Use.Input)}
		r.OnTool(ctx, ev)
		ev.Done, ev.IsError, ev.Denied, ev.Duration = true, res.Blocks[0].Error, res.Denied, res.Duration
		r.OnTool(ctx, ev)
	}
	out := toolOutcome{blocks: res.Blocks, denied: res.Denied, took: res.Duration}
	if res.Turns > 0 {
		out.spent = &llm.Outcome{Turns: res.Turns, ToolCalls: res.ToolCalls, CostUSD: new(0.0)}
	}
	return out, nil
}
