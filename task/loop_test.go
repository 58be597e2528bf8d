package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/anthropic"
	"github.com/claude-force/claude-force/llm/llmtest"
	"github.com/claude-force/claude-force/llm/promptcache"
	"github.com/claude-force/claude-force/sim"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool"
)

type lookUpInput struct {
	Key string `json:"key"`
}

// lookUp returns a tool that only reads: it gives the value of a key.
func lookUp(t *testing.T, values map[string]string) tool.Tool {
	t.Helper()
	f, err := tool.Func("look_up", "Gives the value of a key.", func(_ context.Context, in lookUpInput) (string, error) {
		value, ok := values[in.Key]
		if !ok {
			return "", fmt.Errorf("there is no key %q", in.Key)
		}
		return value, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tool.ReadOnly(f)
}

// withTools gives all agents of a runner the tools.
func withTools(t *testing.T, r *task.Runner, tools ...tool.Tool) *task.Runner {
	t.Helper()
	set, err := tool.NewSet(tools...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r.Tools = func(context.Context, *agent.Agent, task.Task) (*task.Tools, error) {
		return &task.Tools{Set: set, Env: func() (*tool.Env, error) { return tool.NewEnv(dir, tool.Options{}) }}, nil
	}
	return r
}

// calls returns an answer that calls tools.
func calls(text string, uses ...llm.Block) []llmtest.Step {
	content := uses
	if text != "" {
		content = append([]llm.Block{llm.TextBlock(text)}, uses...)
	}
	return answers(llm.StopToolUse, content...)
}

func answers(stop string, content ...llm.Block) []llmtest.Step {
	return []llmtest.Step{llmtest.Start(), llmtest.Done(&llm.Response{
		Model: idOf("haiku"), Content: content, StopReason: stop, Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 10, OutputTokens: 5},
	})}
}

func use(id, name, input string) llm.Block {
	return llm.Block{Type: llm.BlockToolUse, ID: id, Name: name, Input: json.RawMessage(input)}
}

// sent returns what a request says of the last turn: the calls and their results.
func sent(req *llm.Request) string {
	var b strings.Builder
	for _, m := range req.Messages[max(0, len(req.Messages)-2):] {
		for _, block := range m.Content {
			switch block.Type {
			case llm.BlockToolUse:
				fmt.Fprintf(&b, "%s %s%s; ", block.ID, block.Name, block.Input)
			case llm.BlockToolResult:
				fmt.Fprintf(&b, "%s=%s error=%v; ", block.ID, block.Text, block.Error)
			default:
				fmt.Fprintf(&b, "%s %s; ", block.Type, block.Text)
			}
		}
	}
	return strings.TrimSpace(b.String())
}

func TestALoopEndsWithTheAnswerThatCallsNothing(t *testing.T) {
	t.Parallel()
	script := llmtest.NewScript(
		calls("I look it up.", use("1", "look_up", `{"key":"a"}`)),
		calls("", use("2", "look_up", `{"key":"b"}`), use("3", "look_up", `{"key":"none"}`)),
		llmtest.Answer("a and b are 1 and 2"))
	r := withTools(t, newRunner(script, &agent.Agent{Name: "a"}), lookUp(t, map[string]string{"a": "1", "b": "2"}))
	var shown strings.Builder
	var mu sync.Mutex
	var events []string
	r.OnTool = func(_ context.Context, ev task.ToolEvent) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprintf("%d %s %s %v %v", ev.Turn, ev.ID, ev.Argument, ev.Done, ev.IsError))
	}
	res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "what are a and b?"}, func(piece string) { shown.WriteString(piece) })
	if res.Err != nil || res.Output != "a and b are 1 and 2" || res.Turns != 3 || res.Calls != 3 || res.ToolCalls != 3 {
		t.Fatalf("%+v", res)
	}
	requests := script.Requests()
	if got, want := sent(requests[2]), `2 look_up{"key":"b"}; 3 look_up{"key":"none"}; 2=2 error=false; 3=there is no key "none" error=true;`; got != want {
		t.Errorf("the third request sends %s; want %s", got, want)
	}
	if got := len(requests[2].Messages); got != 5 {
		t.Errorf("the third request has %d messages; want 5", got)
	}
	if got := requests[0].Tools[0].Name; got != "look_up" {
		t.Errorf("the model is offered %s", got)
	}
	if got, want := shown.String(), "a and b are 1 and 2"; got != want {
		t.Errorf("shown: %q; want %q", got, want)
	}
	slices.Sort(events)
	if want := []string{
		`1 1 {"key":"a"} false false`, `1 1 {"key":"a"} true false`,
		`2 2 {"key":"b"} false false`, `2 2 {"key":"b"} true false`,
		`2 3 {"key":"none"} false false`, `2 3 {"key":"none"} true true`,
	}; !cmp.Equal(events, want) {
		t.Errorf("events %q", events)
	}
}

