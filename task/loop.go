package task

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/tool"
	"github.com/dustin/go-humanize/english"
)

// Tools is what an agent works with in one task: the tools that it is offered, and
// the environment that their calls share. It holds nothing before Env is called.
type Tools struct {
	Set *tool.Set

	// Context are texts for the model that come before the task's own material:
	// memory, the list of skills. They change the identity of the task.
	Context []string

	// Sources are digests of what Context is made of, by names that users know, such
	// as those of files. They are parts of the identity of the task.
	Sources map[string]string

	// Env opens the environment. The task closes it when it ends.
	Env func() (*tool.Env, error)

	// Look opens an environment in which no one is asked for permission, to look whether
	// what an earlier task saw is still so. Nil if nothing can be looked at.
	Look func() (*tool.Env, error)

	// Grants is a digest of what the task may do: permissions, folders, isolation.
	Grants string

	// Notes returns what goes into the next user turn and is the result of no call,
	// such as the end of a command in the background. With wait it returns once
	// there is one, or none is to come: the model is done otherwise. A result that is
	// empty but not nil says that the journal must keep that there was none: what goes
	// on in the background ends with the process, and the model should read that where
	// the task goes on and not before. After Close it returns what is left, for what
	// it took. May be nil.
	Notes func(ctx context.Context, wait bool) ([]Note, error)

	// Close releases what else the tools hold, after the last call and before the
	// environment is closed. May be nil.
	Close func() error

	// MaxTurns is how many calls of the model the task may make, instead of what the
	// task and the agent say; 0 for that.
	MaxTurns int
}

// Note is what the model should know that is the result of no call.
type Note struct {
	Blocks  []llm.Block
	Facts   []string      // that another process needs to know; see [tool.Env.Remember]
	Spent   *llm.Outcome  // what it took of models; nil if nothing
	InTurns *journal.Paid // the part of Spent that [journal.TurnAnswered] events have
}

// ToolsFunc returns the tools of an agent for a task, whose Model is the id of the
// model that it will have; nil if it has none. It is called whenever the identity of
// the task is asked for, not only when it runs.
type ToolsFunc func(ctx context.Context, a *agent.Agent, t Task) (*Tools, error)

// defaultMaxTurns bounds the calls of a task whose agent has tools, if nothing
// else does. A loop that has not ended by then is more likely to repeat itself
// than to end.
const defaultMaxTurns = 100

// TurnsError reports a task that was stopped since it had made all the calls that
// it may.
type TurnsError struct{ Turns int }

func (e *TurnsError) Error() string {
	return fmt.Sprintf("the agent was not done after %s; raise max_turns, or give it a smaller task", english.Plural(e.Turns, "turn", ""))
}

// loop answers a task of an agent with tools: it calls the model, runs the tools
// that the answer calls, calls the model with their results, and so on until an
// answer calls none. The outcome has the text of the last answer, and what all
// calls took. A tool that fails is a result that the model reads; the loop ends
// early only if a call of the model fails, the context ends or there are no turns
// left, which is a [*TurnsError].
func (r *Runner) loop(ctx context.Context, t Task, req *llm.Request, tools *Tools, onText func(string)) (outcome llm.Outcome, end ending, err error) {
	env, closeEnv, err := r.openEnv(tools)
	if err != nil {
		return llm.Outcome{CostUSD: new(0.0)}, end, err
	}
	defer func() {
		err = errors.Join(err, closeEnv())
		if left := r.left(ctx, tools); left != nil {
			outcome = *plus(&outcome, left)
		}
	}()
	ev := LoopEvent{Agent: req.Agent, Model: req.Model, Start: time.Now()}
	defer func() {
		if r.OnLoop != nil && !errors.Is(ctx.Err(), context.Canceled) {
			ev.Failed, ev.Duration = err != nil, time.Since(ev.Start)
			r.OnLoop(ctx, ev)
		}
	}()
	turns, textOf := tools.MaxTurns, paragraphs(onText)
	var total llm.Outcome
	within := 0 // turns of sub-agents, and summaries
	space := r.window(req)
	var last *exchange // the one that req continues; nil for the first request and after a summary
	compact := func() error {
		next, outcome, err := space.compact(ctx, t, *last)
		outcome.Turns, outcome.ToolCalls = 1, 0
		within++
		total = *plus(&total, &outcome)
		req, last, end.instead = next, nil, true
		return err
	}
	for turn := 1; turn <= turns; turn++ {
		req.Continues = turn < turns || t.Keep != nil
		outcome, answer, key, err := r.turn(ctx, t, req, textOf(turn))
		if err != nil && space.refused(req, err) {
			total = *plus(&total, &outcome)
			req = space.withoutEdits(req)
			outcome, answer, key, err = r.turn(ctx, t, req, textOf(turn))
		}
		if err != nil && last != nil && llm.CodeOf(err) == llm.CodeTooLarge && ctx.Err() == nil {
			total = *plus(&total, &outcome)
			if err := compact(); err != nil {
				return total, end, err
			}
			outcome, answer, key, err = r.turn(ctx, t, req, textOf(turn))
		}
		if turn > 1 {
			outcome = follow(outcome, total)
		}
		outcome.Turns, ev.Turns = turn+within, turn
		total = outcome
		if err != nil {
			return total, end, err
		}
		uses := answer.ToolUses()
		ended := len(uses) == 0 && answer.StopReason != llm.StopPauseTurn
		var input []llm.Block
		tape, err := r.tapeKey(req)
		if err != nil {
			return total, end, err
		}
		box := toolbox{tools.Set, env, req.Agent, tape}
		if len(uses) > 0 {
			var spent *llm.Outcome
			input, spent, err = r.callTools(ctx, t.Turns, key, box, turn, answer)
			total.ToolCalls += len(uses)
			ev.ToolCalls += len(uses)
			if spent != nil {
				within += spent.Turns
				total = *plus(&total, spent)
			}
			if err != nil {
				return total, end, err
			}
		}
		var notes []llm.Block
		if !ended || turn < turns { // the last turn's answer stands
			var spent *llm.Outcome
			if notes, spent, err = r.notes(ctx, t.Turns, key, box, tools, ended); err != nil {
				return total, end, err
			}
			if spent != nil {
				within += spent.Turns
				total = *plus(&total, spent)
			}
		}
		input = append(input, notes...)
		said := replayed(answer.Content)
		if ended && (len(notes) == 0 || len(said) == 0) {
			if strings.TrimSpace(total.Output) == "" {
				total.Degraded = "the agent ended without a text"
			}
			end.req, end.answer = req, answer
			return total, end, nil
		}
		next := *req
		next.Messages = append(slices.Clip(req.Messages), llm.Message{Role: llm.RoleAssistant, Content: said})
		if len(input) > 0 {
			next.Messages = append(next.Messages, llm.Message{Role: llm.RoleUser, Content: input})
		}
		last = &exchange{req, answer, input}
		if err := space.edit(&next, space.estimate(*last)); err != nil {
			return total, end, err
		}
		if !space.full(*last) {
			req = &next
			continue
		}
		if turn == turns {
			break
		}
		if err := compact(); err != nil {
			return total, end, err
		}
	}
	stopped := &TurnsError{turns}
	return total, end, llm.NewError(llm.CodeInvalid, stopped.Error(), stopped)
}

