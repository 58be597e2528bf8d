package task_test

import (
	"context"
	"encoding/json"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
)

// familyModel is the model of an agent that starts two equal sub-agents at once, each
// of which makes one call. It bills what a call with a context took, as the layer
// that records calls does.
type familyModel struct{ sent atomic.Int32 }

func (m *familyModel) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	m.sent.Add(1)
	answer := &llm.Response{Model: idOf("haiku"), StopReason: llm.StopToolUse, Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 10, OutputTokens: 5}}
	switch {
	case len(req.Messages) > 1:
		answer.StopReason, answer.Content = llm.StopEndTurn, []llm.Block{llm.TextBlock("done")}
	case req.Agent == "child":
		answer.Content = []llm.Block{use("c", "count", `{}`)}
	default:
		answer.Content = []llm.Block{use("1", "delegate", `{}`), use("2", "delegate", `{}`)}
	}
	return func(yield func(llm.Event, error) bool) {
		if ctx.Err() != nil {
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		llm.BillOf(ctx).Add(answer.Usage, llm.Dollar/1000, true)
		yield(llm.Event{Type: llm.EventDone, Response: answer}, nil)
	}
}

// delegate starts an agent for each call.
type delegate struct {
	run func(context.Context) *task.Result
}

func (delegate) Definition() llm.Tool            { return llm.Tool{Name: "delegate"} }
func (delegate) Concurrent(json.RawMessage) bool { return true }
func (d delegate) Call(ctx context.Context, _ *tool.Env, _ json.RawMessage) (tool.Result, error) {
	res := d.run(ctx)
	if res.Err != nil {
		return tool.Result{Text: res.Err.Error(), IsError: true, Spent: &res.Outcome}, nil
	}
	return tool.Result{Text: res.Output, Spent: &res.Outcome}, nil
}

// count counts its calls.
type count struct{ calls *atomic.Int32 }

func (count) Definition() llm.Tool            { return llm.Tool{Name: "count"} }
func (count) Concurrent(json.RawMessage) bool { return false }
func (c count) Call(context.Context, *tool.Env, json.RawMessage) (tool.Result, error) {
	c.calls.Add(1)
	return tool.Text("counted"), nil
}

// playFamily runs the task until it is done; see [untilDone].
func playFamily(t *testing.T, kills ...int) (*task.Result, []journal.Event, *familyModel, int) {
	model, calls, dir := &familyModel{}, &atomic.Int32{}, t.TempDir()
	res, events := untilDone(t, kills, func(ctx context.Context, turns *journal.Turns) *task.Result {
		r := newRunner(model, &agent.Agent{Name: "parent"}, &agent.Agent{Name: "child"})
		set, err := tool.NewSet(delegate{func(ctx context.Context) *task.Result {
			return r.Run(ctx, task.Task{Agent: "child", Prompt: "count", Turns: journal.TurnsOf(ctx)}, nil)
		}}, count{calls})
		if err != nil {
			t.Fatal(err)
		}
		r.Tools = func(context.Context, *agent.Agent, task.Task) (*task.Tools, error) {
			return &task.Tools{Set: set, Env: func() (*tool.Env, error) { return tool.NewEnv(dir, tool.Options{}) }}, nil
		}
		return r.Run(ctx, task.Task{Agent: "parent", Prompt: "go", Turns: turns}, nil)
	})
	return res, events, model, int(calls.Load())
}

// TestSubAgentsCountAndResume kills a process after each event that an agent and its
// two sub-agents write. What was answered is not sent again, what ran does not run
// again, and the sums of the task are those of all agents, each once.
func TestSubAgentsCountAndResume(t *testing.T) {
	t.Parallel()
	want, events, _, _ := playFamily(t)
	if want.Turns != 6 || want.ToolCalls != 4 || want.Calls != 6 || want.Usage.InputTokens != 60 || want.CostUSD == nil || *want.CostUSD < 0.0059 || *want.CostUSD > 0.0061 {
		t.Fatalf("%d turns, %d calls of tools, %d calls, %d tokens, cost %v", want.Turns, want.ToolCalls, want.Calls, want.Usage.InputTokens, want.CostUSD)
	}
	for n := 1; n < len(events); n++ {
		got, after, model, ran := playFamily(t, n)
		if got.Turns != want.Turns || got.ToolCalls != want.ToolCalls || got.Usage != want.Usage || got.CostUSD == nil || *got.CostUSD != *want.CostUSD {
			t.Errorf("killed after %d events: %d turns, %d calls of tools, %+v, cost %v", n, got.Turns, got.ToolCalls, got.Usage, got.CostUSD)
		}
		answered := map[llm.Key]int{}
		for _, ev := range after {
			if ev.Type == journal.TurnAnswered {
				answered[ev.Key]++
			}
		}
		for key, times := range answered {
			if times > 1 {
				t.Errorf("killed after %d events: the answer to %s was paid %d times", n, key, times)
			}
		}
		// An answer that came while the process died is not known to the next.
		if sent := int(model.sent.Load()); len(answered) != 6 || sent > 6+2 {
			t.Errorf("killed after %d events: %d answers, %d sent", n, len(answered), sent)
		}
		if ran > 2 {
			t.Errorf("killed after %d events: %d calls ran, want at most 2", n, ran)
		}
	}
}
