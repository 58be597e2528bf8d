package subagent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/sandbox"
	"github.com/claude-force/claude-force/task"
	"github.com/claude-force/claude-force/tool/permission"
	"github.com/claude-force/claude-force/tool/subagent"
	"github.com/claude-force/claude-force/toolset"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// cast is a model that plays agents: play returns the blocks of the n-th answer, from
// 0, of an agent to a prompt, or nil for a call that fails. A test that calls it more often than most fails.
type cast struct {
	play func(agent, prompt string, n int) []llm.Block
	most int

	mu       sync.Mutex
	requests []*llm.Request
}

func (c *cast) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	return func(yield func(llm.Event, error) bool) {
		c.mu.Lock()
		c.requests = append(c.requests, req)
		over := len(c.requests) > c.most
		c.mu.Unlock()
		if over {
			yield(llm.Event{}, llm.NewError(llm.CodeInvalid, "more calls than the test allows", nil))
			return
		}
		if ctx.Err() != nil {
			llm.BillOf(ctx).Add(llm.Usage{}, 0, true)
			yield(llm.Event{}, llm.ContextError(ctx))
			return
		}
		first := req.Messages[0].Content
		content := c.play(req.Agent, first[len(first)-1].Text, len(req.Messages)/2)
		if content == nil {
			llm.BillOf(ctx).Add(llm.Usage{}, 0, true)
			yield(llm.Event{}, llm.NewError(llm.CodeInvalid, "the model refuses", nil))
			return
		}
		answer := &llm.Response{Model: req.Model, Content: content, StopReason: llm.StopEndTurn, Source: llm.SourceLive, Usage: llm.Usage{InputTokens: 10, OutputTokens: 1}}
		if len(answer.ToolUses()) > 0 {
			answer.StopReason = llm.StopToolUse
		}
		llm.BillOf(ctx).Add(answer.Usage, llm.Dollar/1000, true)
		yield(llm.Event{Type: llm.EventDone, Response: answer}, nil)
	}
}

// asked returns the agents that were asked, and how often.
func (c *cast) asked() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := map[string]int{}
	for _, req := range c.requests {
		asked[req.Agent]++
	}
	return asked
}

// results returns the results that the last request of an agent has, in order.
func (c *cast) results(agent string) []llm.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, req := range slices.Backward(c.requests) {
		if req.Agent == agent && len(req.Messages) > 1 {
			return slices.DeleteFunc(slices.Clone(req.Messages[len(req.Messages)-1].Content), func(b llm.Block) bool { return b.Type != llm.BlockToolResult })
		}
	}
	return nil
}

func text(s string) []llm.Block { return []llm.Block{llm.TextBlock(s)} }

func use(id, name string, input any) llm.Block {
	raw, err := json.Marshal(input)
	if err != nil {
		panic(err)
	}
	return llm.Block{Type: llm.BlockToolUse, ID: id, Name: name, Input: raw}
}

type in map[string]any

func start(id, which, prompt string, more ...string) llm.Block {
	input := in{"description": "d", "prompt": prompt, "subagent_type": which}
	for i := 0; i+1 < len(more); i += 2 {
		input[more[i]] = more[i+1]
	}
	return use(id, "Agent", input)
}

// runner returns a runner whose agents act in a folder under a policy.
func runner(t *testing.T, model llm.Model, dir string, policy permission.Policy, agents ...*agent.Agent) *task.Runner {
	t.Helper()
	r := &task.Runner{Model: model, Prices: llm.Prices(), Defaults: task.Defaults{Model: "haiku", MaxTokens: 1000, MaxTurns: 20}}
	r.Agents = func(_ context.Context, name string) (*agent.Agent, error) {
		for _, a := range agents {
			if a.Name == name {
				return a, nil
			}
		}
		return nil, &agent.UnknownError{Name: name}
	}
	project, err := toolset.Open(toolset.Options{Dir: dir, Policy: policy, Contributors: []toolset.Contributor{contributor(r, agents...)}})
	if err != nil {
		t.Fatal(err)
	}
	r.Tools = project.For
	return r
}

// contributor returns the contributor of the tool Agent for the agents.
func contributor(r *task.Runner, agents ...*agent.Agent) toolset.Contributor {
	return subagent.Contribute(subagent.Options{
		Runner: func() *task.Runner { return r },
		Agents: func(context.Context) ([]*agent.Agent, error) { return agents, nil },
	})
}

var (
	lead   = &agent.Agent{Name: "lead", AllTools: true, Model: "sonnet"}
	helper = &agent.Agent{Name: "helper", Description: "Helps.", Prompt: "You help.", Tools: []string{"Read", "Write"}}
)

func TestReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("content of a"), 0o600); err != nil {
		t.Fatal(err)
	}
	model := &cast{most: 20}
	model.play = func(who, _ string, n int) []llm.Block {
		switch {
		case who == "lead" && n == 0:
			return []llm.Block{start("1", "HELPER", "read a.txt"), start("2", "helper", "read b.txt", "model", "opus", "effort", "low")}
		case who == "lead":
			return text("all done")
		case n == 0:
			return []llm.Block{use("r", "Read", in{"file_path": "a.txt"})}
		}
		return text("first\nsecond")
	}
	res := runner(t, model, dir, permission.Policy{}, lead, helper).Run(t.Context(), task.Task{Agent: "lead", Prompt: "go"}, nil)
	if res.Err != nil || res.Output != "all done" {
		t.Fatalf("outcome: %+v", res)
	}
	if res.Turns != 6 || res.ToolCalls != 4 || res.Calls != 6 || res.Usage.InputTokens != 60 || res.CostUSD == nil || *res.CostUSD < 0.00599 || *res.CostUSD > 0.00601 {
		t.Errorf("%d turns, %d calls of tools, %d calls of models, %d tokens, cost %v", res.Turns, res.ToolCalls, res.Calls, res.Usage.InputTokens, res.CostUSD)
	}
	results := model.results("lead")
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	for _, r := range results {
		var block struct {
			Content []struct{ Type, Text string }
			IsError bool `json:"is_error"`
		}
		if err := json.Unmarshal(r.Raw, &block); err != nil || len(block.Content) != 1 || block.IsError || !strings.Contains(block.Content[0].Text, "\n  first\n  second\n") || !strings.Contains(block.Content[0].Text, "tool_uses: 1") {
			t.Errorf("result %v: %s", err, r.Raw)
		}
	}
	models := map[string]bool{}
	for _, req := range model.requests {
		if req.Agent != "helper" {
			continue
		}
		models[req.Model+string(req.OutputConfig)] = true
		if system := req.System[0].Text; !strings.HasPrefix(system, "You help.\n\n") || len(req.Tools) != 2 {
			t.Errorf("the agent's system prompt: %q, tools %d", system, len(req.Tools))
		}
	}
	sonnet, _ := llm.Prices().Resolve("sonnet")
	opus, _ := llm.Prices().Resolve("opus")
	if len(models) != 2 || !models[sonnet] || !models[opus+`{"effort":"low"}`] {
		t.Errorf("models of sub-agents: %v", models)
	}
}

// TestNoMorePermission covers calls that the agent at the top may not make: no
// sub-agent may either, whatever its file says.
func TestNoMorePermission(t *testing.T) {
	t.Parallel()
	wild := &agent.Agent{Name: "wild", AllTools: true, Extra: map[string]any{"permissionMode": "bypassPermissions"}}
	for name, c := range map[string]struct {
		policy permission.Policy
		call   llm.Block
		want   bool // it is allowed
	}{
		"write by default":      {permission.Policy{}, use("w", "Write", in{"file_path": "new.txt", "content": "x"}), false},
		"write in plan mode":    {permission.Policy{Mode: permission.ModePlan}, use("w", "Write", in{"file_path": "new.txt", "content": "x"}), false},
		"write that is allowed": {permission.Policy{Allow: rules(t, "Write")}, use("w", "Write", in{"file_path": "new.txt", "content": "x"}), true},
		"a denied write":        {permission.Policy{Mode: permission.ModeBypass, Deny: rules(t, "Edit(new.txt)")}, use("w", "Write", in{"file_path": "new.txt", "content": "x"}), false},
		"a command":             {permission.Policy{}, use("w", "Bash", in{"command": "touch new.txt"}), false},
		"a denied file":         {permission.Policy{Deny: rules(t, "Read(secret.txt)")}, use("w", "Read", in{"file_path": "secret.txt"}), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "secret.txt"), []byte("s"), 0o600); err != nil {
				t.Fatal(err)
			}
			model := &cast{most: 20}
			model.play = func(who, _ string, n int) []llm.Block {
				switch {
				case n > 0:
					return text("done")
				case who == "lead":
					return []llm.Block{start("1", "wild", "p")}
				}
				return []llm.Block{c.call}
			}
			res := runner(t, model, dir, c.policy, lead, wild).Run(t.Context(), task.Task{Agent: "lead", Prompt: "go"}, nil)
			if res.Err != nil {
				t.Fatal(res.Err)
			}
			if got := model.results("wild"); len(got) != 1 || got[0].Error == c.want {
				t.Errorf("the sub-agent's result: %+v", got)
			}
			if _, err := os.Stat(filepath.Join(dir, "new.txt")); (err == nil) != c.want {
				t.Errorf("the file: %v", err)
			}
		})
	}
}