// paragraphs returns functions that receive the text of one turn each and pass it
// to onText, with an empty line between the turns that have a text.
func paragraphs(onText func(string)) func(turn int) func(string) {
	written := 0 // the turn of the last text
	return func(turn int) func(string) {
		if onText == nil {
			return nil
		}
		return func(piece string) {
			if written != 0 && written != turn {
				onText("\n\n")
			}
			written = turn
			onText(piece)
		}
	}
}

// maxTurns returns how many calls of the model a task may make, whose agent's file
// names a number, or 0.
func (r *Runner) maxTurns(t Task, agents int) int {
	for _, n := range []int{t.MaxTurns, agents, r.Defaults.MaxTurns} {
		if n > 0 {
			return n
		}
	}
	return defaultMaxTurns
}

// follow returns the outcome of a further call of a task with what came before
// added to it. It was live if one of them was.
func follow(next, before llm.Outcome) llm.Outcome {
	sum := before.AddCost(next)
	next.Usage, next.CostUSD, next.Calls, next.Timing = sum.Usage, sum.CostUSD, sum.Calls, sum.Timing
	next.ToolCalls += before.ToolCalls
	if before.Source == llm.SourceLive {
		next.Source = llm.SourceLive
	}
	return next
}

// replayed returns the blocks of an answer as the service takes them back: no
// empty texts, and an object as the input of each tool call.
func replayed(content []llm.Block) []llm.Block {
	var blocks []llm.Block
	for _, b := range content {
		if b.Type == llm.BlockText && strings.TrimSpace(b.Text) == "" {
			continue
		}
		if b.Type == llm.BlockToolUse && !b.ValidInput() {
			b.Input, b.Raw = []byte(`{}`), nil
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// ToolsOf returns the tools of a task that works in the project's folder; nil if its
// agent has none, or works in a worktree.
func (r *Runner) ToolsOf(ctx context.Context, t Task) (*Tools, error) {
	a, err := r.agent(ctx, t)
	if err != nil {
		return nil, err
	}
	model, err := r.selectModel(ctx, t, a, t.SharedContext)
	if err != nil || Isolated(t.Isolation, a) {
		return nil, err
	}
	return r.equip(ctx, t, a, model.ID)
}

// equip returns the tools of a task that a model does; nil if its agent has none.
func (r *Runner) equip(ctx context.Context, t Task, a *agent.Agent, model string) (*Tools, error) {
	t.Model = model
	var tools *Tools
	var err error
	switch {
	case t.Definition != nil && !a.AllTools && len(a.Tools) == 0:
		// A recording knows agents by their names alone.
	case r.Replay != nil:
		tools, err = r.replayedTools(a.Name, t)
	case r.Tools != nil:
		tools, err = r.Tools(ctx, a, t)
	}
	if err != nil || tools == nil || len(tools.Set.Names()) == 0 {
		return nil, err
	}
	if tools.MaxTurns <= 0 {
		tools.MaxTurns = r.maxTurns(t, a.MaxTurns)
	}
	return tools, nil
}
