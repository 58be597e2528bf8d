package task

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
)

// keyer names the requests of turns.
var keyer = llm.Keyer{Provider: "turns"}

// turn makes one call of a loop, or takes its answer from the journal, which then
// costs nothing more. The key is that of the request.
func (r *Runner) turn(ctx context.Context, t Task, req *llm.Request, onText func(string)) (llm.Outcome, *llm.Response, llm.Key, error) {
	if t.Turns == nil {
		outcome, answer, err := r.call(ctx, req, onText)
		return outcome, answer, llm.Key{}, err
	}
	key, err := keyer.Key(req)
	if err != nil {
		return llm.Outcome{CostUSD: new(0.0)}, nil, key, llm.NewError(llm.CodeInvalid, "the request of "+req.Agent+" cannot be encoded", err)
	}
	if known, free, ok := t.Turns.Answer(key); ok {
		outcome := llm.Outcome{
			Output: known.Response.Text(), Model: known.Response.Model, Source: llm.SourceJournal, StopReason: known.Response.StopReason, CostUSD: new(0.0),
		}
		if !free {
			outcome.Usage, outcome.CostUSD, outcome.Calls = known.Paid.Usage, known.Paid.CostUSD, 1
		}
		return outcome, known.Response, key, nil
	}
	outcome, answer, err := r.call(ctx, req, onText)
	if err == nil {
		err = t.Turns.Answered(key, journal.TurnAnswer{Response: answer, Paid: journal.Paid{Usage: outcome.Usage, CostUSD: outcome.CostUSD}})
	}
	return outcome, answer, key, err
}

// interrupted is the result of a call that was started by a process that then ended.
const interrupted = "The process that ran this call ended before the call did, so there is no result. It may have had its effects, whole or in part: look before you repeat it."

// finishedCall returns what came of a call that is finished in the journal, which
// does not run again, and changes the environment, if there is one, as it did.
func finishedCall(turns *journal.Turns, key llm.Key, env *tool.Env, id string) (toolOutcome, error) {
	if turns == nil {
		return toolOutcome{}, nil
	}
	state, _ := turns.Call(key, id)
	if state.Blocks == nil {
		return toolOutcome{}, nil
	}
	result := toolOutcome{blocks: state.Blocks}
	if s := state.Spent; s != nil {
		result.spent = &llm.Outcome{Usage: s.Usage, CostUSD: s.CostUSD, Calls: s.Calls, Turns: s.Turns, ToolCalls: s.ToolCalls}
	}
	if state.Changed == nil || env == nil {
		return result, nil
	}
	var changed tool.Change
	if err := json.Unmarshal(state.Changed, &changed); err != nil {
		return toolOutcome{}, fmt.Errorf("reading what call %s changed: %w", id, err)
	}
	env.Restore(changed)
	return result, nil
}

// recordedCall runs a call that is not finished in the journal and returns what came
// of it. One that has started and may have had effects does not run again: the model
// reads that it was interrupted. A call that was stopped has no blocks, and an error.
func (r *Runner) recordedCall(ctx context.Context, turns *journal.Turns, key llm.Key, b toolbox, n int, use llm.Block) (toolOutcome, error) {
	if turns == nil {
		return r.resultOf(journal.WithTurns(ctx, nil), b, n, use, nil)
	}
	call := journal.ToolCall{ID: use.ID, Tool: use.Name, Argument: Brief(use.Input)}
	_, started := turns.Call(key, use.ID)
	if started {
		blocks := blocksOf(use.ID, tool.Failed(interrupted))
		call.IsError, call.Interrupted = true, true
		return toolOutcome{blocks: blocks}, turns.End(key, call, blocks)
	}
	var begin func() error
	if !b.set.Concurrent(use) {
		// Once it is permitted: a call that waits for a person has not started.
		begin = func() error { return turns.Begin(key, call) }
	}
	if b.env != nil {
		b.env = b.env.ForCall() // its event has what it changed, and not what a call beside it did
	}
	inner := turns.Within(key, use.ID)
	result, err := r.resultOf(journal.WithTurns(ctx, inner), b, n, use, begin)
	if err != nil {
		return result, err
	}
	if ctx.Err() != nil {
		return toolOutcome{spent: result.spent}, context.Cause(ctx) // it was stopped, and what it gave is no result
	}
	if b.env != nil {
		call.Noted = tool.Noted
		if changed := b.env.TakeChange(); !changed.Empty() {
			call.Changed = journal.Detail(changed)
		}
	}
	call.IsError, call.Denied, call.Seconds = result.blocks[0].Error, result.denied, result.took.Seconds()
	call.Spent = spentOf(result.spent, inner.Paid())
	return result, turns.End(key, call, result.blocks)
}

