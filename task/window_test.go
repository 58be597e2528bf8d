package task_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
)

// fullModel is a model whose window is full after the second call of a tool, and again
// after the fourth.
type fullModel struct{ sent, summaries atomic.Int32 }

func (m *fullModel) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	m.sent.Add(1)
	answer := &llm.Response{Model: req.Model, StopReason: llm.StopToolUse, Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 10, OutputTokens: 5}}
	last := req.Messages[len(req.Messages)-1].Content
	turn := strings.Count(last[len(last)-1].Text, "about to be replaced")
	first := ""
	for _, b := range req.Messages[0].Content {
		first += b.Text
	}
	switch round := strings.Count(first, "you summarized it"); {
	case turn > 0:
		m.summaries.Add(1)
		answer.StopReason, answer.Content = llm.StopEndTurn, []llm.Block{llm.TextBlock(fmt.Sprintf("Summary %d.", m.summaries.Load()))}
	case round > 0 && strings.Contains(first, "Summary 2."):
		answer.StopReason, answer.Content = llm.StopEndTurn, []llm.Block{llm.TextBlock("done")}
	default:
		answer.Content = []llm.Block{use(fmt.Sprintf("%d-%d", round, len(req.Messages)), "count", `{}`)}
		if len(req.Messages) > 1 {
			answer.Usage.InputTokens = 190_000
		}
	}
	return func(yield func(llm.Event, error) bool) {
		if ctx.Err() != nil {
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		yield(llm.Event{Type: llm.EventDone, Response: answer}, nil)
	}
}

// TestSummariesAreTurns kills a process after each event of a loop that is summarized
// twice: no summary is paid twice, and no call runs twice.
func TestSummariesAreTurns(t *testing.T) {
	t.Parallel()
	play := func(kills ...int) (*task.Result, []journal.Event, *fullModel, int) {
		model, calls, dir := &fullModel{}, &atomic.Int32{}, t.TempDir()
		set, err := tool.NewSet(count{calls})
		if err != nil {
			t.Fatal(err)
		}
		res, events := untilDone(t, kills, func(ctx context.Context, turns *journal.Turns) *task.Result {
			r := newRunner(model, &agent.Agent{Name: "a", Model: "claude-haiku-4-5-20251001"})
			r.Tools = func(context.Context, *agent.Agent, task.Task) (*task.Tools, error) {
				return &task.Tools{Set: set, Env: func() (*tool.Env, error) { return tool.NewEnv(dir, tool.Options{}) }}, nil
			}
			return r.Run(ctx, task.Task{Agent: "a", Prompt: "go", Turns: turns}, nil)
		})
		return res, events, model, int(calls.Load())
	}
	want, events, model, ran := play()
	if want.Output != "done" || model.summaries.Load() != 2 || ran != 4 || want.Turns != int(model.sent.Load()) || want.Calls != want.Turns {
		t.Fatalf("%q, %d summaries, %d calls ran, %d turns, %d sent", want.Output, model.summaries.Load(), ran, want.Turns, model.sent.Load())
	}
	for n := 1; n < len(events); n++ {
		got, _, model, ran := play(n)
		if got.Output != "done" || got.Turns != want.Turns || got.Usage != want.Usage || ran > 4 || model.summaries.Load() != 2 || int(model.sent.Load()) != want.Turns {
			t.Errorf("killed after %d events: %q, %d turns, %+v, %d calls ran, %d summaries, %d sent", n, got.Output, got.Turns, got.Usage, ran, model.summaries.Load(), model.sent.Load())
		}
	}
}