func TestOutcomesOfALoop(t *testing.T) {
	t.Parallel()
	forever := func(n int) [][]llmtest.Step {
		var all [][]llmtest.Step
		for i := range n {
			all = append(all, calls("", use(fmt.Sprint(i), "look_up", `{"key":"a"}`)))
		}
		return all
	}
	for name, c := range map[string]struct {
		calls    [][]llmtest.Step
		maxTurns int
		turns    int
		output   string
		code     llm.Code
		degraded bool
		last     string // what the last request sends; empty for anything
	}{
		"turns run out":    {calls: forever(3), maxTurns: 3, turns: 3, code: llm.CodeInvalid},
		"an unknown tool":  {calls: [][]llmtest.Step{calls("", use("1", "Look_Up", `{}`)), llmtest.Answer("ok")}, turns: 2, output: "ok", last: `1 Look_Up{}; 1=<tool_use_error>Error: No such tool available: Look_Up. Names are case-sensitive: call look_up</tool_use_error> error=true;`},
		"broken input":     {calls: [][]llmtest.Step{calls("", use("1", "look_up", `{"key":`)), llmtest.Answer("ok")}, turns: 2, output: "ok"},
		"one id twice":     {calls: [][]llmtest.Step{calls("", use("1", "look_up", `{"key":"a"}`), use("1", "look_up", `{"key":"a"}`)), llmtest.Answer("ok")}, turns: 2, output: "ok"},
		"a pause":          {calls: [][]llmtest.Step{answers(llm.StopPauseTurn, llm.TextBlock("I search.")), llmtest.Answer("found")}, turns: 2, output: "found", last: "text q; text I search.;"},
		"a refusal":        {calls: [][]llmtest.Step{calls("", use("1", "look_up", `{"key":"a"}`)), answers(llm.StopRefusal, llm.TextBlock("no"))}, turns: 2, output: "no", code: llm.CodeInvalid},
		"no last words":    {calls: [][]llmtest.Step{calls("", use("1", "look_up", `{"key":"a"}`)), answers(llm.StopEndTurn, llm.TextBlock(" "))}, turns: 2, output: " ", degraded: true},
		"cut in a call":    {calls: [][]llmtest.Step{answers(llm.StopMaxTokens, use("1", "look_up", `{"key":"a"}`), use("2", "look_up", `{"key":"a"}`)), llmtest.Answer("ok")}, turns: 2, output: "ok", last: `1 look_up{"key":"a"}; 2 look_up{"key":"a"}; 1=1 error=false; 2=This call was cut off by the limit on the length of an answer, so it did not run. Write less at once: split the work into several smaller calls. error=true;`},
		"a failing call":   {calls: [][]llmtest.Step{calls("", use("1", "look_up", `{"key":"a"}`)), {llmtest.FailCode(llm.CodeInvalid)}}, turns: 2, code: llm.CodeInvalid},
		"without any tool": {calls: [][]llmtest.Step{llmtest.Answer("at once")}, turns: 1, output: "at once"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := llmtest.NewScript(c.calls...)
			r := withTools(t, newRunner(script, &agent.Agent{Name: "a"}), lookUp(t, map[string]string{"a": "1"}))
			res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "q", MaxTurns: c.maxTurns}, nil)
			if llm.CodeOf(res.Err) != c.code || res.Turns != c.turns || res.Output != c.output || (res.Degraded != "") != c.degraded {
				t.Errorf("%+v, error %v", res.Outcome, res.Err)
			}
			requests := script.Requests()
			if got := sent(requests[len(requests)-1]); c.last != "" && got != c.last {
				t.Errorf("the last request sends %s; want %s", got, c.last)
			}
			for _, req := range requests {
				for _, m := range req.Messages {
					for _, b := range m.Content {
						if b.Type == llm.BlockToolUse && !b.ValidInput() {
							t.Errorf("the input %s is sent back, which the service refuses", b.Input)
						}
					}
				}
			}
			if _, turns := errors.AsType[*task.TurnsError](res.Err); turns != (name == "turns run out") {
				t.Errorf("error %v", res.Err)
			}
		})
	}
}

// TestCallsThatOnlyReadRunAtOnce counts what runs together, in a bubble whose
// clock moves when all wait.
func TestCallsThatOnlyReadRunAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		running, most := 0, map[string]int{}
		work := func(name string) tool.Tool {
			f, err := tool.Func(name, "works", func(_ context.Context, in lookUpInput) (string, error) {
				mu.Lock()
				running++
				most[name] = max(most[name], running)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				running--
				order = append(order, name+in.Key)
				return in.Key, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		var uses []llm.Block
		for i, name := range []string{"reads", "reads", "reads", "writes", "writes", "reads", "reads"} {
			uses = append(uses, use(fmt.Sprint(i), name, fmt.Sprintf(`{"key":"%d"}`, i)))
		}
		script := llmtest.NewScript(calls("", uses...), llmtest.Answer("done"))
		r := withTools(t, newRunner(script, &agent.Agent{Name: "a"}), tool.ReadOnly(work("reads")), work("writes"))
		start := time.Now()
		if res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "q"}, nil); res.Err != nil {
			t.Fatal(res.Err)
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("%v of the bubble's time; want 4s: two groups that read and two calls that write", took)
		}
		if most["reads"] != 3 || most["writes"] != 1 {
			t.Errorf("at once: %v", most)
		}
		if order[3] != "writes3" || order[4] != "writes4" {
			t.Errorf("order %v", order)
		}
		if got := sent(script.Requests()[1]); !strings.HasSuffix(got, "0=0 error=false; 1=1 error=false; 2=2 error=false; 3=3 error=false; 4=4 error=false; 5=5 error=false; 6=6 error=false;") {
			t.Errorf("results in the order %s", got)
		}
	})
}