func rules(t *testing.T, text string) []permission.Rule {
	t.Helper()
	list, err := permission.ParseRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRefused covers calls that start no agent. None fails the task.
func TestRefused(t *testing.T) {
	t.Parallel()
	only := &agent.Agent{Name: "only", Tools: []string{"Agent(helper, Explore)"}}
	for name, c := range map[string]struct {
		who    *agent.Agent
		policy permission.Policy
		call   llm.Block
		want   string
	}{
		"unknown type":              {lead, permission.Policy{}, start("1", "nope", "p"), "no agent of type"},
		"old name of an other type": {lead, permission.Policy{Deny: rules(t, "Task(helper)")}, start("1", "helper", "p"), "denied"},
		"denied, in other case":     {lead, permission.Policy{Deny: rules(t, "Agent(HELPER)")}, start("1", "helper", "p"), "denied"},
		"denied, by default":        {lead, permission.Policy{Deny: rules(t, "Agent(general-purpose)")}, use("1", "Agent", in{"description": "d", "prompt": "p"}), "denied"},
		"not in the agent's list":   {only, permission.Policy{}, start("1", "general-purpose", "p"), "Explore, helper"},
		"unknown model":             {lead, permission.Policy{}, start("1", "helper", "p", "model", "gpt"), "model"},
		"no description":            {lead, permission.Policy{}, use("1", "Agent", in{"prompt": "p"}), "description"},
		"isolation":                 {lead, permission.Policy{}, start("1", "helper", "p", "isolation", "remote"), "not available"},
		"isolated by its file":      {lead, permission.Policy{}, start("1", "apart", "p"), "no repository"},
		"empty prompt":              {lead, permission.Policy{}, start("1", "helper", " "), "empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := &cast{most: 5}
			model.play = func(_, _ string, n int) []llm.Block {
				if n > 0 {
					return text("done")
				}
				return []llm.Block{c.call}
			}
			res := runner(t, model, t.TempDir(), c.policy, lead, only, helper, &agent.Agent{Name: "apart", AllTools: true, Extra: map[string]any{"isolation": "worktree"}}).Run(t.Context(), task.Task{Agent: c.who.Name, Prompt: "go"}, nil)
			if res.Err != nil || res.Turns != 2 {
				t.Fatalf("outcome: %+v", res)
			}
			if got := model.results(c.who.Name); len(got) != 1 || !got[0].Error || !strings.Contains(got[0].Text, c.want) {
				t.Errorf("result: %+v", got)
			}
			if asked := model.asked(); asked["helper"]+asked["general-purpose"] != 0 {
				t.Errorf("asked: %v", asked)
			}
		})
	}
}

// TestBounds starts agents that start agents as long as they may: the depth and the
// number are bounded. The model refuses more calls than that.
func TestBounds(t *testing.T) {
	t.Parallel()
	model := &cast{most: 400}
	model.play = func(_, _ string, n int) []llm.Block {
		if n > 0 {
			return text("done")
		}
		var calls []llm.Block
		for i := range 6 { // 6 + 36 + 216 agents, if nothing stops them
			calls = append(calls, start(fmt.Sprint(i), "general-purpose", "more"))
		}
		return calls
	}
	res := runner(t, model, t.TempDir(), permission.Policy{}, lead).Run(t.Context(), task.Task{Agent: "lead", Prompt: "go"}, nil)
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	// An agent makes two calls of the model, the last one that calls no tool.
	if asked := model.asked(); asked["general-purpose"] != 2*50 || res.Turns != 2*51 {
		t.Errorf("%v, %d turns", asked, res.Turns)
	}
	for _, req := range model.requests {
		has := slices.ContainsFunc(req.Tools, func(d llm.Tool) bool { return d.Name == "Agent" })
		if req.Agent == "lead" && !has {
			t.Error("the agent at the top has no tool to start agents")
		}
	}
}

// TestDepth nests agents as deep as they may.
func TestDepth(t *testing.T) {
	t.Parallel()
	model := &cast{most: 20}
	model.play = func(_, prompt string, n int) []llm.Block {
		if n > 0 {
			return text("done")
		}
		return []llm.Block{start("1", "general-purpose", prompt+"+")}
	}
	res := runner(t, model, t.TempDir(), permission.Policy{}, lead).Run(t.Context(), task.Task{Agent: "lead", Prompt: "go"}, nil)
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	if asked := model.asked(); asked["general-purpose"] != 6 {
		t.Errorf("%v, want 3 agents with 2 calls each", asked)
	}
	for _, req := range model.requests {
		first := req.Messages[0].Content
		depth := strings.Count(first[len(first)-1].Text, "+")
		if has := slices.ContainsFunc(req.Tools, func(d llm.Tool) bool { return d.Name == "Agent" }); has != (depth < 3) {
			t.Errorf("at depth %d: the agent may start agents: %v", depth, has)
		}
	}
}