// notesID is the id in the journal of the notes of a turn: they are kept as the
// result of a call of no tool.
const notesID = "notes"

// notes returns the notes that follow an answer, from the recording if there is one
// to replay, and what they took of models; nil if nothing.
func (r *Runner) notes(ctx context.Context, turns *journal.Turns, key llm.Key, b toolbox, tools *Tools, wait bool) ([]llm.Block, *llm.Outcome, error) {
	if r.Replay != nil {
		return r.Replay.Notes(b.tape), nil, nil
	}
	notes, spent, err := recordedNotes(ctx, turns, key, b.env, tools, wait)
	if r.Record != nil && err == nil && len(notes) > 0 {
		r.Record.Notes(b.agent, b.tape, notes)
	}
	return notes, spent, err
}

// recordedNotes returns the notes that follow an answer. Those that the journal has
// are the same again, so that the next request is.
func recordedNotes(ctx context.Context, turns *journal.Turns, key llm.Key, env *tool.Env, tools *Tools, wait bool) ([]llm.Block, *llm.Outcome, error) {
	if tools.Notes == nil {
		return nil, nil, nil
	}
	known, err := finishedCall(turns, key, env, notesID)
	if err != nil || known.blocks != nil {
		return known.blocks, known.spent, err
	}
	notes, err := tools.Notes(ctx, wait)
	if err != nil || notes == nil {
		return nil, nil, err
	}
	blocks, call := []llm.Block{}, journal.ToolCall{ID: notesID}
	var spent *llm.Outcome
	var inTurns *journal.Paid
	var facts []string
	for _, n := range notes {
		blocks, facts = append(blocks, n.Blocks...), append(facts, n.Facts...)
		spent, inTurns = plus(spent, n.Spent), inTurns.Plus(n.InTurns)
	}
	if turns == nil {
		return blocks, spent, nil
	}
	if len(facts) > 0 {
		call.Changed = journal.Detail(tool.Change{Facts: facts})
	}
	call.Spent = spentOf(spent, inTurns)
	return blocks, spent, turns.End(key, call, blocks)
}

// left returns what notes that no model reads any more took; nil if nothing.
func (r *Runner) left(ctx context.Context, tools *Tools) *llm.Outcome {
	if r.Replay != nil || tools.Notes == nil {
		return nil
	}
	notes, err := tools.Notes(context.WithoutCancel(ctx), false)
	if err != nil {
		return nil
	}
	var spent *llm.Outcome
	for _, n := range notes {
		spent = plus(spent, n.Spent)
	}
	return spent
}

// spentOf returns what the journal keeps of what a call took.
func spentOf(s *llm.Outcome, inTurns *journal.Paid) *journal.Spent {
	if s == nil {
		return nil
	}
	return &journal.Spent{Paid: journal.Paid{Usage: s.Usage, CostUSD: s.CostUSD}, Calls: s.Calls, Turns: s.Turns, ToolCalls: s.ToolCalls, InTurns: inTurns}
}

// blocksOf returns the blocks that answer a call: its result, then the notes.
func blocksOf(id string, result tool.Result) []llm.Block {
	block, err := result.Block(id)
	if err != nil {
		block = llm.ToolResult(id, fmt.Sprintf("the result cannot be encoded: %v", err), true)
	}
	if block.Raw == nil && strings.TrimSpace(block.Text) == "" {
		block.Text = "(no output)" // the service takes no empty text
	}
	return append([]llm.Block{block}, slices.Clone(result.Notes)...)
}