// A loop whose cached answers obey no schema must not run its tools a second time.
func TestToolsRunOnceWhateverTheOutput(t *testing.T) {
	t.Parallel()
	cached := func(resp *llm.Response) []llmtest.Step {
		resp.Source = llm.SourceCache
		return []llmtest.Step{llmtest.Start(), llmtest.Done(resp)}
	}
	script := llmtest.NewScript(
		cached(&llm.Response{Model: idOf("haiku"), StopReason: llm.StopToolUse, Content: []llm.Block{use("1", "note", `{"key":"a"}`)}}),
		cached(&llm.Response{Model: idOf("haiku"), StopReason: llm.StopMaxTokens, Content: []llm.Block{llm.TextBlock("no JSON")}}),
		llmtest.Answer("one call too many"))
	ran := 0
	note, err := tool.Func("note", "notes", func(context.Context, lookUpInput) (string, error) { ran++; return "noted", nil })
	if err != nil {
		t.Fatal(err)
	}
	r := withTools(t, newRunner(script, &agent.Agent{Name: "a"}), note)
	res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "q", Schema: json.RawMessage(`{"type":"object"}`)}, nil)
	if llm.CodeOf(res.Err) != llm.CodeOutput || ran != 1 || script.Started() != 2 {
		t.Errorf("%v; the tool ran %d times in %d calls; want an output error after one in two", res.Err, ran, script.Started())
	}
}

func TestAToolThatPanicsHasFailed(t *testing.T) {
	t.Parallel()
	f, err := tool.Func("look_up", "panics", func(context.Context, lookUpInput) (string, error) { panic("oh") })
	if err != nil {
		t.Fatal(err)
	}
	script := llmtest.NewScript(calls("", use("1", "look_up", `{"key":"a"}`)), llmtest.Answer("ok"))
	r := withTools(t, newRunner(script, &agent.Agent{Name: "a"}), f)
	if res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "q"}, nil); res.Err != nil {
		t.Fatal(res.Err)
	}
	if got := sent(script.Requests()[1]); !strings.Contains(got, "1=the tool look_up failed: oh error=true") {
		t.Errorf("%s", got)
	}
}

// TestALoopIsReadFromThePromptCache plays a loop of six turns on the simulator,
// which accounts for the prompt cache as the service does: of each prompt all but
// what the turn added must be read.
func TestALoopIsReadFromThePromptCache(t *testing.T) {
	t.Parallel()
	values := map[string]string{}
	var turns strings.Builder
	for i := range 5 {
		values[fmt.Sprint(i)] = strings.Repeat(fmt.Sprintf("value %d of some length. ", i), 400)
		fmt.Fprintf(&turns, "      - {tools: [{name: look_up, input: {key: \"%d\"}}]}\n", i)
	}
	script, err := sim.ParseScript("loop.yaml", []byte("rules:\n  - when: {task: look all up}\n    turns:\n"+turns.String()+"      - {text: done}\n"))
	if err != nil {
		t.Fatal(err)
	}
	server := sim.New(sim.Options{Script: script})
	provider, err := anthropic.New(anthropic.Options{
		APIKey: "sk-test", KeySource: "the test", BaseURL: "http://sim.invalid", HTTPClient: &http.Client{Transport: server.RoundTripper()},
	})
	if err != nil {
		t.Fatal(err)
	}
	watched := &watch{Model: promptcache.New(provider, promptcache.Options{})}
	a := &agent.Agent{Name: "a", Model: "sonnet", Prompt: strings.Repeat("Be thorough and exact. ", 400)}
	r := withTools(t, newRunner(watched, a), lookUp(t, values))
	res := r.Run(t.Context(), task.Task{Agent: "a", Prompt: "look all up"}, nil)
	if res.Err != nil || res.Turns != 6 || res.Output != "done" {
		t.Fatalf("%+v", res)
	}
	for i, u := range watched.usages[1:] {
		if before := watched.usages[i].PromptTokens(); u.CacheReadTokens < before*95/100 || u.InputTokens > 50 {
			t.Errorf("request %d of %d tokens reads %d, and %d are at the plain price; the request before it had %d", i+2, u.PromptTokens(), u.CacheReadTokens, u.InputTokens, before)
		}
	}
}

// watch keeps the usages of the answers, of one call at a time.
type watch struct {
	llm.Model
	usages []llm.Usage
}

func (w *watch) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		for ev, err := range w.Model.Stream(ctx, req) {
			if ev.Type == llm.EventDone {
				w.usages = append(w.usages, ev.Response.Usage)
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}
