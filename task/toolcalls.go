package task

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/telemetry"
	"github.com/claude-force/claude-force/tool"
)

// maxConcurrent is how many calls of one answer run at once.
const maxConcurrent = 10

// ToolEvent reports a call of a tool, once when it starts and once when it ends.
type ToolEvent struct {
	Agent    string // whose task it is
	Turn     int    // of the task, from 1
	ID       string // of the call
	Tool     string // its name
	Argument string // the part of its input that says most, in one line of at most 80 characters
	Unknown  bool   // the agent has no such tool: the name is the model's
	Done     bool   // it has ended
	IsError  bool   // it failed
	Denied   bool   // it did not run, since it may not; IsError is set too
	Stopped  bool   // it was stopped with its task, so this is not its end
	Start    time.Time
	Duration time.Duration
}

// LoopEvent reports that a task of an agent with tools has ended by itself: not that
// it was canceled.
type LoopEvent struct {
	Agent     string
	Model     string
	Turns     int // of the task itself, not of its sub-agents; those before a resume too
	ToolCalls int // in these turns
	Failed    bool
	Start     time.Time // in this process
	Duration  time.Duration
}

// toolbox is the tools of a task and their environment, open.
type toolbox struct {
	set   *tool.Set
	env   *tool.Env // nil in a replay
	agent string
	tape  llm.Key // of the request whose answer makes the calls, in a recording
}

// toolOutcome is what came of a call.
type toolOutcome struct {
	blocks []llm.Block // that answer it; nil if it was stopped, or has not run
	denied bool
	took   time.Duration
	spent  *llm.Outcome // what calls of models within it took; nil if there were none
	stop   error        // ends the task instead of a result
}

// callTools runs the calls of an answer and returns the blocks of the user turn
// that answers them: a result for each call, in their order, then the notes; and
// what calls of models within them took, also with an error; nil if there were none.
// Neighbours that only read run at once; every other call runs alone. The error is
// that of the context or of the journal.
func (r *Runner) callTools(ctx context.Context, turns *journal.Turns, key llm.Key, b toolbox, n int, answer *llm.Response) (_ []llm.Block, spent *llm.Outcome, err error) {
	uses := distinct(answer.ToolUses())
	cut := ""
	if last := answer.Content[len(answer.Content)-1]; answer.StopReason == llm.StopMaxTokens && last.Type == llm.BlockToolUse {
		cut = last.ID // its input may lack its end and still be valid JSON
	}
	results := make([]toolOutcome, len(uses))
	defer func() {
		for _, c := range results {
			spent = plus(spent, c.spent)
		}
	}()
	for i := 0; i < len(uses); {
		together := 1 // calls from i on that run at once
		for b.set.Concurrent(uses[i]) && i+together < len(uses) && b.set.Concurrent(uses[i+together]) {
			together++
		}
		var group errgroup.Group
		group.SetLimit(maxConcurrent)
		for j := i; j < i+together; j++ {
			var err error
			if results[j], err = finishedCall(turns, key, b.env, uses[j].ID); err != nil {
				return nil, nil, err
			}
		}
		for j := i; j < i+together; j++ {
			if results[j].blocks != nil {
				continue
			}
			group.Go(func() error {
				var err error
				switch {
				case ctx.Err() != nil:
					err = context.Cause(ctx)
				case cut != "" && uses[j].ID == cut:
					results[j].blocks = blocksOf(cut, tool.Failed("This call was cut off by the limit on the length of an answer, so it did not run. Write less at once: split the work into several smaller calls."))
				default:
					results[j], err = r.recordedCall(ctx, turns, key, b, n, uses[j])
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, nil, err
		}
		i += together
	}
	if ctx.Err() != nil { // a tool that was stopped has no result worth keeping
		return nil, nil, context.Cause(ctx)
	}
	var blocks, notes []llm.Block
	for _, result := range results {
		blocks, notes = append(blocks, result.blocks[0]), append(notes, result.blocks[1:]...)
	}
	return append(blocks, notes...), nil, nil
}

// plus returns the sum of what two calls of tools took; nil if neither took anything.
func plus(a, b *llm.Outcome) *llm.Outcome {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	sum := a.AddCost(*b)
	sum.Turns, sum.ToolCalls = a.Turns+b.Turns, a.ToolCalls+b.ToolCalls
	return &sum
}

// distinct returns calls without those whose id an earlier one has: an answer has
// one result for each id.
func distinct(uses []llm.Block) []llm.Block {
	seen := map[string]bool{}
	return slices.DeleteFunc(uses, func(use llm.Block) bool {
		again := seen[use.ID]
		seen[use.ID] = true
		return again
	})
}

// callTool runs one call. A tool that panics has failed. begin is as for
// [tool.Set.Run].
func (r *Runner) callTool(ctx context.Context, b toolbox, turn int, use llm.Block, begin func() error) (res toolOutcome) {
	_, known := b.set.Tool(use.Name)
	ev := ToolEvent{Agent: b.agent, Turn: turn, ID: use.ID, Tool: use.Name, Argument: Brief(use.Input), Unknown: !known, Start: time.Now()}
	if r.OnTool != nil {
		r.OnTool(ctx, ev)
	}
	tags := llm.TagsOf(ctx)
	tags.Tool = use.Name
	ctx = llm.WithTags(ctx, tags)
	ctx, bill := llm.WithNextBill(ctx)
	ctx, end := r.Telemetry.Tool(ctx, telemetry.ToolCall{Agent: b.agent, Name: use.Name, ID: use.ID, Unknown: !known, Arguments: use.Input})
	var result tool.Result
	defer func() {
		if p := recover(); p != nil {
			result = tool.Failed(fmt.Sprintf("the tool %s failed: %v", use.Name, p))
		}
		if calls, usage, cost, known := bill.Total(); calls > 0 {
			direct := &llm.Outcome{Usage: usage, Calls: calls, Timing: bill.Timing()}
			if known {
				direct.CostUSD = new(cost.USD())
			}
			result.Spent = plus(result.Spent, direct)
		}
		res = toolOutcome{blocksOf(use.ID, result), result.Denied, time.Since(ev.Start), result.Spent, result.Stop}
		end(telemetry.ToolEnded{Failed: result.IsError, Denied: result.Denied, Result: result.Text})
		if r.OnTool != nil {
			ev.Done, ev.IsError, ev.Denied, ev.Duration = true, result.IsError, result.Denied, res.took
			ev.Stopped = result.Stop != nil || ctx.Err() != nil
			r.OnTool(ctx, ev)
		}
	}()
	result = b.set.Run(ctx, b.env, use, begin)
	return toolOutcome{} // the deferred function sets it
}

// argumentNames are the parameters that say most of a call, the best first.
var argumentNames = []string{"command", "file_path", "pattern", "url", "query", "description", "skill", "path"}

// maxArgument is the length of [ToolEvent.Argument], in characters.
const maxArgument = 80

// Brief returns the part of a tool call's input that says most of it, in one line
// of at most 80 characters.
func Brief(input json.RawMessage) string {
	var object map[string]any
	if json.Unmarshal(input, &object) != nil {
		return ""
	}
	text := ""
	for _, name := range argumentNames {
		if s, ok := object[name].(string); ok {
			text = cmp.Or(text, s)
		}
	}
	if text == "" && len(object) > 0 {
		text = string(input)
	}
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > maxArgument {
		text = string(slices.Clip([]rune(text)[:maxArgument-1])) + "…"
	}
	return text
}