// TestFailures covers agents that fail, say nothing, or do not end.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		play    func(n int) []llm.Block
		want    string
		isError bool
	}{
		// Its model refuses a call, which it has not paid for.
		"a failing call": {func(n int) []llm.Block {
			if n == 0 {
				return []llm.Block{use("r", "Read", in{"file_path": "x"})}
			}
			return nil
		}, "the agent helper failed", true},
		"no text": {func(int) []llm.Block { return []llm.Block{llm.TextBlock(" "), {Type: llm.BlockThinking, Text: "hm"}} }, "the agent helper failed", true},
		"no text after its work": {func(n int) []llm.Block {
			if n == 0 {
				return []llm.Block{use("r", "Read", in{"file_path": "x"})}
			}
			return []llm.Block{llm.TextBlock(" "), {Type: llm.BlockThinking, Text: "hm"}}
		}, "without a report", false},
		"no end": {func(n int) []llm.Block {
			return []llm.Block{llm.TextBlock("so far"), use(fmt.Sprint(n), "Read", in{"file_path": "x"})}
		}, "stopped after 20 turns", false},
		"a long text": {func(int) []llm.Block { return text(strings.Repeat("y", 60_000)) }, "<persisted-output>", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			model := &cast{most: 60}
			model.play = func(who, _ string, n int) []llm.Block {
				switch {
				case who == "helper":
					return c.play(n)
				case n > 0:
					return text("done")
				}
				return []llm.Block{start("1", "helper", "p")}
			}
			res := runner(t, model, t.TempDir(), permission.Policy{}, lead, helper).Run(t.Context(), task.Task{Agent: "lead", Prompt: "go"}, nil)
			if res.Err != nil {
				t.Fatal(res.Err)
			}
			if got := model.results("lead"); len(got) != 1 || got[0].Error != c.isError || !strings.Contains(string(got[0].Raw)+got[0].Text, c.want) && !strings.Contains(string(got[0].Raw), "\\u003cpersisted") {
				t.Errorf("result: %.300s", got[0].Raw)
			}
		})
	}
}

// TestCancel cancels the task while a sub-agent works: nothing more is asked.
func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	model := &cast{most: 10}
	model.play = func(who, _ string, n int) []llm.Block {
		if who == "lead" {
			return []llm.Block{start("1", "helper", "p"), start("2", "helper", "q")}
		}
		cancel()
		return []llm.Block{use("r", "Read", in{"file_path": "x"})}
	}
	res := runner(t, model, t.TempDir(), permission.Policy{}, lead, helper).Run(ctx, task.Task{Agent: "lead", Prompt: "go"}, nil)
	if !errors.Is(res.Err, context.Canceled) || res.Status != task.StatusInterrupted {
		t.Errorf("status %s: %v", res.Status, res.Err)
	}
	if asked := model.asked(); asked["lead"] != 1 || asked["helper"] > 2 {
		t.Errorf("asked: %v", asked)
	}
	if res.CostUSD == nil || *res.CostUSD < 0.0019 {
		t.Errorf("cost: %v, want that of the sub-agent too", res.CostUSD)
	}
}

// TestDrain drains the task while a sub-agent works: the task is interrupted, and the
// call of the agent has no result, so that a resume runs it again.
func TestDrain(t *testing.T) {
	t.Parallel()
	drain := make(chan struct{})
	model := &cast{most: 10}
	model.play = func(who, _ string, _ int) []llm.Block {
		if who == "lead" {
			return []llm.Block{start("1", "helper", "p")}
		}
		close(drain)
		return []llm.Block{use("r", "Read", in{"file_path": "x"})}
	}
	drained := drains{model}
	res := runner(t, drained, t.TempDir(), permission.Policy{}, lead, helper).Run(llm.WithDrain(t.Context(), drain), task.Task{Agent: "lead", Prompt: "go"}, nil)
	if !llm.IsDrained(res.Err) {
		t.Errorf("error: %v", res.Err)
	}
	if asked := model.asked(); asked["lead"] != 1 || asked["helper"] != 1 {
		t.Errorf("asked: %v", asked)
	}
}

// drains is a model that sends nothing once its context is drained.
type drains struct{ llm.Model }

func (d drains) Stream(ctx context.Context, req *llm.Request) iter.Seq2[llm.Event, error] {
	if err := llm.Drained(ctx); err != nil {
		return func(yield func(llm.Event, error) bool) { yield(llm.Event{}, err) }
	}
	return d.Model.Stream(ctx, req)
}
